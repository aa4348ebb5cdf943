/** What happens to shared connections when clients, servers or the gateway go away. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import {
  bind,
  cancelRequest,
  concat,
  execute,
  PROTOCOL_3_2,
  parse,
  passwordMessage,
  query,
  sync,
} from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { asleep, metric, mustBeSound, until } from '../kit/traffic.ts'
import { connectWire, openSession, type Wire } from '../kit/wire.ts'
import { ENDS, mustLeaveClean } from './pools-ends.ts'
import { codesIn, enter, kept, lent, namesIn, pidOf, startShared } from './pools-scene.ts'
import { at, edit, GLOBAL, reload } from './reload-scene.ts'

setDefaultTimeout(30_000)

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres({ auth: 'scram-sha-256' })
})
afterAll(() => server.stop())

const CANCELLED = expect.objectContaining({ code: '57014' })
const GONE = expect.objectContaining({ severity: 'FATAL', code: '08006' })

test.each(ENDS)(
  'a client that %s: its connection is clean again, or gone',
  async (how, same, end) => {
    await using gateway = await startShared(server)
    // A message that has not come whole has no connection yet.
    await mustLeaveClean(gateway, same || how.includes('in the middle of a message'), end)
    await mustBeSound(gateway)
  },
)

test('a query within a pipeline leaves nobody a server that is out of step', async () => {
  // PostgreSQL 18 fails the first statement behind such a pipeline with XX000, whoever sends it.
  await using gateway = await startShared(server, { size: 1 })
  const [one, two] = [await enter(gateway), await enter(gateway)]
  for (const sql of ['select 2', '']) {
    one.send(concat(parse({ sql: 'select 1' }), bind(), execute(), query(sql), sync()))
    await one.readUntil('ReadyForQuery')
    await one.readUntil('ReadyForQuery')
    expect(await two.rows('select 3')).toEqual([['3']])
    expect(await one.rows('select 4')).toEqual([['4']])
  }
  await mustBeSound(gateway)
})

test('a client that says what nobody may costs no other its connection', async () => {
  await using gateway = await startShared(server)
  const [one, two] = [await enter(gateway), await enter(gateway)]
  const pid = await pidOf(two)
  one.send(passwordMessage('guess'))
  expect(await one.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '08P01' })
  expect(await pidOf(two)).toBe(pid)
})

describe('a server that goes away', () => {
  test('ends the client in a transaction, and no other notices', async () => {
    await using database = await startPostgres()
    await using gateway = await startShared(database)
    const [working, idle] = [await enter(gateway), await enter(gateway)]
    await idle.rows('select 1')
    await working.query('begin')
    const pid = await pidOf(working)
    using killer = await openSession(database)
    await killer.rows(`select pg_terminate_backend(${pid})`)
    const last = await working.readUntil('ErrorResponse')
    expect(codesIn(last)[0]).toMatch(/57P01|08006/)
    await working.closed()
    expect(await idle.rows('select 1')).toEqual([['1']])
    await database.restart()
    expect(await idle.rows('select 1')).toEqual([['1']])
    await mustBeSound(gateway)
  })

  test('and stays away is told to those who need it, when they do', async () => {
    await using database = await startPostgres()
    await using gateway = await startShared(database)
    const [one, two] = [await enter(gateway), await enter(gateway)]
    await one.rows('select 1')
    await database.stop()
    one.send(query('select 1'))
    expect(await one.readUntil('ErrorResponse')).toContainEqual(GONE)
    expect(two.isEnded).toBeFalse()
    await two.terminate()
  })
})

async function cancel(gateway: RunningGateway, pid: number, secret: Uint8Array): Promise<void> {
  using canceller = await connectWire(gateway)
  canceller.send(cancelRequest(pid, secret))
  await canceller.closed()
}

describe('a key for cancelling', () => {
  test.each([
    ['3.0', {}, 4],
    ['3.2', { protocol: PROTOCOL_3_2 }, 32],
  ])('of protocol %s reaches what its client does, and nobody else', async (_, more, length) => {
    await using gateway = await startShared(server)
    const first = await connectWire(gateway)
    const { pid, secret } = await first.login({ user: 'ann', database: 'postgres', ...more })
    expect(secret).toHaveLength(length)
    const other = await enter(gateway)
    for (let round = 0; round < 3; round++) {
      // It has another connection each time.
      await other.query(round % 2 === 0 ? 'begin' : 'commit')
      first.send(query('select pg_sleep(20)'))
      await asleep(server, 1)
      expect(await lent(gateway)).toBe(round % 2 === 0 ? 2 : 1)
      await cancel(gateway, pid, secret)
      expect(await first.readUntil('ReadyForQuery')).toContainEqual(CANCELLED)
    }
    await other.query('commit')
    // It has none now, and what others do goes on.
    const busy = [await enter(gateway), await enter(gateway)]
    for (const wire of busy) wire.send(query('select pg_sleep(0.2)'))
    await until('both run', async () => (await lent(gateway)) === 2)
    await cancel(gateway, pid, secret)
    for (const wire of busy) expect(codesIn(await wire.readUntil('ReadyForQuery'))).toEqual([])
    await mustBeSound(gateway)
  })
})

describe('a reload', () => {
  test('that changes the pool takes idle clients over, and the others when they can', async () => {
    await using gateway = await startShared(server)
    const [idle, working] = [await enter(gateway), await enter(gateway)]
    await working.query('begin')
    const pids = [await pidOf(idle), await pidOf(working)]
    edit(gateway, GLOBAL, (tree) => {
      at(tree, 'pools', 'default', 'writes')['size'] = 3
    })
    await reload(gateway)
    expect(await pidOf(working)).toBe(pids[1]!)
    await working.query('commit')
    for (const wire of [idle, working]) expect(pids).not.toContain(await pidOf(wire))
    expect(await metric(gateway, 'postern_pool_size')).toBe(3)
    await until('those before are gone', async () => {
      using witness = await openSession(server)
      const sql = `select from pg_stat_activity where pid in (${pids.join()})`
      return (await witness.rows(sql)).length === 0
    })
    await mustBeSound(gateway)
  })

  test('that makes it a pool of sessions lets its clients go', async () => {
    await using gateway = await startShared(server, {}, {})
    const wire = await enter(gateway)
    edit(gateway, GLOBAL, (tree) => {
      at(tree, 'pools', 'default', 'writes')['mode'] = 'session'
    })
    await reload(gateway)
    const next = await enter(gateway)
    expect(await next.rows('select 1')).toEqual([['1']])
    await next.terminate()
    wire.destroy()
  })
})

test('a gateway that stops lets transactions end, and idle clients go at once', async () => {
  const gateway = await startShared(server)
  const [idle, working] = [await enter(gateway), await enter(gateway)]
  await working.query('begin')
  const stopped = gateway.stop()
  expect(await idle.expect('ErrorResponse')).toMatchObject({ code: '57P01' })
  expect(namesIn(await working.query('select 1'))).toContain('DataRow')
  expect(namesIn(await working.query('commit'))).toContain('CommandComplete')
  await working.readUntil('ErrorResponse')
  expect((await stopped).status).toBe(0)
})

test('connections that nobody needs are closed, and old ones too under load', async () => {
  const check = { healthCheckPeriod: '100ms' }
  await using gateway = await startShared(
    server,
    { idleTimeout: '600ms', lifetime: '500ms' },
    { proxy: check },
  )
  const wire = await enter(gateway)
  const seen = new Set<string>()
  const work = async (other: Wire): Promise<void> => void seen.add(await pidOf(other))
  const endsAtMs = performance.now() + 1_500
  while (performance.now() < endsAtMs) await work(wire)
  expect(seen.size).toBeGreaterThan(1)
  await until('all are closed', async () => (await kept(gateway)) === 0)
  expect(await metric(gateway, 'postern_pool_discarded_total')).toBe(0)
  expect(await wire.rows('select 1')).toEqual([['1']])
  await mustBeSound(gateway)
})
