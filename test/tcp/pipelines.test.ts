/**
 * The ledger against a real server: random pipelines with refusals, answers and replacements must
 * read, to the client, exactly as if the server itself had failed or answered those messages.
 * `POSTERN_PIPELINES` sets how many; `POSTERN_SEED` repeats one run.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { CONTINUE, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import { errorResponse, message, readyForQuery } from '../../src/protocols/postgres/messages.ts'
import type { BackendMessage } from '../kit/backend.ts'
import { query } from '../kit/frontend.ts'
import {
  comparable,
  DENIED_CODE,
  DENY,
  isLast,
  type Pipeline,
  type Random,
  REPLACE,
  RESPOND,
  RESPOND_ERROR,
  randomPipeline,
  seeded,
} from '../kit/pipelines.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { type FakeStep, passing, startService } from '../kit/service.ts'
import { openSession, type Wire } from '../kit/wire.ts'

const PIPELINES = Number(process.env['POSTERN_PIPELINES'] ?? 120)
const FIRST_SEED = Number(process.env['POSTERN_SEED'] ?? 1)
const EMPTY = new Uint8Array(0)

let postgres: PostgresServer

beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres.stop())

const ANSWERS: Readonly<Record<string, Uint8Array>> = {
  Q: message(0x49, EMPTY),
  P: message(0x31, EMPTY),
  C: message(0x33, EMPTY),
}

/** The verdict that a mark in a message asks for. */
function verdictOn(bytes: Uint8Array, random: Random): TrafficVerdict {
  const said = Buffer.from(bytes).toString('latin1')
  if (said.includes(DENY)) return { kind: 'deny', code: DENIED_CODE, message: 'no' }
  if (said.includes(REPLACE)) return { kind: 'replace', bytes: query('select 77') }
  const ready = random.chance(0.5) ? readyForQuery(0x49) : EMPTY
  if (said.includes(RESPOND_ERROR)) {
    const error = errorResponse({ code: DENIED_CODE, message: 'no' })
    return { kind: 'respond', bytes: Buffer.concat([error, ready]) }
  }
  if (!said.includes(RESPOND)) return CONTINUE
  const answer = ANSWERS[said.charAt(0)]!
  const bytesReady = said.startsWith('Q') ? ready : EMPTY
  return { kind: 'respond', bytes: Buffer.concat([answer, bytesReady]) }
}

function marking(random: Random, slowly: boolean): FakeStep {
  return {
    decide: (bytes) => {
      const verdict = verdictOn(bytes, random)
      if (!slowly || random.chance(0.3)) return verdict
      return Bun.sleep(random.below(2)).then(() => verdict)
    },
  }
}

async function readToEnd(wire: Wire): Promise<BackendMessage[]> {
  const all: BackendMessage[] = []
  for (;;) {
    const read = await wire.read()
    all.push(read)
    if (isLast(read)) return [...all, ...(await wire.readUntil('ReadyForQuery'))]
  }
}

/** Sends in pieces that end anywhere, so that messages are cut and joined at random. */
async function sendInPieces(
  wire: Wire,
  pipeline: Pipeline,
  random: Random,
  between: () => void = () => {},
): Promise<void> {
  const bytes = Buffer.concat(pipeline.marked)
  for (let at = 0; at < bytes.length; ) {
    const size = random.chance(0.2) ? 1 + random.below(9) : 1 + random.below(400)
    wire.send(bytes.subarray(at, at + size))
    at += size
    between()
    if (random.chance(0.3)) await Bun.sleep(0)
    if (random.chance(0.05)) await Bun.sleep(1)
  }
}

async function repliesThrough(port: number, send: (wire: Wire) => Promise<void> | void) {
  const { host, user, password, database } = postgres
  const wire = await openSession({ host, port, user, password, database, timeoutMs: 5000 })
  try {
    const reading = readToEnd(wire)
    await send(wire)
    return (await reading).map(comparable)
  } finally {
    wire.destroy()
  }
}

const CHAINS: Readonly<Record<string, (random: Random) => Parameters<typeof startService>[0]>> = {
  'a synchronous step': (random) => ({
    upstreams: [postgres.port],
    fromClient: [marking(random, false)],
  }),
  'a step that returns promises': (random) => ({
    upstreams: [postgres.port],
    fromClient: [marking(random, true)],
    fromServer: [passing(true)],
  }),
  'a mixed chain with batches and replies': (random) => ({
    upstreams: [postgres.port],
    fromClient: [passing(true, 'batch'), marking(random, false), passing(false, 'batch')],
    fromServer: [passing(false), passing(true, 'reply')],
  }),
}

for (const [name, chain] of Object.entries(CHAINS)) {
  test(
    `random pipelines through ${name} read as if the server had refused`,
    async () => {
      for (let seed = FIRST_SEED; seed < FIRST_SEED + PIPELINES; seed++) {
        const random = seeded(seed)
        const pipeline = randomPipeline(random)
        const direct = await repliesThrough(postgres.port, (wire) => wire.send(...pipeline.plain))
        await using service = startService(chain(random))
        const through = await repliesThrough(service.port, (wire) =>
          sendInPieces(wire, pipeline, random),
        ).catch((error: unknown) => {
          throw new Error(
            `seed ${seed}: ${String(error)}\n${print(pipeline)}\n${direct.join('\n')}`,
          )
        })
        if (through.join('\n') !== direct.join('\n')) {
          process.stderr.write(`seed ${seed} differs:\n${print(pipeline)}\n`)
        }
        expect({ seed, replies: through }).toEqual({ seed, replies: direct })
        expect({ seed, failures: service.failures }).toEqual({ seed, failures: [] })
        expect({ seed, held: service.budget.held }).toEqual({ seed, held: 0 })
      }
    },
    60_000 + PIPELINES * 500,
  )
}

test(
  'the same where the chains are exchanged again and again meanwhile',
  async () => {
    let moves = 0
    const chains = Object.values(CHAINS)
    for (let seed = FIRST_SEED; seed < FIRST_SEED + PIPELINES; seed++) {
      const random = seeded(seed)
      const pipeline = randomPipeline(random)
      const direct = await repliesThrough(postgres.port, (wire) => wire.send(...pipeline.plain))
      await using service = startService(chains[random.below(3)]!(random))
      let current = service.tenancy
      const reload = (): void => {
        if (!random.chance(0.3)) return
        const { upstreams: _, ...others } = chains[random.below(3)]!(random)
        const next = service.renew(others)
        moves += next.sessions
        current = next
      }
      const through = await repliesThrough(service.port, async (wire) => {
        const timer = setInterval(reload, 1)
        await sendInPieces(wire, pipeline, random, reload)
        clearInterval(timer)
      })
      expect({ seed, replies: through }).toEqual({ seed, replies: direct })
      expect({ seed, failures: service.failures }).toEqual({ seed, failures: [] })
      expect({ seed, held: service.budget.held }).toEqual({ seed, held: 0 })
      expect(current.sessions).toBeLessThanOrEqual(1)
    }
    expect(moves).toBeGreaterThan(PIPELINES / 10)
  },
  60_000 + PIPELINES * 500,
)

function print(pipeline: Pipeline): string {
  return pipeline.marked.map((bytes) => Buffer.from(bytes).toString('latin1')).join(' | ')
}
