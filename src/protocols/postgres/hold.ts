/** A buffer that grows with the bytes that came, never with a length that somebody declared. */
import type { Budget } from '../protocol.ts'

const EMPTY = new Uint8Array(0)

const KEPT_BYTES_MAX = 65_536
const FIRST_BYTES = 1024

/** Bytes of one unit gathered over several reads; what it holds counts against the budget. */
export class Hold {
  length = 0
  #bytes = EMPTY
  readonly #budget: Budget

  constructor(budget: Budget) {
    this.#budget = budget
  }

  /** False, and nothing is taken, where the budget of all sessions is spent. */
  append(bytes: Uint8Array): boolean {
    const length = this.length + bytes.length
    if (this.#budget.held + bytes.length > this.#budget.heldMax) {
      this.#budget.spent += 1
      return false
    }
    if (length > this.#bytes.length) this.#grow(length)
    this.#bytes.set(bytes, this.length)
    this.#budget.held += bytes.length
    this.length = length
    return true
  }

  /** The first `end` bytes, borrowed until the next append, drop or clear. */
  view(end = this.length): Uint8Array {
    return this.#bytes.subarray(0, end)
  }

  /** Takes the first `count` bytes away. */
  drop(count: number): void {
    this.#bytes.copyWithin(0, count, this.length)
    this.#budget.held -= count
    this.length -= count
  }

  clear(): void {
    if (this.length === 0) return
    this.#budget.held -= this.length
    this.length = 0
    // A session that once held much does not keep the room for it.
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#bytes = EMPTY
  }

  #grow(length: number): void {
    const grown = new Uint8Array(Math.max(length, this.#bytes.length * 2, FIRST_BYTES))
    grown.set(this.#bytes.subarray(0, this.length))
    this.#bytes = grown
  }
}

/** Two byte runs as one new one. */
export function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length)
  both.set(first)
  both.set(second, first.length)
  return both
}
