/** Where the page of metrics is served, which a reload may move without a gap. */
import type { Logger } from 'pino'
import { type CertificatePair, readPair } from '../base/certificates.ts'
import { GatewayError } from '../base/errors.ts'
import type { MetricsConfig } from '../config/schema.ts'
import { type AdminHttp, refusePath, type ServerSockets, startAdminHttp } from './http.ts'

export interface MetricsHttpOptions {
  readonly page: () => Promise<string>
  readonly ready: () => readonly string[]
  readonly log: Logger
  /** Left out: the page is served on a socket of its own. */
  readonly sockets?: ServerSockets
}

/** Another place that is ready to be used; exactly one of both is to be called. */
export interface PreparedMove {
  commit(): Promise<void>
  abandon(): Promise<void>
}

const KEY = 'metrics.default'

/** What makes the place, and how it is spoken to. */
type Served = Pick<MetricsConfig, 'enabled' | 'address' | 'path' | 'certFile' | 'keyFile'>

const NOWHERE: Served = {
  enabled: false,
  address: '',
  path: '',
  certFile: '',
  keyFile: '',
}

export class MetricsHttp {
  readonly #options: MetricsHttpOptions
  #http: AdminHttp | null = null
  #served = NOWHERE

  constructor(options: MetricsHttpOptions) {
    this.#options = options
  }

  /** Scheme, host and port as they were bound, or "". */
  get url(): string {
    return this.#http?.url ?? ''
  }

  /**
   * Listens where it is to be served from now on, beside the present place. Throws as the HTTP
   * server does; nothing has changed then.
   */
  async prepare(metrics: MetricsConfig): Promise<PreparedMove> {
    const { enabled, address, path, certFile, keyFile } = metrics
    const served = enabled ? { enabled, address, path, certFile, keyFile } : NOWHERE
    const isThere = this.#served.enabled && this.#served.address === address
    if (enabled && isThere) this.#refuseHere(served)
    const made = enabled && !isThere ? await startAdminHttp(this.#httpOptions(served)) : null
    return {
      commit: async () => {
        const before = this.#http
        const stays = enabled && isThere
        if (stays && path !== this.#served.path) before?.moveTo(path)
        if (!stays) this.#http = made
        this.#served = served
        if (made !== null) {
          this.#options.log.info({}, `metrics on ${made.url}${path}`)
        }
        if (!stays) await before?.stop()
      },
      abandon: async () => {
        await made?.stop()
      },
    }
  }

  async stop(): Promise<void> {
    await this.#http?.stop()
  }

  /** What cannot change while the page stays at its address. */
  #refuseHere({ path, certFile, keyFile }: Served): void {
    refusePath(path, KEY)
    if (certFile === this.#served.certFile && keyFile === this.#served.keyFile) return
    const cure = 'take another address as well, or restart'
    throw new GatewayError(
      'CONFIG_INVALID',
      `${KEY}.certFile: it cannot change by a reload; ${cure}`,
    )
  }

  #httpOptions({ address, path, certFile, keyFile }: Served) {
    const tls = certificateOf(certFile, keyFile, this.#options.log)
    return { address, path, ...this.#options, healthy: () => [], tls }
  }
}

function certificateOf(certFile: string, keyFile: string, log: Logger): CertificatePair | null {
  if (certFile === '') return null
  const pair = readPair(
    { key: `${KEY}.certFile`, path: certFile },
    { key: `${KEY}.keyFile`, path: keyFile },
  )
  for (const warning of pair.warnings) log.warn(warning)
  return pair
}
