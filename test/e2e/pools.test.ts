/**
 * Pools in session mode before a real PostgreSQL: connections that the gateway logs in to, lends
 * to one client at a time, and cleans between two.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { cancelRequest, query } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { asleep, metric, mustBeSound, startBefore, until } from '../kit/traffic.ts'
import { connectWire, openSession, type Wire } from '../kit/wire.ts'
import { ENDS, mustLeaveClean } from './pools-ends.ts'
import { enter, hold, kept, lent, pidOf, startPooled } from './pools-scene.ts'

setDefaultTimeout(30_000)

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres({ auth: 'scram-sha-256' })
})
afterAll(() => server.stop())

const CANCELLED = expect.objectContaining({ code: '57014' })

test('one connection serves clients one after the other, with its own login', async () => {
  await using gateway = await startPooled(server)
  const seen = new Set<string>()
  for (let client = 0; client < 5; client++) {
    const wire = await enter(gateway)
    expect(await wire.rows('select current_user')).toEqual([['postgres']])
    seen.add(await pidOf(wire))
    await wire.terminate()
  }
  expect(seen.size).toBeLessThanOrEqual(2)
  await mustBeSound(gateway)
})

test('nothing that one client leaves is found by the next', async () => {
  await using gateway = await startPooled(server)
  const first = await enter(gateway)
  const pid = await pidOf(first)
  await first.query(`
    create temporary table planted (secret text); insert into planted values ('planted secret');
    prepare planted as select 'planted secret'; set planted.secret = 'planted secret';
    select pg_advisory_lock(4711); listen planted; set search_path = pg_catalog;
    declare planted cursor with hold for select 'planted secret'; set role pg_monitor`)
  await first.terminate()
  await until('it is clean', async () => (await kept(gateway)) === 1)
  const next = await enter(gateway)
  expect(await pidOf(next)).toBe(pid)
  const found = await next.rows(`
    select (select count(*) from pg_class where relname = 'planted'),
      (select count(*) from pg_prepared_statements),
      coalesce(current_setting('planted.secret', true), ''),
      (select count(*) from pg_locks where locktype = 'advisory'),
      (select count(*) from pg_listening_channels()), current_setting('search_path'),
      (select count(*) from pg_cursors where name = 'planted'), current_user`)
  expect(found).toEqual([['0', '0', '', '0', '0', '"$user", public', '0', 'postgres']])
  await next.terminate()
})

test.each(ENDS)(
  'a client that %s: its connection is clean again, or gone',
  async (_, same, end) => {
    await using gateway = await startPooled(server)
    await mustLeaveClean(gateway, same, end)
  },
)

const GEQO_AND_WORK_MEM = "current_setting('geqo'), current_setting('work_mem')"

describe('a client’s own settings', () => {
  test('hold for its session, and are told to it', async () => {
    await using gateway = await startPooled(server)
    for (const name of ['first', "sec'ond", 'thi\\rd']) {
      const params = { application_name: name, options: '-c geqo=off --work_mem=7MB' }
      const wire = await connectWire(gateway)
      const { parameters } = await wire.login({ user: 'ann', database: 'postgres', params })
      expect(parameters.get('application_name')).toBe(name)
      expect(parameters.get('server_version')).toMatch(/^\d+/)
      const settings = `select current_setting('application_name'), ${GEQO_AND_WORK_MEM}`
      expect(await wire.rows(settings)).toEqual([[name, 'off', '7MB']])
      await wire.terminate()
    }
    const plain = await enter(gateway)
    expect(await plain.rows("select current_setting('geqo'), current_setting('work_mem')")).toEqual(
      [['on', '4MB']],
    )
    await plain.terminate()
  })

  test('that the server refuses are told in its words, and harm nobody', async () => {
    await using gateway = await startPooled(server)
    const refused = enter(gateway, { params: { options: '-c work_mem=lots' } })
    await expect(refused).rejects.toThrow(
      'FATAL 22023: invalid value for parameter "work_mem": "lots"',
    )
    const replicates = enter(gateway, { params: { replication: 'true' } })
    await expect(replicates).rejects.toThrow('FATAL 0A000')
    await mustBeSound(gateway)
  })
})

test('a client holds a connection from its first words on, not before', async () => {
  await using gateway = await startPooled(server)
  await (await hold(gateway)).terminate()
  await until('it is kept', async () => (await kept(gateway)) === 1)
  const silent = await Promise.all([enter(gateway), enter(gateway), enter(gateway)])
  expect([await lent(gateway), await kept(gateway)]).toEqual([0, 1])
  const canceller = await connectWire(gateway)
  const { pid, secret } = await canceller.login({ user: 'ann', database: 'postgres' })
  using other = await connectWire(gateway)
  other.send(cancelRequest(pid, secret))
  await other.closed()
  for (const wire of [...silent, canceller]) {
    expect(await wire.rows('select 1')).toEqual([['1']])
    await wire.terminate()
  }
})

test('a client is told where the server has other settings than it was greeted with', async () => {
  await using gateway = await startPooled(server)
  await (await hold(gateway)).terminate()
  const role = await openSession({ ...server, host: '127.0.0.1' })
  await role.rows("alter role postgres set timezone = 'Asia/Tokyo'")
  try {
    const greeted = await connectWire(gateway)
    const { parameters } = await greeted.login({ user: 'ann', database: 'postgres' })
    const holders = [await hold(gateway)]
    const messages = await greeted.query('show timezone')
    const told = messages.flatMap((each) =>
      each.name === 'ParameterStatus' && each.parameter === 'TimeZone' ? [each.value] : [],
    )
    expect([parameters.get('TimeZone') === 'Asia/Tokyo', told]).toEqual([false, ['Asia/Tokyo']])
    for (const wire of [greeted, ...holders]) await wire.terminate()
  } finally {
    await role.rows('alter role postgres reset timezone')
    await role.terminate()
  }
})

describe('a pool with no connection free', () => {
  test('serves those who wait in order, and tells them in time that there is none', async () => {
    await using gateway = await startPooled(server, { pool: { waitTimeout: '500ms' } })
    const first = await hold(gateway)
    const second = await hold(gateway)
    const order: string[] = []
    const waiting = ['third', 'fourth'].map(async (name) => {
      const wire = await hold(gateway)
      order.push(name)
      await wire.terminate()
    })
    await until('two wait', async () => (await metric(gateway, 'postern_pool_waiting')) === 2)
    await first.terminate()
    await Promise.all(waiting)
    expect(order).toEqual(['third', 'fourth'])
    const holder = await hold(gateway)
    using late = await enter(gateway)
    late.send(query('select 1'))
    expect(await late.expect('ErrorResponse')).toMatchObject({
      severity: 'FATAL',
      code: '53300',
      message: 'no connection to the database became free in time (writes, 2 at most)',
    })
    expect(await metric(gateway, 'postern_pool_wait_timeouts_total')).toBe(1)
    await holder.terminate()
    await second.terminate()
    await mustBeSound(gateway)
  })

  test('that does not log in bounds its clients all the same, and lets a cancel pass', async () => {
    await using gateway = await startBefore(server, {
      top: { pools: { default: { writes: { size: 2, waitTimeout: '5s' } } } },
    })
    const { host, port } = gateway
    const { user, password, database } = server
    const log = async (): Promise<Wire> => openSession({ host, port, user, password, database })
    const busy = await connectWire(gateway)
    const { pid, secret } = await busy.login({ user, password, database })
    const other = await log()
    const third = log()
    await until('one waits', async () => (await metric(gateway, 'postern_pool_waiting')) === 1)
    busy.send(query('select pg_sleep(20)'))
    await asleep(server, 1)
    const canceller = await connectWire(gateway)
    canceller.send(cancelRequest(pid, secret))
    await canceller.closed()
    expect(await busy.readUntil('ReadyForQuery')).toContainEqual(CANCELLED)
    await other.terminate()
    const served = await third
    expect(await served.rows('select 1')).toEqual([['1']])
    await served.terminate()
    await busy.terminate()
    await until('all places are free', async () => (await lent(gateway)) === 0)
  })

  test('gives the place of a client that leaves while it waits to the next', async () => {
    await using gateway = await startPooled(server, { pool: { waitTimeout: '5s' } })
    const holders = [await hold(gateway), await hold(gateway)]
    const impatient = await enter(gateway)
    impatient.send(query('select 1'))
    await until('it waits', async () => (await metric(gateway, 'postern_pool_waiting')) === 1)
    impatient.socket.resetAndDestroy()
    await until('it is gone', async () => (await metric(gateway, 'postern_pool_waiting')) === 0)
    const next = hold(gateway)
    for (const holder of holders) await holder.terminate()
    await (await next).terminate()
  })
})

describe('a key for cancelling', () => {
  test('is the gateway’s own, reaches the query, and no query of the next client', async () => {
    await using gateway = await startPooled(server, { pool: { size: 2 } })
    const first = await connectWire(gateway)
    const { pid, secret } = await first.login({ user: 'ann', database: 'postgres' })
    const backend = await pidOf(first)
    expect(String(pid)).not.toBe(backend)
    first.send(query('select pg_sleep(20)'))
    await asleep(server, 1)
    const cancel = async (): Promise<void> => {
      using canceller = await connectWire(gateway)
      canceller.send(cancelRequest(pid, secret))
      await canceller.closed()
    }
    await cancel()
    expect(await first.readUntil('ReadyForQuery')).toContainEqual(CANCELLED)
    await first.terminate()
    await until('it is kept', async () => (await kept(gateway)) === 1)
    const next = await enter(gateway)
    expect(await pidOf(next)).toBe(backend)
    next.send(query('select pg_sleep(0.2)'))
    await cancel()
    const reply = await next.readUntil('ReadyForQuery')
    expect(reply.map(({ name }) => name)).toContain('CommandComplete')
    await next.terminate()
  })
})

describe('a client never gets a dead connection', () => {
  test('after the database has started again, nor after one was ended', async () => {
    await using database = await startPostgres()
    await using gateway = await startPooled(database)
    const visit = async (): Promise<string> => {
      const wire = await enter(gateway)
      const pid = await pidOf(wire)
      await wire.terminate()
      return pid
    }
    const pid = await visit()
    const killer = await openSession(database)
    await killer.rows(`select pg_terminate_backend(${pid})`)
    await killer.terminate()
    expect(await visit()).not.toBe(pid)
    await database.restart()
    for (let client = 0; client < 3; client++) await visit()
    await database.restart()
    await Promise.all([visit(), visit(), visit()])
  })

  test('kept ones are looked at, and closed when nobody needs them', async () => {
    await using database = await startPostgres()
    await using gateway = await startPooled(database, {
      pool: { idleTimeout: '600ms' },
      proxy: { healthCheckPeriod: '100ms' },
    })
    const before = database.log().length
    await (await enter(gateway)).terminate()
    await until('it is kept', async () => (await kept(gateway)) === 1)
    await until('it is closed', async () => (await kept(gateway)) === 0)
    expect(await metric(gateway, 'postern_pool_discarded_total')).toBe(0)
    // It took its leave: a database complains of those that only hang up.
    expect(database.log().slice(before)).not.toMatch(/unexpected EOF|could not receive/)
  })
})
