/** One database to which sessions go, and how a connection to it is made. */
import type { Socket, SocketHandler } from 'bun'
import { type Address, addressText } from '../base/address.ts'

export interface UpstreamOptions {
  readonly group: string
  readonly block: string
  readonly address: Address
  /** 0: none. */
  readonly dialTimeoutMs: number
  /** Attempts after the first. */
  readonly retries: number
  readonly backoffMs: number
  readonly backoffMultiplier: number
  readonly disableBackoffCaps: boolean
  readonly tcpKeepAliveMs: number | null
}

/** Caps of the wait between attempts, as GatewayD documents them. */
const BACKOFF_MS_MAX = 60_000
const BACKOFF_MULTIPLIER_MAX = 10

export type Dialled<Owner> =
  | { readonly kind: 'connected'; readonly socket: Socket<Owner> }
  | { readonly kind: 'failed'; readonly cause: string }

export class Upstream {
  readonly group: string
  readonly block: string
  readonly address: string
  /** Idle time before TCP probes, in milliseconds; null: none are sent. */
  readonly keepAliveMs: number | null
  /** What the last attempt found; null before the first. */
  reachable: boolean | null = null
  lastError = ''
  failures = 0
  readonly #options: UpstreamOptions

  constructor(options: UpstreamOptions) {
    this.#options = options
    this.group = options.group
    this.block = options.block
    this.address = addressText(options.address)
    this.keepAliveMs = options.tcpKeepAliveMs
  }

  /** Connects, with the attempts that are configured. `wanted` ends them early. */
  async dial<Owner>(
    handlers: SocketHandler<Owner>,
    owner: Owner,
    wanted: () => boolean,
  ): Promise<Dialled<Owner>> {
    for (let attempt = 0; ; attempt++) {
      const dialled = await this.#attempt(handlers, owner)
      this.reachable = dialled.kind === 'connected'
      if (dialled.kind === 'connected') return dialled
      this.lastError = dialled.cause
      this.failures += 1
      if (attempt >= this.#options.retries || !wanted()) return dialled
      await Bun.sleep(this.#wait(attempt))
      if (!wanted()) return dialled
    }
  }

  #wait(attempt: number): number {
    const { backoffMs, backoffMultiplier, disableBackoffCaps } = this.#options
    if (disableBackoffCaps) return backoffMs * backoffMultiplier ** attempt
    const multiplier = Math.min(backoffMultiplier, BACKOFF_MULTIPLIER_MAX)
    return Math.min(backoffMs * multiplier ** attempt, BACKOFF_MS_MAX)
  }

  async #attempt<Owner>(handlers: SocketHandler<Owner>, owner: Owner): Promise<Dialled<Owner>> {
    const { address, dialTimeoutMs } = this.#options
    const shared = { socket: handlers, data: owner, allowHalfOpen: true }
    const connecting =
      address.network === 'unix'
        ? Bun.connect<Owner>({ unix: address.path, ...shared })
        : Bun.connect<Owner>({
            hostname: address.host || '127.0.0.1',
            port: address.port,
            ...shared,
          })
    const outcome = connecting.then(
      (socket): Dialled<Owner> => ({ kind: 'connected', socket }),
      (thrown): Dialled<Owner> => ({ kind: 'failed', cause: causeOf(thrown) }),
    )
    return dialTimeoutMs === 0 ? await outcome : await this.#within(outcome, dialTimeoutMs)
  }

  async #within<Owner>(
    outcome: Promise<Dialled<Owner>>,
    timeoutMs: number,
  ): Promise<Dialled<Owner>> {
    let timer: Timer | undefined
    const late = new Promise<Dialled<Owner>>((resolve) => {
      const cause = `no connection within ${timeoutMs} ms`
      timer = setTimeout(() => resolve({ kind: 'failed', cause }), timeoutMs)
    })
    const first = await Promise.race([outcome, late])
    clearTimeout(timer)
    if (first.kind === 'failed') {
      // A connection that is made after all belongs to nobody.
      void outcome.then((after) => after.kind === 'connected' && after.socket.terminate())
    }
    return first
  }
}

function causeOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  return 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : thrown.message
}
