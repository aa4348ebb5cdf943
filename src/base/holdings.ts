/** Things that several owners hold at once: each is stopped when the last of them lets go. */

interface Stoppable {
  stop(): void | Promise<void>
}

export class Holdings<Thing extends Stoppable> {
  readonly #owners = new Map<Thing, number>()
  readonly #ended: (thing: Thing) => void

  /** `ended` is told of each that has stopped. */
  constructor(ended: (thing: Thing) => void = () => undefined) {
    this.#ended = ended
  }

  /** All that is held by somebody, or is being stopped; the newest first. */
  get held(): readonly Thing[] {
    return [...this.#owners.keys()].reverse()
  }

  hold(thing: Thing): void {
    this.#owners.set(thing, (this.#owners.get(thing) ?? 0) + 1)
  }

  /** Lets go once; resolves when what nobody holds any more has stopped. Rejects as that does. */
  async release(thing: Thing): Promise<void> {
    const owners = (this.#owners.get(thing) ?? 0) - 1
    this.#owners.set(thing, owners)
    if (owners > 0) return
    try {
      await thing.stop()
    } finally {
      this.#owners.delete(thing)
      this.#ended(thing)
    }
  }
}
