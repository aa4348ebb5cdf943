/**
 * Pools in transaction mode before a real PostgreSQL: a client has a connection from the first
 * message of a transaction to its last, and none between.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { bind, concat, execute, flush, message, parse, query, sync } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric, mustBeSound, until } from '../kit/traffic.ts'
import { codesIn, enter, kept, lent, namesIn, pidOf, startShared } from './pools-scene.ts'

setDefaultTimeout(30_000)

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres({ auth: 'scram-sha-256' })
})
afterAll(() => server.stop())

test('ten clients work on two connections, and hold none between', async () => {
  await using gateway = await startShared(server)
  const wires = await Promise.all(Array.from({ length: 10 }, () => enter(gateway)))
  for (let round = 0; round < 3; round++) {
    const pids = await Promise.all(wires.map((wire) => pidOf(wire)))
    expect(new Set(pids).size).toBeLessThanOrEqual(2)
  }
  expect([await lent(gateway), await kept(gateway)]).toEqual([0, 2])
  for (const wire of wires) await wire.terminate()
  await mustBeSound(gateway)
})

test('a transaction keeps its connection, also a failed one, and its end frees it', async () => {
  await using gateway = await startShared(server)
  const [one, two] = [await enter(gateway), await enter(gateway)]
  await one.query('begin')
  expect(await lent(gateway)).toBe(1)
  const pid = await pidOf(one)
  expect(await pidOf(two)).not.toBe(pid)
  expect(await pidOf(one)).toBe(pid)
  expect(codesIn(await one.query('select 1/0'))).toEqual(['22012'])
  expect([await lent(gateway), await kept(gateway)]).toEqual([1, 1])
  expect(codesIn(await one.query('select 1'))).toEqual(['25P02'])
  await one.query('rollback')
  expect(await lent(gateway)).toBe(0)
  await mustBeSound(gateway)
})

test('a pipeline keeps its connection up to its Sync', async () => {
  await using gateway = await startShared(server)
  const wire = await enter(gateway)
  wire.send(parse({ sql: 'select 1' }), bind(), execute(), flush())
  await wire.readUntil('CommandComplete')
  expect(await lent(gateway)).toBe(1)
  wire.send(sync())
  await wire.readUntil('ReadyForQuery')
  expect(await lent(gateway)).toBe(0)
  // What needs no server gets none.
  const reused = await metric(gateway, 'postern_pool_reused_total')
  wire.send(sync(), flush(), sync())
  await wire.readUntil('ReadyForQuery')
  await wire.readUntil('ReadyForQuery')
  expect(await metric(gateway, 'postern_pool_reused_total')).toBe(reused)
  await mustBeSound(gateway)
})

test('copies, several statements, function calls and large messages work as ever', async () => {
  await using gateway = await startShared(server, {}, { server: { messageBytesMax: 65_536 } })
  const wire = await enter(gateway)
  await wire.query('create table copied (line text)')
  wire.send(query('copy copied from stdin'))
  await wire.readUntil('CopyInResponse')
  expect(await lent(gateway)).toBe(1)
  const line = `${'x'.repeat(99_999)}\n`
  const row = message('d', new TextEncoder().encode(line))
  wire.send(row, row, row, message('c'))
  await wire.readUntil('ReadyForQuery')
  expect(await wire.rows('select count(*), sum(length(line)) from copied')).toEqual([
    ['3', '299997'],
  ])
  const reply = await wire.query('select 1; select 2; copy copied to stdout; select 3')
  expect(namesIn(reply).filter((name) => name === 'CommandComplete')).toHaveLength(4)
  const long = `select length('${'y'.repeat(4_000_000)}')`
  expect(await wire.rows(long)).toEqual([['4000000']])
  // Nobody has read it, so that the client keeps its connection.
  expect(await lent(gateway)).toBe(1)
  await wire.query('discard all')
  expect(await lent(gateway)).toBe(0)
  const value = 'z'.repeat(300_000)
  wire.send(parse({ name: 's', sql: 'select length($1::text)' }), sync())
  await wire.readUntil('ReadyForQuery')
  const sent = bind({ statement: 's', values: [value] })
  for (let at = 0; at < sent.length; at += 7001) wire.send(sent.subarray(at, at + 7001))
  wire.send(execute(), sync())
  const rows = await wire.readUntil('ReadyForQuery')
  expect(rows).toContainEqual(expect.objectContaining({ name: 'DataRow', values: ['300000'] }))
  expect(await lent(gateway)).toBe(0)
  await mustBeSound(gateway)
})

describe('a pool with no connection free', () => {
  test('serves those who wait in order, and tells them in time that there is none', async () => {
    await using gateway = await startShared(server, { waitTimeout: '500ms' })
    const holders = [await enter(gateway), await enter(gateway)]
    for (const holder of holders) await holder.query('begin')
    const waiting = [await enter(gateway), await enter(gateway)]
    for (const wire of waiting) wire.send(query('select 1'))
    await until('two wait', async () => (await metric(gateway, 'postern_pool_waiting')) === 2)
    await holders[0]!.query('commit')
    for (const wire of waiting) await wire.readUntil('ReadyForQuery')
    await holders[0]!.query('begin')
    waiting[0]!.send(concat(parse({ sql: 'select 1' }), bind(), execute(), sync()))
    const refused = await waiting[0]!.expect('ErrorResponse')
    expect(refused).toMatchObject({ severity: 'FATAL', code: '53300' })
    await waiting[0]!.closed()
    expect(await metric(gateway, 'postern_pool_wait_timeouts_total')).toBe(1)
    // Another that waits and leaves takes nothing away.
    waiting[1]!.send(query('select 1'))
    await until('it waits', async () => (await metric(gateway, 'postern_pool_waiting')) === 1)
    waiting[1]!.destroy()
    await until('it is gone', async () => (await metric(gateway, 'postern_pool_waiting')) === 0)
    for (const holder of holders) await holder.query('commit')
    expect([await lent(gateway), await kept(gateway)]).toEqual([0, 2])
    await mustBeSound(gateway)
  })
})
