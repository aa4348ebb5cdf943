/** Counts under names that are all known beforehand, so that those never counted show as zero. */
export class NamedCounts<Name extends string> {
  readonly #counts: Map<Name, number>

  constructor(names: readonly Name[]) {
    this.#counts = new Map(names.map((name) => [name, 0]))
  }

  /** Counts once more. */
  add(name: Name): void {
    this.#counts.set(name, this.of(name) + 1)
  }

  /** How often it was counted. */
  of(name: Name): number {
    return this.#counts.get(name) ?? 0
  }

  /** Every name with its count. */
  entries(): Iterable<readonly [Name, number]> {
    return this.#counts.entries()
  }
}
