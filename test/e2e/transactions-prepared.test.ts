/** Prepared statements of clients that share connections by transactions. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { describe as ask, bind, close, concat, execute, parse, sync } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric, mustBeSound } from '../kit/traffic.ts'
import type { Wire } from '../kit/wire.ts'
import { codesIn, enter, lent, namesIn, pidOf, startShared } from './pools-scene.ts'

setDefaultTimeout(60_000)

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres({ auth: 'scram-sha-256' })
})
afterAll(() => server.stop())

async function say(wire: Wire, ...messages: readonly Uint8Array[]) {
  wire.send(...messages, sync())
  return await wire.readUntil('ReadyForQuery')
}

async function runs(wire: Wire, statement: string, ...values: readonly string[]) {
  const reply = await say(wire, bind({ statement, values }), execute())
  const [code] = codesIn(reply)
  if (code !== undefined) return code
  return reply.flatMap((each) => (each.name === 'DataRow' ? [...each.values] : []))
}

/** Has another client sit on the connection that would be given next. */
async function occupied(other: Wire): Promise<() => Promise<unknown>> {
  await other.query('begin')
  return () => other.query('commit')
}

test('a statement works on connections that have never seen it, by its own name', async () => {
  await using gateway = await startShared(server)
  const [one, two] = [await enter(gateway), await enter(gateway)]
  await say(one, parse({ name: 'sum', sql: 'select $1::int + 1' }))
  const seen = new Set([await pidOf(one)])
  expect(await runs(one, 'sum', '1')).toEqual(['2'])
  const free = await occupied(two)
  expect(await runs(one, 'sum', '2')).toEqual(['3'])
  seen.add(await pidOf(one))
  await free()
  expect(seen.size).toBe(2)
  expect(await metric(gateway, 'postern_pool_statements_prepared_total')).toBe(1)
  const reply = await say(one, ask('statement', 'sum'))
  expect(namesIn(reply)).toEqual(['ParameterDescription', 'RowDescription', 'ReadyForQuery'])
  // Clients that prepare the same share it, and names of one mean nothing to another.
  expect(await runs(two, 'sum', '2')).toBe('26000')
  expect(namesIn(await say(two, parse({ name: 'add', sql: 'select $1::int + 1' })))).toEqual([
    'ParseComplete',
    'ReadyForQuery',
  ])
  expect(await runs(two, 'add', '5')).toEqual(['6'])
  const [names] = await two.rows('select count(*) from pg_prepared_statements')
  expect(names).toEqual(['1'])
  expect(await metric(gateway, 'postern_pool_pinned_sessions')).toBe(0)
  await mustBeSound(gateway)
})

describe('a name', () => {
  test('twice is an error as in PostgreSQL, also one that was closed', async () => {
    await using gateway = await startShared(server)
    const wire = await enter(gateway)
    await say(wire, parse({ name: 's', sql: 'select 1' }))
    const twice = await say(wire, parse({ name: 's', sql: 'select 2' }))
    expect(twice).toContainEqual(
      expect.objectContaining({ code: '42P05', message: 'prepared statement "s" already exists' }),
    )
    expect(await runs(wire, 's')).toEqual(['1'])
    expect(namesIn(await say(wire, close('statement', 's')))).toEqual([
      'CloseComplete',
      'ReadyForQuery',
    ])
    const reply = await say(wire, bind({ statement: 's' }), execute())
    expect(reply).toContainEqual(
      expect.objectContaining({ code: '26000', message: 'prepared statement "s" does not exist' }),
    )
    await say(wire, parse({ name: 's', sql: 'select 3' }))
    expect(await runs(wire, 's')).toEqual(['3'])
    expect(await lent(gateway)).toBe(0)
  })

  test('of a statement that failed to parse means nothing, and nothing is left of it', async () => {
    await using gateway = await startShared(server)
    const wire = await enter(gateway)
    const wrong = parse({ name: 's', sql: 'select * from nowhere' })
    expect(codesIn(await say(wire, wrong))).toEqual(['42P01'])
    expect(await runs(wire, 's')).toBe('26000')
    await wire.query('create table nowhere (a int)')
    expect(codesIn(await say(wire, wrong, bind({ statement: 's' }), execute()))).toEqual([])
    // Behind a failure up to Sync nothing is prepared.
    const failed = concat(parse({ sql: 'select 1/0' }), bind(), execute())
    await say(wire, failed, parse({ name: 'late', sql: 'select 1' }))
    expect(await runs(wire, 'late')).toBe('26000')
    await say(wire, parse({ name: 'late', sql: 'select 1' }))
    expect(await runs(wire, 'late')).toEqual(['1'])
    await mustBeSound(gateway)
  })

  test('is given up by DEALLOCATE of it, of all, and by DISCARD ALL', async () => {
    await using gateway = await startShared(server)
    const [wire, other] = [await enter(gateway), await enter(gateway)]
    for (const end of [
      'DEALLOCATE s',
      'deallocate prepare "s";',
      'deallocate all',
      'DISCARD ALL',
    ]) {
      await say(wire, parse({ name: 's', sql: 'select 7' }))
      await say(other, parse({ name: 's', sql: 'select 7' }))
      expect(codesIn(await wire.query(end))).toEqual([])
      expect(await runs(wire, 's')).toBe('26000')
      expect(await runs(other, 's')).toEqual(['7'])
      await say(other, close('statement', 's'))
    }
    expect(await metric(gateway, 'postern_pool_pinned_sessions')).toBe(0)
    await mustBeSound(gateway)
  })
})

test('the unnamed statement outlives its Sync, and is no other client’s', async () => {
  await using gateway = await startShared(server)
  const [one, two] = [await enter(gateway), await enter(gateway)]
  await say(one, parse({ sql: 'select 1' }))
  await say(two, parse({ sql: 'select 2' }))
  expect([await runs(one, ''), await runs(two, ''), await runs(one, '')]).toEqual([
    ['1'],
    ['2'],
    ['1'],
  ])
  // A simple query takes it away.
  await one.query('select 1')
  expect(await runs(one, '')).toBe('26000')
  expect(codesIn(await say(two, parse({ sql: 'selec' })))).toEqual(['42601'])
  expect(await runs(two, '')).toBe('26000')
})

test('a plan that is stale is made anew for whoever prepares the text again', async () => {
  await using gateway = await startShared(server)
  const wire = await enter(gateway)
  await wire.query('create table changing (a int); insert into changing values (1)')
  const again = parse({ name: 's', sql: 'select * from changing' })
  await say(wire, again)
  expect(await runs(wire, 's')).toEqual(['1'])
  await wire.query('alter table changing add b int default 2')
  expect(await runs(wire, 's')).toBe('0A000')
  await say(wire, close('statement', 's'))
  await say(wire, again)
  expect(await runs(wire, 's')).toEqual(['1', '2'])
})

test('a connection has so many at most, and those used last', async () => {
  await using gateway = await startShared(server, { preparedStatementsMax: 10, size: 2 })
  const wire = await enter(gateway)
  for (let round = 0; round < 3; round++) {
    for (let index = 0; index < 30; index++) {
      const name = `s${index}`
      if (round === 0) await say(wire, parse({ name, sql: `select ${index}` }))
      expect(await runs(wire, name)).toEqual([String(index)])
    }
  }
  const [count] = await wire.rows('select count(*) from pg_prepared_statements')
  expect(count).toEqual(['10'])
  expect(await metric(gateway, 'postern_pool_statements_evicted_total')).toBe(80)
  await mustBeSound(gateway)
})

test('a client with 100,000 names is told that there are too many, and goes on', async () => {
  await using gateway = await startShared(server, { clientStatementsMax: 5_000 })
  const wire = await enter(gateway)
  const batch = 1_000
  let done = 0
  let refused = 0
  for (let from = 0; from < 100_000; from += batch) {
    const names = Array.from({ length: batch }, (_, index) => `n${from + index}`)
    for (const name of names) wire.send(parse({ name, sql: `select ${from}` }), sync())
    for (let index = 0; index < batch; index++) {
      const reply = await wire.readUntil('ReadyForQuery')
      const [code] = codesIn(reply)
      if (code === undefined) done += 1
      else if (code === '54000') refused += 1
      else throw new Error(code)
    }
  }
  expect([done, refused]).toEqual([5_000, 95_000])
  expect(await metric(gateway, 'postern_pool_statements_refused_total')).toBe(95_000)
  expect(await runs(wire, 'n4999')).toEqual(['4000'])
  await wire.terminate()
  await mustBeSound(gateway)
})
