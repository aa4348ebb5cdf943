import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { connect } from 'node:net'
import {
  bind,
  concat,
  copyData,
  copyDone,
  execute,
  int16,
  int32,
  message,
  parse,
  query,
  startup,
  sync,
} from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric, mustBeSound, startWay, until, WAYS, waits } from '../kit/traffic.ts'
import { connectWire, openSession, type Wire } from '../kit/wire.ts'

setDefaultTimeout(120_000)

const SIZE_MAX = 70_000
/** The short form leaves out sizes far from where buffers, packets and pages end. */
const SIZES = sizes(process.env['POSTERN_LONG'] === '1' ? 1 : 23)
const SIZES_TITLE = `a response of ${SIZES.length} sizes from 1 to ${SIZE_MAX} bytes`
const CLIENTS = 500
const CLIENTS_TIMEOUT_MS = 25_000

function sizes(step: number): number[] {
  const all = Array.from({ length: SIZE_MAX }, (_, index) => index + 1)
  const isNearEdge = (size: number): boolean => (size + 48) % 4096 < 96
  return all.filter((size) => size <= 4096 || size % step === 0 || isNearEdge(size))
}

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

const LETTERS = Buffer.alloc(SIZE_MAX, 'x')

/** Compares a stream with what it must be, byte by byte, without keeping it. */
class Expected {
  readonly #next: Iterator<Uint8Array>
  #part: Uint8Array = new Uint8Array(0)
  #at = 0
  done = false

  constructor(parts: Iterator<Uint8Array>) {
    this.#next = parts
  }

  /** Throws where the bytes differ. */
  take(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#at === this.#part.length && !this.#advance()) throw new Error('too much came')
      const length = Math.min(chunk.length - at, this.#part.length - this.#at)
      const came = chunk.subarray(at, at + length)
      if (Buffer.compare(came, this.#part.subarray(this.#at, this.#at + length)) !== 0) {
        throw new Error(`other bytes came than were expected, the first ${came[0]}`)
      }
      at += length
      this.#at += length
    }
    while (this.#at === this.#part.length && !this.done) this.done = !this.#advance()
  }

  #advance(): boolean {
    const { value, done } = this.#next.next()
    if (done === true) return false
    this.#part = value
    this.#at = 0
    return true
  }
}

/** Every byte that PostgreSQL answers to `select repeat('x', size)`, for size after size. */
function* answers(): Generator<Uint8Array> {
  const head = message('2')
  const tail = concat(
    message('C', new TextEncoder().encode('SELECT 1\0')),
    message('Z', Uint8Array.of(0x49)),
  )
  for (const size of SIZES) {
    const row = concat(Uint8Array.of(0x44), int32(size + 10), int16(1), int32(size))
    yield concat(head, row)
    yield LETTERS.subarray(0, size)
    yield tail
  }
}

/** Sends on a socket as it takes them, and checks all that comes until it is what is expected. */
function exchange(wire: Wire, requests: Iterator<Uint8Array>, expected: Expected): Promise<void> {
  const { socket } = wire
  socket.removeAllListeners('data')
  return new Promise((resolve, reject) => {
    const sendOn = (): void => {
      for (let next = requests.next(); next.done !== true; next = requests.next()) {
        if (!socket.write(next.value)) return
      }
    }
    socket.on('drain', sendOn)
    socket.on('close', () => reject(new Error('the connection was closed')))
    socket.on('data', (chunk: Buffer) => {
      try {
        expected.take(chunk)
        if (expected.done) resolve()
      } catch (error) {
        reject(error)
      }
    })
    sendOn()
  })
}

describe.each(WAYS)('$way', (way) => {
  let gateway: RunningGateway
  beforeAll(async () => {
    gateway = await startWay(server, way)
  })
  afterAll(async () => {
    await mustBeSound(gateway)
    expect((await gateway.stop()).status).toBe(0)
  })

  const at = () => ({ ...server, port: gateway.port })

  test(`${SIZES_TITLE} arrives byte by byte as it was sent`, async () => {
    using wire = await openSession(at())
    wire.send(parse({ sql: "select repeat('x', $1)", name: 'r', types: [23] }), sync())
    await wire.readUntil('ReadyForQuery')
    const requests = SIZES.map((size) =>
      concat(bind({ statement: 'r', values: [String(size)] }), execute(), sync()),
    )
    await exchange(wire, requests.values(), new Expected(answers()))
  })

  test('a statement of every size around the edges of packets is run as it is', async () => {
    using wire = await openSession(at())
    const lengths = [1, 2, 3, 4095, 4096, 4097, 8191, 8192, 8193, 65_535, 65_536, 65_537, 1_000_000]
    for (const length of lengths) {
      // Cut in two at a place that moves: within type, length, text and closing zero.
      const whole = query(`select length('${'y'.repeat(length)}')`)
      for (const cut of [1, 3, 5, Math.floor(whole.length / 2), whole.length - 1]) {
        wire.send(whole.subarray(0, cut))
        await new Promise(setImmediate)
        wire.send(whole.subarray(cut))
        await wire.expect('RowDescription')
        expect((await wire.expect('DataRow')).values).toEqual([String(length)])
        await wire.readUntil('ReadyForQuery')
      }
    }
  })

  test('a login and a query that come byte by byte are served', async () => {
    const socket = connect({ host: gateway.host, port: gateway.port, noDelay: true })
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    let came = ''
    socket.on('data', (chunk) => {
      came += chunk.toString('latin1')
    })
    socket.on('error', reject)
    socket.on('end', () => resolve(came))
    const all = concat(startup(server), query("select 'slowly'"), message('X'))
    for (const byte of all) {
      socket.write(Uint8Array.of(byte))
      await new Promise(setImmediate)
    }
    expect(await promise).toContain('slowly')
  })

  test('a client that has shut down its side gets all of its answer, then the end', async () => {
    const wire = await openSession(at())
    wire.send(query("select repeat('z', 5000000), pg_sleep(0.2)"))
    wire.halfClose()
    await wire.expect('RowDescription')
    expect((await wire.expect('DataRow')).values[0]?.length).toBe(5_000_000)
    await wire.readUntil('ReadyForQuery')
    await wire.closed()
    wire.destroy()
  })

  test('a copy that a half-closed client has finished is kept', async () => {
    using witness = await openSession(at())
    await witness.query('drop table if exists halves; create table halves (n int)')
    const wire = await openSession(at())
    wire.send(query('copy halves from stdin'))
    await wire.expect('CopyInResponse')
    wire.send(copyData('1\n2\n'), copyDone())
    wire.halfClose()
    expect((await wire.expect('CommandComplete')).tag).toBe('COPY 2')
    expect(await witness.rows('select count(*) from halves')).toEqual([['2']])
    wire.destroy()
  })

  for (const how of ['while it reads', 'after it has stopped reading']) {
    test(`a client that vanishes ${how} ends its endless query in the server`, async () => {
      using witness = await openSession(server)
      for (let turn = 0; turn < 5; turn++) {
        const wire = await connectWire(gateway)
        const { pid } = await wire.login(server)
        wire.send(query("select repeat('w', 100000), generate_series(1, 1000000000)"))
        await wire.expect('RowDescription')
        if (how.startsWith('after')) {
          wire.socket.pause()
          await waits(witness, pid, 'ClientWrite')
        }
        wire.socket.resetAndDestroy()
        const left = `select from pg_stat_activity where pid = ${pid}`
        await until('its query has ended', async () => (await witness.rows(left)).length === 0)
      }
      expect(await metric(gateway, 'postern_sessions_open')).toBe(0)
    })
  }

  test(`${CLIENTS} clients at once are served`, async () => {
    const opened = await Promise.allSettled(
      Array.from({ length: CLIENTS }, () =>
        openSession({ ...at(), timeoutMs: CLIENTS_TIMEOUT_MS }),
      ),
    )
    const wires = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    try {
      expect(opened.filter(({ status }) => status === 'rejected')).toEqual([])
      expect(await metric(gateway, 'postern_sessions_open')).toBe(CLIENTS)
      const rows = await Promise.all(wires.map((wire, n) => wire.rows(`select ${n}`)))
      expect(rows).toEqual(wires.map((_, n) => [[String(n)]]))
    } finally {
      for (const wire of wires) wire.destroy()
    }
    await until(
      'all of them are gone',
      async () => (await metric(gateway, 'postern_sessions_open')) === 0,
    )
  })
})
