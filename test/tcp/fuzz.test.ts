/** Rubbish from either side: whatever comes, sessions end in good order or go on, and so do we. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { RAW } from '../../src/protocols/raw.ts'
import {
  bind,
  concat,
  copyData,
  execute,
  extendedQuery,
  message,
  parse,
  passwordMessage,
  query,
  sslRequest,
  startup,
  sync,
} from '../kit/frontend.ts'
import { type Random, seeded } from '../kit/pipelines.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { passing, type ServiceOptions, startService } from '../kit/service.ts'
import { connectWire } from '../kit/wire.ts'
import { server as says } from '../protocols/postgres/stage.ts'
import { inTime } from './fake-server.ts'
import { ANN, GREETING, setScene } from './scene.ts'

const SESSIONS = Number(process.env['POSTERN_FUZZ'] ?? 150)
const FIRST_SEED = Number(process.env['POSTERN_SEED'] ?? 1)

let postgres: PostgresServer
beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres.stop())

const unhandled: unknown[] = []
const note = (thrown: unknown): void => void unhandled.push(thrown)
beforeEach(() => {
  unhandled.length = 0
  process.on('unhandledRejection', note).on('uncaughtException', note)
})
afterEach(() => {
  process.off('unhandledRejection', note).off('uncaughtException', note)
})

const CHAINS: Readonly<Record<string, Partial<ServiceOptions>>> = {
  'no steps': {},
  'steps that want all': { fromClient: [passing(false)], fromServer: [passing(false)] },
  'slow steps of every unit': {
    fromClient: [passing(true, 'batch'), passing(true)],
    fromServer: [passing(true, 'reply'), passing(true)],
  },
  'little room': {
    fromClient: [passing(false, 'batch')],
    fromServer: [passing(false, 'reply')],
    messageBytesMax: 64,
    bufferedBytesMax: 100,
  },
}

function randomBytes(random: Random, most: number): Uint8Array {
  return new Uint8Array(random.below(most)).map(() => random.below(256))
}

/** Bytes with some of them changed, lost, doubled or moved. */
function mutated(random: Random, bytes: Uint8Array): Uint8Array {
  let all = [...bytes]
  for (let count = 1 + random.below(4); count > 0; count--) {
    const at = random.below(all.length)
    const length = random.below(12)
    const kinds = [
      () => all.splice(at, 1, random.below(256)),
      () => all.splice(at, length),
      () => all.splice(at, 0, ...all.slice(at, at + length)),
      () => all.splice(at, 0, ...randomBytes(random, 12)),
      () => {
        all = all.slice(0, at)
      },
    ]
    random.pick(kinds)()
  }
  return new Uint8Array(all)
}

function saidByClient(random: Random, greeting: Uint8Array): Uint8Array {
  const parts = [
    () => query('select generate_series(1, 30)'),
    () => extendedQuery('select 1'),
    () => concat(parse({ sql: 'select 1' }), bind(), execute()),
    () => query('copy (select 1) to stdout'),
    () => copyData('1\n'),
    () => message(random.pick([...'QPBDESHCFdcfpX']), randomBytes(random, 40)),
    () => passwordMessage('x'),
    sync,
    sslRequest,
  ]
  const said = Array.from({ length: 1 + random.below(8) }, () => random.pick(parts)())
  const begins = random.chance(0.9) ? greeting : new Uint8Array(0)
  const all = concat(random.chance(0.2) ? sslRequest() : new Uint8Array(0), begins, ...said)
  return random.chance(0.8) ? mutated(random, all) : randomBytes(random, 300)
}

function saidByServer(random: Random): Uint8Array {
  const parts = [
    () => concat(says.columns(), says.row('1', '2'), says.complete('SELECT 1'), says.ready()),
    () => concat(says.parsed(), says.bound(), says.noColumns(), says.suspended()),
    () => concat(says.copyIn(), says.copyData('1'), says.copyDone()),
    () => concat(says.copyOut(), says.copyData('1'), says.copyDone(), says.ready('T')),
    () => says.error('22000', 'made up'),
    () => says.notify('news'),
    () => says.authentication(random.below(13)),
    () => message(random.pick([...'RKSTDCZEN123nstvVGHWIAcd']), randomBytes(random, 40)),
  ]
  const said = Array.from({ length: 1 + random.below(8) }, () => random.pick(parts)())
  const all = concat(random.chance(0.9) ? GREETING : new Uint8Array(0), ...said)
  return random.chance(0.7) ? mutated(random, all) : all
}

async function sendInPieces(send: (bytes: Uint8Array) => void, random: Random, bytes: Uint8Array) {
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + random.below(random.pick([3, 50, 5000]))
    send(bytes.subarray(at, at + size))
    at += size
    if (random.chance(0.2)) await new Promise(setImmediate)
  }
}

/** No session is left, nothing is held, and nothing broke inside. */
async function isClean(service: ReturnType<typeof startService>): Promise<void> {
  const ended = (async () => {
    while (service.account.sessionsOpen > 0) await new Promise(setImmediate)
  })()
  await inTime('the last session to end', ended)
  expect(service.account.internalErrors).toBe(0)
  expect(service.budget.held).toBe(0)
  expect(unhandled).toEqual([])
}

for (const [name, options] of Object.entries(CHAINS)) {
  describe(`with ${name}`, () => {
    test('rubbish from clients harms nobody else, and never stays', async () => {
      const random = seeded(FIRST_SEED)
      await using service = startService({ ...options, upstreams: [postgres.port] })
      const { user, database, host } = postgres
      const address = { host, port: service.port }
      using bystander = await connectWire(address)
      await bystander.login({ user, database })
      for (let session = 0; session < SESSIONS; session++) {
        const wire = await connectWire(address)
        const closed = Promise.withResolvers<void>()
        wire.socket.once('close', () => closed.resolve())
        const said = saidByClient(random, startup({ user, database }))
        await sendInPieces((bytes) => wire.send(bytes), random, said)
        wire.halfClose()
        wire.socket.on('data', () => {})
        await inTime(`session ${session} to end`, closed.promise)
      }
      expect(await bystander.rows('select 1')).toEqual([['1']])
      expect(service.account.violations).toBeGreaterThan(0)
      bystander.destroy()
      await isClean(service)
    }, 30_000)

    test('rubbish from a server ends that session at most', async () => {
      const random = seeded(FIRST_SEED)
      await using scene = await setScene(options)
      for (let session = 0; session < SESSIONS; session++) {
        const wire = await scene.connect()
        const closed = Promise.withResolvers<void>()
        wire.socket.removeAllListeners('data').on('data', () => {})
        wire.socket.once('close', () => closed.resolve())
        wire.send(ANN, query('select 1'), extendedQuery('select 2'))
        const server = await scene.server.next()
        await sendInPieces((bytes) => server.send(bytes), random, saidByServer(random))
        server.socket.end()
        await inTime(`session ${session} to end`, server.closed)
        wire.halfClose()
        await inTime(`the client of session ${session} to be let go`, closed.promise)
      }
      expect(scene.service.account.violations).toBeGreaterThan(0)
      await isClean(scene.service)
    }, 30_000)
  })
}

test('any bytes are fine where the protocol is raw, whatever hangs up first', async () => {
  const random = seeded(FIRST_SEED)
  await using scene = await setScene({
    protocol: RAW,
    fromClient: [passing(true)],
    fromServer: [passing(false)],
  })
  for (let session = 0; session < SESSIONS; session++) {
    const wire = await scene.connect()
    const server = await scene.server.next()
    wire.socket.on('data', () => {})
    wire.send(randomBytes(random, 3000))
    server.send(randomBytes(random, 3000))
    const ends = [
      () => wire.halfClose(),
      () => void server.socket.end(),
      () => void wire.socket.resetAndDestroy(),
      () => void server.socket.resetAndDestroy(),
    ]
    random.pick(ends)()
    random.pick(ends)()
    wire.halfClose()
    server.socket.end()
  }
  await isClean(scene.service)
  expect(scene.service.account.violations).toBe(0)
}, 30_000)
