/** The sessions that still use what one generation has built; it is taken down behind the last. */

export class Tenancy {
  #sessions = 0
  #left: (() => void) | null = null

  /** Sessions that use it now. */
  get sessions(): number {
    return this.#sessions
  }

  enter(): void {
    this.#sessions += 1
  }

  leave(): void {
    this.#sessions -= 1
    if (this.#sessions > 0) return
    this.#left?.()
  }

  /** Resolves when the last session has left; to be asked once nobody enters any more. */
  empty(): Promise<void> {
    if (this.#sessions === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#left = resolve
    })
  }
}
