/** The server connections of one upstream that clients share: how many, and how they are kept. */
import type { SharingAccount } from '../protocols/postgres/sharing/terms.ts'
import type { Pool } from '../upstream/pool.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Keeping, KeptServer } from './kept-server.ts'

export interface ServerPoolOptions {
  readonly upstream: Upstream
  readonly pool: Pool<KeptServer>
  /** Null: connections are not logged in, so that each serves one client and is closed then. */
  readonly keeping: Keeping | null
  /** Time after which a kept connection is asked for a sign of life; 0: never. */
  readonly checkPeriodMs: number
  /** A connection that nobody has used for so long is closed; 0: never. */
  readonly idleTimeoutMs: number
  /** A kept connection older than that is closed; 0: never. */
  readonly lifetimeMs: number
}

export class ServerPool {
  readonly upstream: Upstream
  readonly pool: Pool<KeptServer>
  readonly keeping: Keeping | null
  readonly #options: ServerPoolOptions

  constructor(options: ServerPoolOptions) {
    this.#options = options
    this.upstream = options.upstream
    this.pool = options.pool
    this.keeping = options.keeping
  }

  get mode(): 'none' | 'session' | 'transaction' {
    if (this.keeping === null) return 'none'
    return this.keeping.terms === null ? 'session' : 'transaction'
  }

  /** What sharing by transactions counts; null where there is none. */
  get sharing(): SharingAccount | null {
    return this.keeping?.terms?.account ?? null
  }

  /** Nothing is kept from now on. Idempotent. */
  stop(): void {
    this.pool.retire()
  }

  /** Closes connections that nobody uses, down to so many with those that are lent. */
  keepAtMost(connections: number): void {
    const { pool } = this
    while (pool.kept.length > 0 && pool.kept.length + pool.lent > connections) {
      this.#close(pool.kept[0]!)
    }
  }

  /** Looks after the connections that nobody uses; called on every beat, `now` in milliseconds. */
  check(now: number): void {
    const { checkPeriodMs, idleTimeoutMs, lifetimeMs } = this.#options
    if (this.keeping !== null) this.keeping.now = now
    for (const server of [...this.pool.kept]) {
      const unusedMs = now - server.lentAtMs
      const old = lifetimeMs > 0 && now - server.openedAtMs >= lifetimeMs
      const displaced = this.upstream.role.displaced
      if (old || displaced || (idleTimeoutMs > 0 && unusedMs >= idleTimeoutMs)) this.#close(server)
      else if (checkPeriodMs > 0 && now - server.heardAtMs >= checkPeriodMs) this.#probe(server)
    }
  }

  #close(server: KeptServer): void {
    if (!this.pool.remove(server)) return
    server.close()
    this.pool.vacate()
  }

  #probe(server: KeptServer): void {
    if (this.pool.remove(server)) server.probe()
  }
}
