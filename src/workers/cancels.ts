/** CancelRequests whose key this worker does not know: carried to whichever other one does. */
import type { FromWorker } from './messages.ts'

/** Carried at once; a client that asks for more is closed, as where nobody knows its key. */
const CARRIED_MAX = 100
/** When the client of one is closed, whatever became of it. */
const CARRIED_WITHIN_MS = 10_000

export class CarriedCancels {
  readonly #send: (message: FromWorker) => void
  readonly #done = new Map<number, () => void>()
  #number = 0

  constructor(send: (message: FromWorker) => void) {
    this.#send = send
  }

  /** Calls back once: when it was carried out, where nobody knows the key, or when time is up. */
  carry(group: string, request: Uint8Array, done: () => void): void {
    if (this.#done.size >= CARRIED_MAX) return done()
    this.#number += 1
    const id = this.#number
    const timer = setTimeout(() => this.ended(id), CARRIED_WITHIN_MS)
    this.#done.set(id, () => {
      clearTimeout(timer)
      done()
    })
    this.#send({ kind: 'cancel', id, group, request })
  }

  ended(id: number): void {
    const done = this.#done.get(id)
    this.#done.delete(id)
    done?.()
  }
}
