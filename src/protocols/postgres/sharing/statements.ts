/**
 * The prepared statements of all clients of one pool: one name for each text, whatever the clients
 * call it, so that a connection prepares it once for all of them.
 */
import type { PinReason } from './lasting-effects.ts'

/** Statements that no client has any more are remembered for the next one, up to so many. */
const UNUSED_MAX = 1000

export interface Statement {
  /** What the servers call it, as bytes without the zero. */
  readonly name: Uint8Array
  /** The whole Parse message that prepares it under this name. */
  readonly parse: Uint8Array
  readonly effect: PinReason | null
}

interface Entry extends Statement {
  readonly key: string
  /** A reload makes another book, and clients go on with the statements that they have. */
  readonly book: StatementBook
  clients: number
  /** Its text counts until nobody has it any more, though its plans are stale. */
  counts: boolean
}

export interface StatementLimits {
  /** All texts together, in bytes. */
  readonly bytesMax: number
}

/** Statements made so far, in all books: no two may have one name on a connection. */
let made = 0

export class StatementBook {
  readonly #limits: StatementLimits
  readonly #known = new Map<string, Entry>()
  /** Those of them that no client has, in the order of their being left. */
  readonly #unused = new Set<Entry>()
  #bytes = 0

  constructor(limits: StatementLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#known.size
  }
  get bytes(): number {
    return this.#bytes
  }

  /** The statement of this key for one more client; null where there is none yet. */
  share(key: string): Statement | null {
    const entry = this.#known.get(key)
    if (entry === undefined) return null
    this.join(entry)
    return entry
  }

  /** One more client has it, who had it before. */
  join(statement: Statement): void {
    const entry = statement as Entry
    if (entry.clients === 0) entry.book.#unused.delete(entry)
    entry.clients += 1
  }

  /**
   * A new statement, for one client; null where the texts take too much room. `make` is given the
   * name, and returns the Parse message.
   */
  add(
    key: string,
    effect: PinReason | null,
    make: (name: Uint8Array) => Uint8Array,
  ): Statement | null {
    made += 1
    const name = Buffer.from(`postern_${made}`)
    const parse = make(name)
    while (this.#bytes + parse.length > this.#limits.bytesMax) {
      const [oldest] = this.#unused
      if (oldest === undefined) return null
      this.#forget(oldest)
    }
    const entry: Entry = { key, book: this, name, parse, effect, clients: 1, counts: true }
    this.#known.set(key, entry)
    this.#bytes += parse.length
    return entry
  }

  /** A client has it no longer. */
  leave(statement: Statement): void {
    const entry = statement as Entry
    if (entry.book !== this) return entry.book.leave(entry)
    entry.clients -= 1
    if (entry.clients > 0) return
    if (this.#known.get(entry.key) !== entry) return this.#forget(entry)
    this.#unused.add(entry)
    if (this.#unused.size <= UNUSED_MAX) return
    const [oldest] = this.#unused
    this.#forget(oldest!)
  }

  /** The next client that prepares this text gets another name: the plans of this are stale. */
  retire(statement: Statement): void {
    const entry = statement as Entry
    entry.book.#forget(entry)
  }

  #forget(entry: Entry): void {
    this.#unused.delete(entry)
    if (this.#known.get(entry.key) === entry) this.#known.delete(entry.key)
    if (entry.clients > 0 || !entry.counts) return
    entry.counts = false
    this.#bytes -= entry.parse.length
  }
}
