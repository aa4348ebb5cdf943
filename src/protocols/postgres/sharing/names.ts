/** What one client calls the statements that it has prepared, and which of them was unnamed. */
import type { Statement, StatementBook } from './statements.ts'

/** A longer unnamed statement is not remembered beyond its transaction. */
const UNNAMED_BYTES_MAX = 32_768
const EMPTY: Uint8Array = new Uint8Array(0)

export class Names {
  /** Made for the first name: most sessions have none. */
  #named: Map<string, Statement> | null = null
  /** The Parse message of the unnamed statement, in the beginning of a room of our own. */
  #room: Uint8Array = EMPTY
  #unnamedBytes = 0
  /** `none`; `here`: only on the connection that has it; `kept`: it can be prepared again. */
  unnamed: 'none' | 'here' | 'kept' = 'none'

  get size(): number {
    return this.#named?.size ?? 0
  }

  get(name: string): Statement | undefined {
    return this.#named?.get(name)
  }

  put(name: string, statement: Statement): void {
    this.#named ??= new Map()
    this.#named.set(name, statement)
  }

  /** The name means nothing from now on; with `statement` only where it means that one. */
  drop(name: string, book: StatementBook, statement?: Statement): void {
    const dropped = this.#named?.get(name)
    if (dropped === undefined || (statement !== undefined && dropped !== statement)) return
    this.#named!.delete(name)
    book.leave(dropped)
  }

  dropAll(book: StatementBook): void {
    for (const statement of this.#named?.values() ?? []) book.leave(statement)
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
