/** What clients that share connections by transactions leave behind, and what is made of it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { bind, execute, parse, sync } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric, mustBeSound, until } from '../kit/traffic.ts'
import { codesIn, enter, kept, lent, pidOf, startShared } from './pools-scene.ts'

setDefaultTimeout(30_000)

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres({ auth: 'scram-sha-256' })
})
afterAll(() => server.stop())

const pinned = (gateway: RunningGateway): Promise<number> =>
  metric(gateway, 'postern_pool_pinned_sessions')

const show = (name: string): string => `select current_setting('${name}')`

describe('a setting that the server reports', () => {
  test('is the client’s wherever it goes, and nobody else’s', async () => {
    await using gateway = await startShared(server)
    const [one, two] = [await enter(gateway), await enter(gateway)]
    await one.query("set timezone = 'Asia/Tokyo'; set datestyle = 'SQL, DMY'")
    await one.query("set application_name = 'it''s one'; set client_encoding = latin1")
    await two.query('begin')
    const names = ['TimeZone', 'DateStyle', 'application_name', 'client_encoding']
    const seen = async (wire: typeof one): Promise<unknown> =>
      await wire.rows(`select ${names.map((name) => `current_setting('${name}')`).join()}`)
    const set = [['Asia/Tokyo', 'SQL, DMY', "it's one", 'LATIN1']]
    expect(await seen(one)).toEqual(set)
    const unset = await seen(two)
    expect(unset).not.toEqual(set)
    await two.query('commit')
    for (let round = 0; round < 3; round++) {
      expect(await seen(two)).toEqual(unset)
      expect(await seen(one)).toEqual(set)
    }
    expect(await pinned(gateway)).toBe(0)
    await mustBeSound(gateway)
  })

  test('is as the server says: local, rolled back, or reset', async () => {
    await using gateway = await startShared(server)
    const [one, two] = [await enter(gateway), await enter(gateway)]
    await one.query("begin; set local timezone = 'Asia/Tokyo'; commit")
    expect(await one.rows(show('TimeZone'))).not.toEqual([['Asia/Tokyo']])
    await one.query("begin; set timezone = 'Asia/Tokyo'; rollback")
    expect(await two.rows(show('TimeZone'))).not.toEqual([['Asia/Tokyo']])
    await one.query("set timezone = 'Asia/Tokyo'")
    await one.query('reset timezone')
    expect(await one.rows(show('TimeZone'))).not.toEqual([['Asia/Tokyo']])
    expect(await pinned(gateway)).toBe(0)
  })

  test('that a client asked for at its login holds too, reported or not', async () => {
    await using gateway = await startShared(server)
    const params = {
      statement_timeout: '12345',
      TimeZone: 'Asia/Tokyo',
      options: '-c work_mem=7MB',
    }
    const asking = await enter(gateway, { params })
    const other = await enter(gateway)
    for (let round = 0; round < 2; round++) {
      expect(await asking.rows(show('statement_timeout'))).toEqual([['12345ms']])
      expect(await asking.rows(show('work_mem'))).toEqual([['7MB']])
      expect(await asking.rows(show('TimeZone'))).toEqual([['Asia/Tokyo']])
      expect(await other.rows(show('statement_timeout'))).toEqual([['0']])
      expect(await other.rows(show('work_mem'))).toEqual([['4MB']])
      expect(await other.rows(show('TimeZone'))).not.toEqual([['Asia/Tokyo']])
    }
    expect(await pinned(gateway)).toBe(0)
    const refused = enter(gateway, { params: { statement_timeout: 'never' } })
    await expect(refused).rejects.toThrow('22023')
    expect(await other.rows('select 1')).toEqual([['1']])
    await mustBeSound(gateway)
  })
})

/** What ties a client to its connection, by the reason that is counted. */
const TIES: readonly (readonly [reason: string, sql: string])[] = [
  ['listen', 'listen news'],
  ['lock', 'select pg_advisory_lock(1)'],
  ['temporary', 'create temp table t (a int)'],
  ['cursor', 'declare c cursor with hold for select 1'],
  ['prepare', 'prepare p as select 1'],
  ['load', "load 'plpgsql'"],
  ['setting', "set statement_timeout = '1min'"],
  ['setting', 'set role pg_monitor'],
]

describe('what needs a connection of its own', () => {
  test.each(TIES)('(%s: %s) gives it one, until the client leaves', async (reason, sql) => {
    await using gateway = await startShared(server)
    const [one, two] = [await enter(gateway), await enter(gateway)]
    expect(codesIn(await one.query(sql))).toEqual([])
    expect([await pinned(gateway), await lent(gateway)]).toEqual([1, 1])
    expect(await metric(gateway, 'postern_pool_pins_total', { reason })).toBe(1)
    const pid = await pidOf(one)
    expect(await pidOf(two)).not.toBe(pid)
    expect(await pidOf(one)).toBe(pid)
    await one.terminate()
    await until('it is clean', async () => (await kept(gateway)) === 2)
    expect(await pinned(gateway)).toBe(0)
    const left = `select (select count(*) from pg_locks where locktype = 'advisory'),
      (select count(*) from pg_listening_channels()), (select count(*) from pg_cursors),
      (select count(*) from pg_prepared_statements where from_sql), current_user,
      current_setting('statement_timeout'), to_regclass('pg_temp.t')`
    for (const wire of [two, await enter(gateway)]) {
      expect(await wire.rows(left)).toEqual([['0', '0', '0', '0', 'postgres', '0', null]])
    }
    await mustBeSound(gateway)
  })

  test.each(TIES)('(%s: %s) is refused by a strict pool', async (_reason, sql) => {
    await using gateway = await startShared(server, { strict: true })
    const wire = await enter(gateway)
    const refused = expect.objectContaining({
      code: '0A000',
      message: expect.stringContaining('a connection of its own'),
      hint: expect.stringMatching(/./),
    })
    expect(await wire.query(sql)).toContainEqual(refused)
    wire.send(parse({ sql }), bind(), execute(), sync())
    expect(await wire.readUntil('ReadyForQuery')).toContainEqual(refused)
    // In a transaction the statement fails as one of the server's own would.
    await wire.query('begin')
    expect(await wire.query(sql)).toContainEqual(refused)
    expect(codesIn(await wire.query('select 1'))).toEqual(['25P02'])
    await wire.query('rollback')
    expect([await pinned(gateway), await lent(gateway)]).toEqual([0, 0])
    expect(await metric(gateway, 'postern_pool_pins_refused_total')).toBe(3)
    await mustBeSound(gateway)
  })

  test('is over with DISCARD ALL', async () => {
    await using gateway = await startShared(server)
    const wire = await enter(gateway)
    await wire.query('listen news')
    expect(await lent(gateway)).toBe(1)
    await wire.query('discard all')
    expect([await pinned(gateway), await lent(gateway)]).toEqual([0, 0])
  })

  test('is served while it has it: notifications come', async () => {
    await using gateway = await startShared(server)
    const [one, two] = [await enter(gateway), await enter(gateway)]
    await one.query('listen news')
    await two.query("notify news, 'now'")
    expect(await one.read()).toMatchObject({ name: 'NotificationResponse', payload: 'now' })
    await mustBeSound(gateway)
  })

  test('is not what only lasts for a transaction', async () => {
    await using gateway = await startShared(server, { strict: true })
    const wire = await enter(gateway)
    for (const sql of [
      "begin; set local statement_timeout = '1min'; select pg_advisory_xact_lock(1); commit",
      "begin; select set_config('work_mem', '5MB', true); declare c cursor for select 1; commit",
      'set transaction isolation level serializable',
      'set constraints all deferred',
      'deallocate all',
    ]) {
      expect(codesIn(await wire.query(sql))).toEqual([])
    }
    expect(await pinned(gateway)).toBe(0)
  })
})
