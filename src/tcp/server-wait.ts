/** What of one direction waits for a server, where connections are shared by transactions. */
import { CONTINUE } from '../hooks/verdict.ts'

export class ServerWait {
  /** A chunk waits of which nothing has been looked at. */
  #parked = false
  #resolve: ((verdict: typeof CONTINUE) => void) | null = null

  park(): void {
    this.#parked = true
  }

  /** True where a chunk was parked, which is no longer. */
  unpark(): boolean {
    const parked = this.#parked
    this.#parked = false
    return parked
  }

  /** Resolves when there is a server. */
  promise(): Promise<typeof CONTINUE> {
    const { promise, resolve } = Promise.withResolvers<typeof CONTINUE>()
    this.#resolve = resolve
    return promise
  }

  /** There is one; true where a promise was waited for. */
  settle(): boolean {
    const resolve = this.#resolve
    this.#resolve = null
    resolve?.(CONTINUE)
    return resolve !== null
  }
}
