/**
 * What things have counted that are gone. A reload may replace one by another of the same name:
 * what their series count must go on, and each name must stand on the page once.
 */

/** Names that are remembered; beyond them the oldest is forgotten, and counts from zero again. */
const NAMES_MAX = 10_000

export interface Summing<Counts> {
  nameOf(counts: Counts): string
  /** Both as one; what is no count is that of the `newer`. */
  sum(newer: Counts, older: Counts): Counts
  /** What is to be remembered: a copy, for what is gone may still be told of the end of a call. */
  copy(counts: Counts): Counts
}

export class Past<Counts> {
  readonly #summing: Summing<Counts>
  readonly #byName = new Map<string, Counts>()

  constructor(summing: Summing<Counts>) {
    this.#summing = summing
  }

  /** Remembers the last counts of something. */
  add(counts: Counts): void {
    const { nameOf, sum, copy } = this.#summing
    const name = nameOf(counts)
    const before = this.#byName.get(name)
    this.#byName.delete(name)
    this.#byName.set(name, before === undefined ? copy(counts) : sum(copy(counts), before))
    const [oldest] = this.#byName.keys()
    if (this.#byName.size > NAMES_MAX && oldest !== undefined) this.#byName.delete(oldest)
  }

  /** What is there now, the newer first: one for each name, with what was counted before. */
  with(present: readonly Counts[]): readonly Counts[] {
    const { nameOf, sum } = this.#summing
    const all = new Map<string, Counts>()
    for (const counts of present) {
      const name = nameOf(counts)
      const newer = all.get(name)
      const before = newer === undefined ? this.#byName.get(name) : undefined
      const alone = before === undefined ? counts : sum(counts, before)
      all.set(name, newer === undefined ? alone : sum(newer, counts))
    }
    return [...all.values()]
  }
}
