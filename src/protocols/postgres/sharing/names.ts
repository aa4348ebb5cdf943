/** What one client calls the statements that it has prepared, and which of them was unnamed. */
import type { Statement, StatementBook } from './statements.ts'

/** A longer unnamed statement is not remembered beyond its transaction. */
const UNNAMED_BYTES_MAX = 32_768
const EMPTY: Uint8Array = new Uint8Array(0)
const NOTHING = (): void => undefined

/** What a name means, from one Parse of it to the Close; the same name may mean it anew later. */
export interface Named {
  readonly name: string
  readonly statement: Statement
}

export class Names {
  /** Made for the first name: most sessions have none. */
  #named: Map<string, Named> | null = null
  /** The Parse message of the unnamed statement, in the beginning of a room of our own. */
  #room: Uint8Array = EMPTY
  #unnamedBytes = 0
  /** `none`; `here`: only on the connection that has it; `kept`: it can be prepared again. */
  unnamed: 'none' | 'here' | 'kept' = 'none'

  get size(): number {
    return this.#named?.size ?? 0
  }

  find(name: string): Named | undefined {
    return this.#named?.get(name)
  }

  put(name: string, statement: Statement): Named {
    const named = { name, statement }
    this.#named ??= new Map()
    this.#named.set(name, named)
    return named
  }

  /** The name means nothing from now on, where it still means what it meant then. */
  drop(named: Named, book: StatementBook): void {
    if (this.#named?.get(named.name) !== named) return
    this.#named.delete(named.name)
    book.leave(named.statement)
  }

  /** As `drop`; returns what takes it back, whatever the name has come to mean since then. */
  close(name: string, book: StatementBook): () => void {
    const closed = this.find(name)
    if (closed === undefined) return NOTHING
    this.drop(closed, book)
    return () => {
      const since = this.find(name)
      if (since !== undefined) this.drop(since, book)
      book.join(closed.statement)
      this.put(name, closed.statement)
    }
  }

  closeUnnamed(): () => void {
    const before = this.unnamed
    this.unnamed = 'none'
    return () => {
      if (this.unnamed === 'none') this.unnamed = before
    }
  }

  dropAll(book: StatementBook): void {
    for (const { statement } of this.#named?.values() ?? []) book.leave(statement)
    this.#named = null
  }

  /** Remembers the Parse message from `from` to `to`, which names no statement. */
  keepUnnamed(bytes: Uint8Array, from: number, to: number): void {
    const count = to - from
    if (count > UNNAMED_BYTES_MAX) {
      this.unnamed = 'here'
      return
    }
    if (this.#room.length < count)
      this.#room = new Uint8Array(Math.min(2 * count, UNNAMED_BYTES_MAX))
    const room = this.#room
    for (let at = 0; at < count; at++) room[at] = bytes[from + at]!
    this.#unnamedBytes = count
    this.unnamed = 'kept'
  }

  get unnamedParse(): Uint8Array {
    return this.#room.subarray(0, this.#unnamedBytes)
  }
}
