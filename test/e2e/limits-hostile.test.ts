import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { concat, int32, message, query, sslRequest, sync, untyped } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import {
  auditPlugins,
  memoryOf,
  metric,
  startBefore,
  startWay,
  until,
  WAYS,
} from '../kit/traffic.ts'
import { connectWire, openSession, type Wire } from '../kit/wire.ts'

setDefaultTimeout(60_000)

const CLIENTS = 500
const CLIENTS_TIMEOUT_MS = 25_000
const GROWTH_BYTES_MAX = 100e6
const TWO_GIB = 0x7fff_ffff
/** The largest that may be configured, so that a declared length under it is believed. */
const GIB = 2 ** 30

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

const text = new TextEncoder()

/** Bytes that begin no session of PostgreSQL's. */
const STRANGERS: Readonly<Record<string, Uint8Array>> = {
  'an HTTP request': text.encode('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  'a TLS hello': concat(Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3), new Uint8Array(507)),
  'a line of text': text.encode('hello\r\n\r\n'),
  'random bytes': concat(Uint8Array.of(0xff), crypto.getRandomValues(new Uint8Array(8_000))),
  'only zeros': new Uint8Array(64),
  'a startup packet of 2 GB': int32(TWO_GIB),
  'a startup packet over the limit': concat(int32(10_001), int32(196_608)),
  'a length under eight': concat(int32(7), new Uint8Array(3)),
  'protocol 2': untyped(131_072, text.encode('user\0me\0\0')),
  'a startup packet without its closing zero': untyped(196_608, text.encode('user\0me')),
  'data behind an SSLRequest': concat(sslRequest(), text.encode('GET /')),
}

/** Bytes that are no message, sent after a login. */
const BROKEN: Readonly<Record<string, Uint8Array>> = {
  'an unknown type': message('?', new Uint8Array(4)),
  'a length under four': concat(text.encode('Q'), int32(3)),
  'a negative length': concat(text.encode('Q'), int32(-1)),
  'an HTTP request': text.encode('GET / HTTP/1.1\r\n\r\n'),
  'a message of the server': message('T', new Uint8Array(2)),
}

describe.each(WAYS)('$way', (way) => {
  let gateway: RunningGateway
  let bystander: Wire
  beforeAll(async () => {
    gateway = await startWay(server, way)
    bystander = await openSession({ ...server, port: gateway.port })
    await bystander.query('create temp table t (n int); begin; insert into t values (1)')
  })
  afterAll(async () => {
    bystander.destroy()
    expect(await metric(gateway, 'postern_internal_errors_total')).toBe(0)
    expect((await gateway.stop()).status).toBe(0)
  })

  async function isRefused(wire: Wire, bytes: Uint8Array): Promise<void> {
    const before = await metric(gateway, 'postern_protocol_violations_total')
    wire.send(bytes)
    const last = await wire.expect('ErrorResponse')
    expect(last).toMatchObject({ severity: 'FATAL', code: '08P01' })
    expect(last.message).toStartWith('protocol violation: ')
    await wire.closed()
    wire.destroy()
    expect(await metric(gateway, 'postern_protocol_violations_total')).toBe(before + 1)
    expect(await bystander.rows('select n from t')).toEqual([['1']])
  }

  for (const [name, bytes] of Object.entries(STRANGERS)) {
    test(`${name} is refused as no PostgreSQL, and no other session feels it`, async () => {
      await isRefused(await connectWire(gateway), bytes)
    })
  }

  for (const [name, bytes] of Object.entries(BROKEN)) {
    test(`${name} after a login ends that session and no other`, async () => {
      await isRefused(await openSession({ ...server, port: gateway.port }), bytes)
    })
  }

  test('what came whole before the broken bytes is not forwarded again or half', async () => {
    using witness = await openSession(server)
    await witness.query('drop table if exists whole; create table whole (n int)')
    using wire = await openSession({ ...server, port: gateway.port })
    wire.send(query('insert into whole values (1)'))
    await wire.readUntil('ReadyForQuery')
    wire.send(concat(query('insert into whole values (2)'), text.encode('!'), int32(9)))
    const replies = await wire.readUntil('ErrorResponse')
    expect(replies.at(-1)).toMatchObject({ code: '08P01' })
    const [row] = await witness.rows('select count(*) from whole where n = 1')
    expect(row).toEqual(['1'])
  })

  test('a message of 2 GB is for the server to refuse, which closes without a word', async () => {
    using wire = await openSession({ ...server, port: gateway.port })
    wire.send(concat(text.encode('Q'), int32(TWO_GIB), text.encode('select 1')))
    expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '08006' })
    await wire.closed()
    await until('its log has it', () => server.log().includes('invalid message length'))
    expect(await bystander.rows('select n from t')).toEqual([['1']])
  })
})

/** Opens many sessions at once. */
async function openMany(gateway: RunningGateway): Promise<Wire[]> {
  const at = { ...server, port: gateway.port, timeoutMs: CLIENTS_TIMEOUT_MS }
  return await Promise.all(Array.from({ length: CLIENTS }, () => openSession(at)))
}

test(`${CLIENTS} clients that declare 1 GB each take no memory; others are served`, async () => {
  await using gateway = await startBefore(server, {
    server: { messageBytesMax: GIB, bufferedBytesMax: GIB },
    plugins: auditPlugins(),
  })
  using other = await openSession({ ...server, port: gateway.port })
  const wires = await openMany(gateway)
  const { now: before } = memoryOf(gateway.pid)
  for (const wire of wires) {
    wire.send(concat(text.encode('Q'), int32(GIB - 1), text.encode('select 1 '.repeat(20))))
  }
  await until(
    'all of it is held',
    async () => (await metric(gateway, 'postern_buffered_bytes')) >= CLIENTS * 180,
  )
  expect(await other.rows('select 1')).toEqual([['1']])
  using late = await openSession({ ...server, port: gateway.port })
  expect(await late.rows('select 2')).toEqual([['2']])
  expect(memoryOf(gateway.pid).peak - before).toBeLessThan(GROWTH_BYTES_MAX)
  for (const wire of wires) wire.destroy()
  await until(
    'nothing is held any more',
    async () => (await metric(gateway, 'postern_buffered_bytes')) === 0,
  )
})

test(`${CLIENTS} clients that begin with 2 GB are refused at once, in little memory`, async () => {
  await using gateway = await startBefore(server, { plugins: auditPlugins() })
  using other = await openSession({ ...server, port: gateway.port })
  const { now: before } = memoryOf(gateway.pid)
  const wires = await Promise.all(
    Array.from({ length: CLIENTS }, () => connectWire(gateway, { timeoutMs: CLIENTS_TIMEOUT_MS })),
  )
  await Promise.all(
    wires.map(async (wire) => {
      wire.send(concat(int32(TWO_GIB), new Uint8Array(100)))
      await wire.expect('ErrorResponse')
      await wire.closed()
      wire.destroy()
    }),
  )
  expect(await metric(gateway, 'postern_protocol_violations_total')).toBe(CLIENTS)
  expect(await other.rows('select 1')).toEqual([['1']])
  expect(memoryOf(gateway.pid).peak - before).toBeLessThan(GROWTH_BYTES_MAX)
})

test('bufferedBytesMax holds for all sessions together; what is over it streams past', async () => {
  const MAX = 64 * 1024
  await using gateway = await startBefore(server, {
    server: { messageBytesMax: MAX, bufferedBytesMax: MAX },
    plugins: auditPlugins(),
  })
  const wires = await Promise.all(
    Array.from({ length: 20 }, () => openSession({ ...server, port: gateway.port })),
  )
  const statement = query(`select length('${'y'.repeat(MAX / 2)}')`)
  for (const wire of wires) wire.send(statement.subarray(0, statement.length - 1))
  await until(
    'the budget is spent',
    async () => (await metric(gateway, 'postern_buffered_bytes_full_total')) > 0,
  )
  expect(await metric(gateway, 'postern_buffered_bytes')).toBeLessThanOrEqual(MAX)
  for (const wire of wires) {
    wire.send(statement.subarray(statement.length - 1))
    await wire.expect('RowDescription')
    expect((await wire.expect('DataRow')).values).toEqual([String(MAX / 2)])
    await wire.readUntil('ReadyForQuery')
    wire.send(sync())
    await wire.expect('ReadyForQuery')
    wire.destroy()
  }
  expect(await metric(gateway, 'postern_step_failures_total', { plugin: 'audit' })).toBeGreaterThan(
    0,
  )
})
