/**
 * Random pipelines through the executable and chained plugins of both runtimes, cut and joined
 * anywhere: to the client they must read as if the server itself had failed or answered.
 * POSTERN_LONG=1 tries more; POSTERN_SEED repeats one run.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { BackendMessage } from '../kit/backend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import {
  comparable,
  isLast,
  type Pipeline,
  type Random,
  randomPipeline,
  seeded,
} from '../kit/pipelines.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import type { Wire } from '../kit/wire.ts'
import {
  buildPlugins,
  type Entry,
  entryOf,
  login,
  samples,
  scripted,
  startWith,
} from './plugins-scene.ts'

const PIPELINES = process.env['POSTERN_LONG'] === '1' ? 1000 : 60
const FIRST_SEED = Number(process.env['POSTERN_SEED'] ?? 1)
/** SQLSTATE of a gRPC plugin's refusal, which no other statement of a pipeline fails with. */
const TERMINATED = '42000'

const marks = (name: string, config: Entry = {}) => entryOf('marks.wasm', { name, config })
const pipelined = (name: string) => scripted({ MARKS: 'pipelines', NAME: name }, { name })
const idle = (name: string) => entryOf('verdicts.wasm', { name })

const CHAINS: Readonly<Record<string, () => readonly Entry[]>> = {
  'WASM alone': () => [marks('a')],
  // The gRPC plugin takes the statements, the WASM plugin what is left.
  'gRPC before WASM': () => [pipelined('a'), marks('b')],
  'WASM before gRPC': () => [marks('a', { leaves: 'yes' }), pipelined('b')],
  'two of each': () => [
    idle('a'),
    pipelined('b'),
    marks('c'),
    scripted({ NAME: 'd' }, { name: 'd' }),
  ],
}

let postgres: PostgresServer
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
}, 120_000)
afterAll(() => postgres.stop())

for (const [chain, plugins] of Object.entries(CHAINS)) {
  describe(chain, () => {
    let gateway: RunningGateway
    beforeAll(async () => {
      gateway = await startWith(postgres, { plugins: plugins() })
    }, 30_000)
    afterAll(() => gateway.stop())

    test(
      `${PIPELINES} random pipelines read as if the server had refused`,
      async () => {
        for (let seed = FIRST_SEED; seed < FIRST_SEED + PIPELINES; seed++) {
          const random = seeded(seed)
          const pipeline = randomPipeline(random)
          const direct = await replies(postgres, (wire) => wire.send(...pipeline.plain))
          const through = await replies(gateway, (wire) =>
            sendInPieces(wire, pipeline, random),
          ).catch((error: unknown) => {
            throw new Error(`seed ${seed}: ${String(error)}\n${print(pipeline)}`)
          })
          expect({ seed, through, pipeline: print(pipeline) }).toEqual({
            seed,
            through: direct,
            pipeline: print(pipeline),
          })
        }
        expect(await samples(gateway, 'postern_denied_total')).toBeGreaterThan(0)
        expect(await samples(gateway, 'postern_step_failures_total')).toBe(0)
        expect(await samples(gateway, 'postern_internal_errors_total')).toBe(0)
        expect(await samples(gateway, 'postern_buffered_bytes')).toBe(0)
      },
      20_000 + PIPELINES * 500,
    )
  })
}

async function replies(
  place: { readonly host: string; readonly port: number },
  send: (wire: Wire) => Promise<void> | void,
): Promise<string[]> {
  using wire = await login(place, postgres)
  const reading = readToLast(wire)
  await send(wire)
  return (await reading).map(likened)
}

async function readToLast(wire: Wire): Promise<BackendMessage[]> {
  const all: BackendMessage[] = []
  for (;;) {
    const read = await wire.read()
    all.push(read)
    if (isLast(read)) return [...all, ...(await wire.readUntil('ReadyForQuery'))]
  }
}

/** Comparable, with the refusals of gRPC plugins among the others. */
function likened(message: BackendMessage): string {
  const isTerminated = message.name === 'ErrorResponse' && message.code === TERMINATED
  // A plugin that answers with an error of its own has another code, too.
  const isOwn = message.name === 'ErrorResponse' && message.message === 'no'
  return isTerminated || isOwn ? 'refused' : comparable(message)
}

/** Sends in pieces that end anywhere, so that messages are cut and joined at random. */
async function sendInPieces(wire: Wire, { marked }: Pipeline, random: Random): Promise<void> {
  const bytes = Buffer.concat(marked)
  for (let at = 0; at < bytes.length; ) {
    const size = random.chance(0.2) ? 1 + random.below(9) : 1 + random.below(400)
    wire.send(bytes.subarray(at, at + size))
    at += size
    if (random.chance(0.3)) await Bun.sleep(0)
    if (random.chance(0.05)) await Bun.sleep(1)
  }
}

function print({ marked }: Pipeline): string {
  return marked.map((bytes) => Buffer.from(bytes).toString('latin1')).join(' | ')
}
