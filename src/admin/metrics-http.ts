/** Where the page of metrics is served, which a reload may move without a gap. */
import type { Logger } from 'pino'
import type { MetricsConfig } from '../config/schema.ts'
import { type AdminHttp, refusePath, startAdminHttp } from './http.ts'

export interface MetricsHttpOptions {
  readonly page: () => Promise<string>
  readonly ready: () => readonly string[]
  readonly log: Logger
}

/** Another place that is ready to be used; exactly one of both is to be called. */
export interface PreparedMove {
  commit(): Promise<void>
  abandon(): Promise<void>
}

const KEY = 'metrics.default'
const NOWHERE: Pick<MetricsConfig, 'enabled' | 'address' | 'path'> = {
  enabled: false,
  address: '',
  path: '',
}

export class MetricsHttp {
  readonly #options: MetricsHttpOptions
  #http: AdminHttp | null = null
  #served = NOWHERE

  constructor(options: MetricsHttpOptions) {
    this.#options = options
  }

  /** `host:port` as it was bound, or "". */
  get address(): string {
    return this.#http?.address ?? ''
  }

  /**
   * Listens where it is to be served from now on, beside the present place. Throws as the HTTP
   * server does; nothing has changed then.
   */
  async prepare(metrics: MetricsConfig): Promise<PreparedMove> {
    const { enabled, address, path } = metrics
    const served = enabled ? { enabled, address, path } : NOWHERE
    const isThere = this.#served.enabled && this.#served.address === address
    if (enabled && isThere) refusePath(path, KEY)
    const made = enabled && !isThere ? await startAdminHttp(this.#httpOptions(served)) : null
    return {
      commit: async () => {
        const before = this.#http
        const stays = enabled && isThere
        if (stays && path !== this.#served.path) before?.moveTo(path)
        if (!stays) this.#http = made
        this.#served = served
        if (made !== null) {
          this.#options.log.info({}, `metrics on http://${made.address}${path}`)
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

  #httpOptions({ address, path }: Pick<MetricsConfig, 'address' | 'path'>) {
    return { address, path, ...this.#options, healthy: () => [] }
  }
}
