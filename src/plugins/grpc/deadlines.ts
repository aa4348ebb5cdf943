/**
 * The deadlines of all calls of one plugin, over one timer: a call costs an entry of a set, and
 * not a timer that is set and taken back a thousand times before one is ever wanted.
 */
import type { Clock } from '../clock.ts'

/** What has a deadline. */
export interface Timed {
  /** On the clock's scale, in milliseconds. */
  readonly endsAtMs: number
  /** Called once the time is up; it is not waited for any more by then. */
  expire(): void
}

export class Deadlines<Item extends Timed> {
  readonly #clock: Clock
  readonly #items = new Set<Item>()
  #wakesAtMs = Number.POSITIVE_INFINITY
  #takeBack: (() => void) | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#items.size
  }

  /** When something begun now ends that may take so long. */
  endOf(timeoutMs: number): number {
    return this.#clock.now() + timeoutMs
  }

  add(item: Item): void {
    this.#items.add(item)
    if (item.endsAtMs < this.#wakesAtMs) this.#wakeAt(item.endsAtMs)
  }

  /** Ends the wait; the timer runs on, for it may be another's too. */
  delete(item: Item): void {
    this.#items.delete(item)
  }

  /** Ends all waits, and gives what was waited for. */
  clear(): Item[] {
    const items = [...this.#items]
    this.#items.clear()
    this.#takeBack?.()
    this.#takeBack = null
    this.#wakesAtMs = Number.POSITIVE_INFINITY
    return items
  }

  #wakeAt(atMs: number): void {
    this.#takeBack?.()
    this.#wakesAtMs = atMs
    // A timer may be early by a fraction of a millisecond; it would wake twice.
    const delayMs = Math.max(0, Math.ceil(atMs - this.#clock.now()))
    this.#takeBack = this.#clock.after(delayMs, () => this.#wake())
  }

  #wake(): void {
    this.#takeBack = null
    this.#wakesAtMs = Number.POSITIVE_INFINITY
    const now = this.#clock.now()
    let nextMs = Number.POSITIVE_INFINITY
    for (const item of this.#items) {
      if (item.endsAtMs > now) {
        nextMs = Math.min(nextMs, item.endsAtMs)
        continue
      }
      this.#items.delete(item)
      item.expire()
    }
    // What has expired may have begun something shorter.
    if (nextMs < this.#wakesAtMs) this.#wakeAt(nextMs)
  }
}
