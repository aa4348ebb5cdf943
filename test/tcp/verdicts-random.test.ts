/**
 * Steps on both sides that refuse, answer and fail at random, over random pipelines before a real
 * server: every message that a client reads is whole, and its last query is always answered.
 * `POSTERN_PIPELINES` sets how many; `POSTERN_SEED` repeats one run.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { CONTINUE, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import { isLast, type Random, randomPipeline, seeded } from '../kit/pipelines.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { type FakeStep, startService } from '../kit/service.ts'
import { openSession } from '../kit/wire.ts'
import { server as says } from '../protocols/postgres/stage.ts'

const PIPELINES = Number(process.env['POSTERN_PIPELINES'] ?? 120)
const FIRST_SEED = Number(process.env['POSTERN_SEED'] ?? 1)

let postgres: PostgresServer
beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres.stop())

const DENY: TrafficVerdict = { kind: 'deny', code: '42501', message: 'no' }
const ANSWERS: readonly TrafficVerdict[] = [
  DENY,
  DENY,
  { kind: 'respond', bytes: says.error('22000', 'made up') },
  { kind: 'replace', bytes: new Uint8Array([1, 2, 3]) },
  { kind: 'failure', cause: 'it fell' },
]

/** What ends a transaction is left alone, so that the last query can be answered. */
function isSpared(bytes: Uint8Array): boolean {
  return Buffer.from(bytes).includes('rollback')
}

/** Sessions whose client was told that it is logged in, and has not asked its last query. */
const running = new Set<string>()
const known = new Set<string>()

const noticingLogin: FakeStep = {
  messages: ['ReadyForQuery'],
  decide: (_bytes, { id }) => {
    if (!known.has(id)) running.add(id)
    known.add(id)
    return CONTINUE
  },
}

function erratic(random: Random, step: Partial<FakeStep>): FakeStep {
  return {
    ...step,
    decide: (bytes, { id }) => {
      if (Buffer.from(bytes).includes('424242')) running.delete(id)
      const spared = !running.has(id) || isSpared(bytes) || !random.chance(0.1)
      const verdict = spared ? CONTINUE : random.pick(ANSWERS)
      return random.chance(0.5) ? verdict : Promise.resolve(verdict)
    },
  }
}

/** A server's step can refuse, replace or fail; it has nothing to answer. */
function erraticServer(random: Random, step: Partial<FakeStep>): FakeStep {
  const { decide, ...rest } = erratic(random, step)
  return {
    ...rest,
    decide: async (bytes, session) => {
      const verdict = await decide(bytes, session)
      return verdict.kind === 'respond' ? DENY : verdict
    },
  }
}

test('whatever steps say, a client reads whole messages and its last reply', async () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + PIPELINES; seed++) {
    const random = seeded(seed)
    const onFailure = random.pick(['open', 'closed'] as const)
    await using service = startService({
      upstreams: [postgres.port],
      fromClient: [
        erratic(random, { unit: random.pick(['message', 'batch'] as const), onFailure }),
        erratic(random, { onFailure }),
      ],
      fromServer: [
        erraticServer(random, { unit: random.pick(['message', 'reply'] as const), onFailure }),
        erraticServer(random, { onFailure }),
        noticingLogin,
      ],
    })
    const { user, password, database, host } = postgres
    const address = { host, port: service.port, user, password, database, timeoutMs: 3000 }
    using wire = await openSession(address)
    const reading = (async () => {
      while (!isLast(await wire.read()));
      await wire.readUntil('ReadyForQuery')
    })()
    const sent = Buffer.concat(randomPipeline(random).plain)
    for (let at = 0; at < sent.length; ) {
      const size = 1 + random.below(random.chance(0.2) ? 9 : 400)
      wire.send(sent.subarray(at, at + size))
      at += size
      if (random.chance(0.3)) await new Promise(setImmediate)
    }
    await reading.catch((error: unknown) => {
      throw new Error(`seed ${seed}: ${String(error)}`)
    })
    expect({ seed, held: service.budget.held }).toEqual({ seed, held: 0 })
    expect({ seed, broken: service.account.internalErrors }).toEqual({ seed, broken: 0 })
  }
}, 60_000)
