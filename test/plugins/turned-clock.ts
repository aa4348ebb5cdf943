/** A clock that stands until a test turns it. */
import type { Clock } from '../../src/plugins/clock.ts'

interface Alarm {
  readonly at: number
  readonly act: () => void
}

export class TurnedClock implements Clock {
  readonly #alarms = new Set<Alarm>()
  #now = 0

  now(): number {
    return this.#now
  }

  wall(): number {
    return Date.UTC(2026, 0, 1) + this.#now
  }

  after(delayMs: number, act: () => void): () => void {
    const alarm = { at: this.#now + delayMs, act }
    this.#alarms.add(alarm)
    return () => this.#alarms.delete(alarm)
  }

  /** How many wait for a time that has not come. */
  get waiting(): number {
    return this.#alarms.size
  }

  /** Lets time pass, and everything happen that is due, in order. */
  turn(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const due = [...this.#alarms].filter(({ at }) => at <= end)
      const next = due.toSorted((one, other) => one.at - other.at)[0]
      if (next === undefined) break
      this.#alarms.delete(next)
      this.#now = next.at
      next.act()
    }
    this.#now = end
  }
}
