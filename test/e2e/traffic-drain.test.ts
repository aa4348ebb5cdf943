import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { query, sslRequest } from '../kit/frontend.ts'
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
import { buildPlugins, listed, login, scripted, startWith } from './plugins-scene.ts'

setDefaultTimeout(30_000)

const SHUTTING_DOWN = { severity: 'FATAL', code: '57P01', message: 'the gateway is shutting down' }

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

/** The key of an advisory lock that a test's query waits for; each test has its own. */
let lastLock = 0

test('on SIGTERM nobody waits for clients that have not logged in', async () => {
  const gateway = await startBefore(server)
  using silent = await connectWire(gateway)
  using asking = await connectWire(gateway)
  asking.send(sslRequest())
  await asking.readBytes(1)
  const startedAt = performance.now()
  expect((await gateway.stop()).status).toBe(0)
  expect(performance.now() - startedAt).toBeLessThan(10_000)
  for (const wire of [silent, asking]) {
    expect(await wire.expect('ErrorResponse')).toMatchObject(SHUTTING_DOWN)
  }
})

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

function stateOf(pid: number | null): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).charAt(0)
  } catch {
    return 'gone'
  }
}

describe('a second signal to stop', () => {
  test('ends at once what the first one waits for, with the exit status 1', async () => {
    const gateway = await startBefore(server, { plugins: auditPlugins() })
    using holder = await openSession(server)
    await holder.query('select pg_advisory_lock(1000)')
    using busy = await connectWire(gateway)
    const { pid } = await busy.login(server)
    using within = await openSession({ ...server, port: gateway.port })
    await within.query('begin')
    busy.send(query("select pg_advisory_lock(1000), 'finished'"))
    await waits(holder, pid, 'advisory')
    process.kill(gateway.pid, 'SIGTERM')
    await gateway.logged('stopping')
    expect((await statusOf(gateway)).state).toBe('draining')
    process.kill(gateway.pid, 'SIGINT')
    expect(await within.expect('ErrorResponse')).toMatchObject(SHUTTING_DOWN)
    expect(await busy.expect('ErrorResponse')).toMatchObject(SHUTTING_DOWN)
    expect(await gateway.exited).toEqual({ status: 1, signal: null })
    expect(gateway.log()).toContain('a second signal to stop: nothing is waited for any more')
  })

  test('does not wait for a client that reads nothing either', async () => {
    const gateway = await startBefore(server)
    using deaf = await openSession({ ...server, port: gateway.port })
    deaf.send(query("select repeat('w', 100000), generate_series(1, 1000000000)"))
    await deaf.expect('RowDescription')
    deaf.socket.pause()
    process.kill(gateway.pid, 'SIGTERM')
    await gateway.logged('stopping')
    process.kill(gateway.pid, 'SIGTERM')
    expect(await gateway.exited).toEqual({ status: 1, signal: null })
  })

  test('leaves no plugin behind, also where one hangs', async () => {
    await buildPlugins()
    const plugins = [scripted({ HOOKS: '7,16,20' })]
    const gateway = await startWith(server, { plugins })
    const [{ pid } = { pid: null }] = await listed(gateway)
    using wire = await login(gateway, server)
    wire.send(query('select 1 /*hang*/'))
    await until('the plugin hangs', () => stateOf(pid) === 'T')
    process.kill(gateway.pid, 'SIGTERM')
    await gateway.logged('stopping')
    process.kill(gateway.pid, 'SIGTERM')
    expect(await gateway.exited).toEqual({ status: 1, signal: null })
    // Where nobody reaps it, it stays as a zombie.
    expect(stateOf(pid)).toBeOneOf(['gone', 'Z'])
  })
})
