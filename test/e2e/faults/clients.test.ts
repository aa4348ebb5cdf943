/** Clients that reset, half-close, dawdle or flood: nobody else feels it, and nothing is left. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { MessageWalker } from '../../bench/copy.ts'
import {
  bind,
  concat,
  copyData,
  execute,
  parse,
  query,
  sslRequest,
  startup,
  sync,
} from '../../kit/frontend.ts'
import type { RunningGateway } from '../../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../../kit/postgres.ts'
import { memoryOf, metric, startWay, until, WAYS } from '../../kit/traffic.ts'
import { connectWire, openSession, type Wire } from '../../kit/wire.ts'
import { mustBeUnharmed, type Weight, weigh } from './scene.ts'

setDefaultTimeout(60_000)

const SESSIONS = 20
const FLOOD = 100_000
const FLOOD_GROWTH_BYTES_MAX = 80e6
/** Looks in a row that must find the same number of bytes. */
const STILL_LOOKS = 30
const READY_FOR_QUERY = 0x5a
const ENDLESS = query("select repeat('w', 100000), generate_series(1, 1000000000)")
const ROWS = query("select repeat('v', 1000) from generate_series(1, 1000)")

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

/** How far a client goes before it leaves, in the way that is tried. */
const STAGES: Readonly<Record<string, (wire: Wire) => Promise<void> | void>> = {
  'before it says a word': () => {},
  'behind an SSLRequest': async (wire) => {
    wire.send(sslRequest())
    await wire.readBytes(1)
  },
  'within its startup packet': (wire) => wire.send(startup(server).subarray(0, 11)),
  'while it logs in': (wire) => wire.send(startup(server)),
  'when it idles': async (wire) => void (await wire.login(server)),
  'within a header': async (wire) => {
    await wire.login(server)
    wire.send(ROWS.subarray(0, 3))
  },
  'within a statement': async (wire) => {
    await wire.login(server)
    wire.send(ROWS.subarray(0, 20))
  },
  'in a transaction': async (wire) => {
    await wire.login(server)
    await wire.query('begin; create temp table t (n int); insert into t values (1)')
  },
  'behind a pipeline': async (wire) => {
    await wire.login(server)
    wire.send(parse({ sql: 'select 1' }), bind(), execute(), ROWS, sync(), ROWS, ROWS)
  },
  'while it copies in': async (wire) => {
    await wire.login(server)
    await wire.query('create temp table t (n int)')
    wire.send(query('copy t from stdin'))
    await wire.expect('CopyInResponse')
    wire.send(copyData('1\n2'))
  },
  'while a result comes': async (wire) => {
    await wire.login(server)
    wire.send(ENDLESS)
    await wire.expect('RowDescription')
  },
}

const LEAVES: Readonly<Record<string, (wire: Wire) => Promise<void> | void>> = {
  resets: (wire) => void wire.socket.resetAndDestroy(),
  'half-closes, then resets': async (wire) => {
    wire.halfClose()
    await new Promise(setImmediate)
    wire.socket.resetAndDestroy()
  },
}

describe.each(WAYS)('$way', (way) => {
  let gateway: RunningGateway
  let before: Weight
  let bystander: Wire
  beforeAll(async () => {
    gateway = await startWay(server, way)
  })
  afterAll(async () => {
    expect((await gateway.stop()).status).toBe(0)
  })

  /** What a client that behaves does meanwhile. */
  async function isServed(): Promise<void> {
    expect(await bystander.rows('select n from t')).toEqual([['1']])
  }

  async function begin(): Promise<void> {
    before = await weigh(gateway)
    bystander = await openSession({ ...server, port: gateway.port })
    await bystander.query('create temp table t (n int); begin; insert into t values (1)')
  }

  async function end(growthBytesMax?: number): Promise<void> {
    await isServed()
    await bystander.terminate()
    await mustBeUnharmed(gateway, before, growthBytesMax)
    using witness = await openSession(server)
    const left = "select from pg_stat_activity where backend_type = 'client backend'"
    await until('the server has no session', async () => (await witness.rows(left)).length === 1)
  }

  for (const [stage, reach] of Object.entries(STAGES)) {
    test(`a client that leaves ${stage} leaves nothing behind, however it goes`, async () => {
      await begin()
      for (const leave of Object.values(LEAVES)) {
        for (let session = 0; session < SESSIONS / 2; session++) {
          const wire = await connectWire(gateway)
          await reach(wire)
          await leave(wire)
        }
        await isServed()
      }
      await end()
    })
  }

  test(`${FLOOD} queries from a client that reads no reply wait in little memory`, async () => {
    await begin()
    const wire = await openSession({ ...server, port: gateway.port })
    wire.socket.removeAllListeners('data').pause()
    for (let sent = 0; sent < FLOOD; sent += 1000) {
      wire.send(...Array.from({ length: 1000 }, (_, n) => query(`select ${sent + n}`)))
    }
    let looks = 0
    let moved = -1
    await until('no byte moves any more', async () => {
      const now = await metric(gateway, 'postern_bytes_total', { direction: 'from_client' })
      looks = now === moved ? looks + 1 : 0
      moved = now
      return looks === STILL_LOOKS
    })
    await isServed()
    expect(memoryOf(gateway.pid).now - before.bytes).toBeLessThan(FLOOD_GROWTH_BYTES_MAX)
    let answered = 0
    const walker = new MessageWalker((type) => {
      if (type === READY_FOR_QUERY) answered += 1
    })
    wire.socket.on('data', (chunk: Buffer) => walker.walk(chunk)).resume()
    await until('all are answered', () => answered === FLOOD)
    wire.destroy()
    await end(FLOOD_GROWTH_BYTES_MAX)
  })

  test('clients that send a byte now and then are served, and hold up nobody', async () => {
    await begin()
    const slow = await Promise.all(Array.from({ length: SESSIONS }, () => connectWire(gateway)))
    const all = concat(startup(server), query("select 'slowly'"))
    for (const byte of all) {
      for (const wire of slow) wire.send(Uint8Array.of(byte))
      await isServed()
    }
    for (const wire of slow) {
      await wire.readUntil('RowDescription')
      expect(await wire.expect('DataRow')).toMatchObject({ values: ['slowly'] })
      wire.destroy()
    }
    await end()
  })
})
