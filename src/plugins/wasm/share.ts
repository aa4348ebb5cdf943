/** How much of the loop one plugin takes: its calls of the last second, added up in buckets. */

const PERIOD_MS = 1000
const BUCKET_MS = 50
/** The oldest goes a little early, so that nobody is told of more than a second. */
const BUCKETS = PERIOD_MS / BUCKET_MS

/** The time one plugin spent on the loop in the second that ends now. */
export class LoopShare {
  readonly #spentMax: number
  readonly #spent = new Float64Array(BUCKETS)
  /** The number of the bucket that is filled now, counted from the start of the clock. */
  #current = 0
  #total = 0

  /** `percentMax` is of one second; 100 never says no. */
  constructor(percentMax: number) {
    this.#spentMax = percentMax >= 100 ? Number.POSITIVE_INFINITY : (percentMax / 100) * PERIOD_MS
  }

  /** Milliseconds of the last second, as far as they are known at `nowMs`. */
  spentMs(nowMs: number): number {
    this.#turn(nowMs)
    return this.#total
  }

  /** Adds a call that took `spentMs` and ended at `nowMs`; false: the share is used up. */
  add(spentMs: number, nowMs: number): boolean {
    this.#turn(nowMs)
    const place = this.#current % BUCKETS
    this.#spent[place] = (this.#spent[place] ?? 0) + spentMs
    this.#total += spentMs
    return this.#total <= this.#spentMax
  }

  /** Forgets what was spent: what is held against the plugin was held against it once. */
  forgive(): void {
    this.#spent.fill(0)
    this.#total = 0
  }

  /** Lets go of the buckets that began a second ago. */
  #turn(nowMs: number): void {
    const wanted = Math.floor(nowMs / BUCKET_MS)
    if (wanted === this.#current) return
    const steps = Math.min(wanted - this.#current, BUCKETS)
    for (let step = 1; step <= steps; step++) {
      this.#spent[(this.#current + step) % BUCKETS] = 0
    }
    this.#current = wanted
    // Summed anew, so that rounding never adds up.
    this.#total = 0
    for (const spent of this.#spent) this.#total += spent
  }
}
