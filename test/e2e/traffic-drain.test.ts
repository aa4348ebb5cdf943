import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { query } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import {
  auditPlugins,
  startBefore,
  startWay,
  statusOf,
  until,
  WAYS,
  waits,
} from '../kit/traffic.ts'
import { connectWire, openSession } from '../kit/wire.ts'

setDefaultTimeout(30_000)

const SHUTTING_DOWN = { severity: 'FATAL', code: '57P01', message: 'the gateway is shutting down' }

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

/** The key of an advisory lock that a test's query waits for; each test has its own. */
let lastLock = 0

describe.each(WAYS)('$way', (way) => {
  test('on SIGTERM what runs is finished, what idles is told, and it exits with 0', async () => {
    const gateway = await startWay(server, way)
    const at = { ...server, port: gateway.port }
    lastLock += 1
    using holder = await openSession(server)
    await holder.query(`select pg_advisory_lock(${lastLock})`)
    using idle = await openSession(at)
    using busy = await connectWire(gateway)
    const { pid } = await busy.login(server)
    using within = await openSession(at)
    busy.send(query(`select pg_advisory_lock(${lastLock}), 'finished'`))
    await waits(holder, pid, 'advisory')
    await within.query('create temp table t (n int); begin; insert into t values (1)')

    process.kill(gateway.pid, 'SIGTERM')
    expect(await idle.expect('ErrorResponse')).toMatchObject(SHUTTING_DOWN)
    await idle.closed()
    expect((await statusOf(gateway)).state).toBe('draining')
    const ready = await fetch(`http://127.0.0.1:${gateway.metricsPort}/readyz`)
    expect(ready.status).toBe(503)
    await expect(connectWire(gateway)).rejects.toThrow('ECONNREFUSED')

    // A transaction may go on until its end.
    expect(await within.rows('select n from t')).toEqual([['1']])
    const [commit] = await within.query('commit')
    expect(commit).toMatchObject({ name: 'CommandComplete', tag: 'COMMIT' })
    expect(await within.expect('ErrorResponse')).toMatchObject(SHUTTING_DOWN)

    await holder.query(`select pg_advisory_unlock(${lastLock})`)
    await busy.expect('RowDescription')
    expect((await busy.expect('DataRow')).values[1]).toBe('finished')
    await busy.expect('CommandComplete')
    await busy.expect('ReadyForQuery')
    expect(await busy.expect('ErrorResponse')).toMatchObject(SHUTTING_DOWN)
    await busy.closed()
    expect(await gateway.exited).toEqual({ status: 0, signal: null })
  })
})

test('what runs longer than drainTimeout is ended, also in the server', async () => {
  const gateway = await startBefore(server, {
    top: { drainTimeout: '300ms' },
    plugins: auditPlugins(),
  })
  const at = { ...server, port: gateway.port }
  using busy = await openSession(at)
  using within = await openSession(at)
  await within.query('begin')
  busy.send(query("select repeat('w', 100000), generate_series(1, 1000000000)"))
  await busy.expect('RowDescription')
  busy.socket.pause()
  process.kill(gateway.pid, 'SIGTERM')
  expect(await within.expect('ErrorResponse')).toMatchObject(SHUTTING_DOWN)
  busy.destroy()
  expect((await gateway.exited).status).toBe(0)
  using witness = await openSession(server)
  const left = `select from pg_stat_activity
    where backend_type = 'client backend' and pid <> pg_backend_pid()`
  await until('no session is left', async () => (await witness.rows(left)).length === 0)
})

test('a second SIGTERM changes nothing: what runs is still finished', async () => {
  const gateway = await startBefore(server)
  using holder = await openSession(server)
  await holder.query('select pg_advisory_lock(1000)')
  using busy = await connectWire(gateway)
  const { pid } = await busy.login(server)
  using idle = await openSession({ ...server, port: gateway.port })
  busy.send(query("select pg_advisory_lock(1000), 'finished'"))
  await waits(holder, pid, 'advisory')
  process.kill(gateway.pid, 'SIGTERM')
  await idle.expect('ErrorResponse')
  process.kill(gateway.pid, 'SIGTERM')
  expect((await statusOf(gateway)).state).toBe('draining')
  await holder.query('select pg_advisory_unlock(1000)')
  await busy.expect('RowDescription')
  expect((await busy.expect('DataRow')).values[1]).toBe('finished')
  expect((await gateway.exited).status).toBe(0)
})
