/**
 * Rate-limit: some users send more than they may, and get what their buckets hold and no more;
 * all others get all. There are more names than buckets are kept.
 */
import * as frontend from '../kit/frontend.ts'
import type { Random } from '../kit/pipelines.ts'
import { COMMON_ACTS, COPY_OUT } from './acts.ts'
import { LIMITED_USERS } from './database.ts'
import { freshAddress, open, type Session } from './session.ts'
import { type Act, type Role, type Scene, type Subject, UNREAD_LOG } from './subject.ts'

const STATEMENTS = { rate: 2, burst: 5 }
const CONNECTIONS = { rate: 2, burst: 3 }
const CONFIG = {
  rules: [
    { name: 'few', users: ['limited_*'], per: ['user'], ...STATEMENTS },
    // A bucket for each address, and they hardly ever come twice.
    { name: 'addresses', per: ['address', 'user'], rate: 1, burst: 1, action: 'count' },
  ],
  connections: CONNECTIONS,
  bucketsMax: 64,
}
const STATEMENTS_AT_ONCE = 20
const CONNECTIONS_AT_ONCE = 8
/** Behind it a bucket may have been given up for another, and be full again. */
const CERTAIN_MS = 1000
const REFUSED = '53400'

/** What is known of a user's bucket: who uses it, and since when nobody does. */
class Buckets {
  readonly #users = new Map<string, { busy: number; idleSinceMs: number }>()

  /** True where the bucket is full and ours alone. */
  take(user: string): boolean {
    const known = this.#users.get(user) ?? { busy: 0, idleSinceMs: Number.NEGATIVE_INFINITY }
    this.#users.set(user, known)
    const fullAtMs = known.idleSinceMs + (1000 * STATEMENTS.burst) / STATEMENTS.rate
    const isFull = known.busy === 0 && performance.now() > fullAtMs
    known.busy++
    return isFull
  }

  release(user: string): void {
    const known = this.#users.get(user)
    if (known === undefined) return
    known.busy--
    known.idleSinceMs = performance.now()
  }
}

const burst = (buckets: Buckets): Act => ({
  name: 'burst',
  weight: 1,
  async run(session, random) {
    const isFull = buckets.take(session.user)
    try {
      await sendBurst(session, random, isFull)
    } finally {
      buckets.release(session.user)
    }
  },
})

async function sendBurst(session: Session, random: Random, isFull: boolean): Promise<void> {
  const { tally } = session
  const startedAtMs = performance.now()
  const isSimple = random.chance(0.5)
  const replies = await session.sendAll(
    Array.from({ length: STATEMENTS_AT_ONCE }, (_, n) => [
      isSimple ? frontend.query(`select ${n} as n`) : frontend.extendedQuery('select $1', [`${n}`]),
    ]),
  )
  const got = replies.map(({ code, rows }) => code ?? rows[0]?.[0])
  const right = got.filter((each, n) => each === REFUSED || each === String(n))
  tally.expect('answered or refused', right, got)
  const passed = got.filter((each) => each !== REFUSED).length
  tally.require(
    !isFull || passed >= STATEMENTS.burst,
    `${passed} of ${STATEMENTS.burst} statements pass from a bucket that is full`,
  )
  const elapsedMs = performance.now() - startedAtMs
  const most = STATEMENTS.burst + 1 + (STATEMENTS.rate * elapsedMs) / 1000
  const words = `${passed} statements pass in ${elapsedMs.toFixed(0)} ms`
  tally.require(elapsedMs > CERTAIN_MS || passed <= most, words)
}

/** More connections of one address at once than it may open. */
const crowd = ({ gateway, database, tally }: Scene): Act => ({
  name: 'crowd',
  weight: 2,
  async run(_session, random) {
    const { host, port } = gateway
    const login = { host, port, localAddress: freshAddress(random), user: 'dba', database }
    const startedAtMs = performance.now()
    const opened = await Promise.allSettled(
      Array.from({ length: CONNECTIONS_AT_ONCE }, () => open(login, tally)),
    )
    const elapsedMs = performance.now() - startedAtMs
    let passed = 0
    for (const each of opened) {
      if (each.status === 'fulfilled') {
        passed++
        await each.value.end(true)
      } else {
        const words = String(each.reason)
        tally.require(words.includes(REFUSED), `a connection too many: ${words}`)
      }
    }
    const most = CONNECTIONS.burst + 1 + (CONNECTIONS.rate * elapsedMs) / 1000
    const isRight = passed >= CONNECTIONS.burst && (passed <= most || elapsedMs > CERTAIN_MS)
    tally.require(isRight, `${passed} connections pass in ${elapsedMs.toFixed(0)} ms`)
  },
})

export const RATE_LIMIT: Subject = {
  entry: { onFailure: 'closed', config: CONFIG },
  logger: UNREAD_LOG,
  signs: ['over_limit_total', 'connections_refused_total', 'buckets_evicted_total'],
  async begin(scene) {
    const { database } = scene
    const bursts = [burst(new Buckets())]
    const limited = Array.from(
      { length: LIMITED_USERS },
      (_, n): Role => ({ user: `limited_${n}`, database, weight: 1, acts: bursts }),
    )
    const acts = [...COMMON_ACTS, COPY_OUT, crowd(scene)]
    const free = { user: 'app', database, weight: 12 * LIMITED_USERS, acts }
    return { roles: [free, ...limited], beside: {} }
  },
}
