/**
 * Has memory collected that slow readers leave behind. A chunk that a client cannot take is garbage
 * soon after, but the engine lets some 30 MB of it pile up before it looks; this makes it look.
 */

/** Bytes kept for slow readers between two collections. */
const KEPT_BYTES = 4_000_000
/** A collection stops everything, so it may take this share of the time at most: 0.5%. */
const PAUSE_SHARE = 0.005

/** Counts what is kept; pure but for the clock and the collection, which are handed in. */
export class Thrift {
  readonly #collect: () => void
  readonly #clock: () => number
  #kept = 0
  #notBefore = 0

  constructor(collect: () => void, clock: () => number) {
    this.#collect = collect
    this.#clock = clock
  }

  kept(bytes: number): void {
    this.#kept += bytes
    if (this.#kept < KEPT_BYTES) return
    const startedAt = this.#clock()
    if (startedAt < this.#notBefore) return
    this.#kept = 0
    this.#collect()
    const endedAt = this.#clock()
    this.#notBefore = endedAt + (endedAt - startedAt) / PAUSE_SHARE
  }
}

/** One for the process, as its memory is. */
export const thrift = new Thrift(
  () => Bun.gc(true),
  () => performance.now(),
)
