/** The waits of a stop: each ends, and all of them soon once nobody is to be waited for. */
import type { Logger } from 'pino'
import { settlesIn } from './base/settles.ts'
import type { Generation } from './generation.ts'

/** How long a stop waits for plugins to be told, and for a reload that is under way. */
export const TOLD_WITHIN_MS = 5000
/** How long a stop that is forced waits for what it ends. */
const FORCED_WITHIN_MS = 500

export class Ending {
  readonly #log: Logger
  readonly #forced = Promise.withResolvers<void>()

  constructor(log: Logger) {
    this.#log = log
  }

  /** Nobody is waited for any more. */
  force(): void {
    this.#forced.resolve()
  }

  /** Waits; where it is forced, does what that means, and waits no longer than for its effect. */
  async orForced(promise: Promise<unknown>, force: () => void): Promise<void> {
    const forced = this.#forced.promise.then(() => {
      force()
      return settlesIn(FORCED_WITHIN_MS, promise)
    })
    await Promise.race([promise, forced])
  }

  /** Waits, but not much longer than until a stop is forced; false where it did not settle. */
  unlessForced(promise: Promise<unknown>, boundMs?: number): Promise<boolean> {
    const settled = boundMs === undefined ? promise.then(() => true) : settlesIn(boundMs, promise)
    const forced = this.#forced.promise.then(() => settlesIn(FORCED_WITHIN_MS, promise))
    return Promise.race([settled, forced])
  }

  /** Waits until plugins were told; one that hangs must not keep the gateway from stopping. */
  async told(telling: Promise<void>, what: string): Promise<void> {
    if (await this.unlessForced(telling, TOLD_WITHIN_MS)) return
    this.#log.warn({}, `a plugin was not told of ${what} within ${TOLD_WITHIN_MS} ms; stopping on`)
  }
}

/** Of the ends of sessions plugins are told behind what was said before. */
export async function tellEnd({ desk, services }: Generation): Promise<void> {
  await desk.quiet()
  for (const { listener } of services) {
    await desk.tell('onShutdown', { connections: listener.sessions })
  }
}
