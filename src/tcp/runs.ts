/** Gathers neighbouring runs of what was read, so that they go out together. */

/** Those that nobody uses now: they are needed while a chunk is worked off, and by few at once. */
const spare: Runs[] = []
const SPARE_MAX = 16

export class Runs {
  /** What is worked off now, as it was read. */
  #chunk: Uint8Array | null = null
  /** A run of it that is to be written, together with what follows. */
  #gathered: Uint8Array | null = null

  static of(chunk: Uint8Array): Runs {
    const runs = spare.pop() ?? new Runs()
    runs.#chunk = chunk
    return runs
  }

  /**
   * True where the bytes are kept, to go out with what follows. False: they are borrowed, or do
   * not follow what was gathered, which must go out before them.
   */
  gather(bytes: Uint8Array): boolean {
    const chunk = this.#chunk
    // A whole chunk is not asked for its buffer, which the engine would have to make.
    if (chunk === null || bytes === chunk || bytes.buffer !== chunk.buffer) return false
    const gathered = this.#gathered
    if (gathered === null) {
      this.#gathered = bytes
      return true
    }
    if (gathered.byteOffset + gathered.length !== bytes.byteOffset) return false
    const length = gathered.length + bytes.length
    this.#gathered = new Uint8Array(bytes.buffer, gathered.byteOffset, length)
    return true
  }

  /** What was gathered, which is to be written now. */
  take(): Uint8Array | null {
    const gathered = this.#gathered
    this.#gathered = null
    return gathered
  }

  /** All of the chunk has been worked off, and what was gathered is taken. */
  static end(runs: Runs | null): null {
    if (runs === null) return null
    runs.#chunk = null
    if (spare.length < SPARE_MAX) spare.push(runs)
    return null
  }
}
