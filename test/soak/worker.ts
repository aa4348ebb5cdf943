/** Sessions, one after the other, that do what their role does at a bounded rate. */
import type { Random } from '../kit/pipelines.ts'
import { freshAddress, open, type Session } from './session.ts'
import { pickByWeight, type Role, type Scene } from './subject.ts'

const ACTS_OF_A_SESSION_MAX = 25
const FAILURE_PAUSE_MS = 200
/** What a pause of the machine may leave to be caught up with. */
const LATE_MS_MAX = 1000

/** Lets so many statements a second go, for all workers of a gateway together. */
export class Pacer {
  readonly #msEach: number
  #nextAtMs = performance.now()

  constructor(perSecond: number) {
    this.#msEach = 1000 / perSecond
  }

  /** Resolves when it is time for the next statement; `done` were sent since the last call. */
  async pause(done: number): Promise<void> {
    const nowMs = performance.now()
    this.#nextAtMs = Math.max(this.#nextAtMs + done * this.#msEach, nowMs - LATE_MS_MAX)
    const waitMs = this.#nextAtMs - nowMs
    if (waitMs > 0) await Bun.sleep(waitMs)
  }
}

export interface Work {
  readonly scene: Scene
  readonly roles: readonly Role[]
  readonly pacer: Pacer
  readonly random: Random
  readonly signal: AbortSignal
}

/** Until the signal: connects, acts, leaves. */
export async function workOn(work: Work): Promise<void> {
  const { scene, roles, random, signal } = work
  while (!signal.aborted) {
    const role = pickByWeight(roles, random)
    try {
      await actAs(role, work)
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error)
      scene.tally.add(`${role.user}: ${words}`)
      await Bun.sleep(FAILURE_PAUSE_MS)
    }
  }
}

async function actAs({ user, database, acts }: Role, work: Work): Promise<void> {
  const { scene, random, signal } = work
  const { host, port } = scene.gateway
  const localAddress = freshAddress(random)
  const session = await open({ host, port, localAddress, user, database }, scene.tally)
  try {
    for (let left = 1 + random.below(ACTS_OF_A_SESSION_MAX); left > 0; left--) {
      if (signal.aborted || session.isEnded) break
      await actOnce(session, acts, work)
    }
  } catch (error) {
    session.end(false).catch(() => undefined)
    throw error
  }
  await session.end(random.chance(0.8))
}

async function actOnce(
  session: Session,
  acts: Role['acts'],
  { pacer, random }: Work,
): Promise<void> {
  const act = pickByWeight(acts, random)
  const before = session.sent
  try {
    await act.run(session, random)
  } catch (error) {
    throw new Error(`${act.name}: ${error instanceof Error ? error.message : error}`)
  }
  await pacer.pause(session.sent - before)
}
