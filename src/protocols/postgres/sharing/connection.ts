/** What the clients that share a server connection by transactions have left on it. */
import type { ServerState } from '../../protocol.ts'
import { NO_TEXTS, type Profile, type Profiles } from './profile.ts'
import type { Statement } from './statements.ts'

/** Statements of which it is remembered that nobody knows whether they are there. */
const DOUBTFUL_MAX = 1000

export class SharedConnection {
  /** Prepared here; those that were used last come last, as far as it matters. */
  readonly #statements = new Set<Statement>()
  /** They were to be prepared, and that was skipped or failed, and perhaps what was before it. */
  readonly #doubtful = new Set<Statement>()
  /** Whose unnamed statement it is, where there is one. */
  unnamedOf: object | null = null
  #unreported: ReadonlyMap<string, string> = NO_TEXTS
  #profile: Profile | null = null

  /** Statements that are prepared here. */
  get size(): number {
    return this.#statements.size
  }

  /** True where the statement is prepared here; it is used now. */
  uses(statement: Statement, statementsMax: number): boolean {
    const statements = this.#statements
    if (!statements.has(statement)) return false
    // As long as there is room the order is of no use.
    if (statements.size * 2 > statementsMax) {
      statements.delete(statement)
      statements.add(statement)
    }
    return true
  }

  /** The statement to be closed before another one is prepared; null where there is room. */
  evicted(statementsMax: number): Statement | null {
    if (this.#statements.size < statementsMax) return null
    const [oldest] = this.#statements
    this.#statements.delete(oldest!)
    return oldest!
  }

  /** It is being prepared; `confirmed` or `lost` tells how that ends. */
  prepared(statement: Statement): void {
    this.#statements.add(statement)
  }

  confirmed(statement: Statement): void {
    this.#statements.add(statement)
    this.certain(statement)
  }

  /** It is there at the moment; what was sent since then is about to change that. */
  certain(statement: Statement): void {
    if (this.#doubtful.size > 0) this.#doubtful.delete(statement)
  }

  /** `isLast`: nothing that was sent since then is to prepare it again. */
  lost(statement: Statement, isLast = true): void {
    if (isLast) this.#statements.delete(statement)
    this.#doubtful.add(statement)
    if (this.#doubtful.size <= DOUBTFUL_MAX) return
    const [oldest] = this.#doubtful
    this.#doubtful.delete(oldest!)
  }

  /** True where it may be here all the same, so that it must be closed before it is prepared. */
  isDoubtful(statement: Statement): boolean {
    return this.#doubtful.has(statement)
  }

  /** All statements are gone. */
  emptied(): void {
    this.#statements.clear()
    this.#doubtful.clear()
  }

  /** All that clients have left is gone, but for what is reported. */
  cleaned(): void {
    this.emptied()
    this.unnamedOf = null
    this.#unreported = NO_TEXTS
    this.#profile = null
  }

  /** Parameters that were set here and are not reported, by name in lower case. */
  get unreported(): ReadonlyMap<string, string> {
    return this.#unreported
  }

  /** These parameters are set here, beside those that are reported. */
  set(unreported: ReadonlyMap<string, string>): void {
    this.#unreported = unreported
    this.#profile = null
  }

  /** A parameter is another now. */
  changed(): void {
    this.#profile = null
  }

  /** The settings that it has. */
  profile({ parameters }: ServerState, profiles: Profiles): Profile {
    this.#profile ??= profiles.of(parameters, this.#unreported)
    return this.#profile
  }
}
