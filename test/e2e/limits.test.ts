import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { Client } from 'pg'
import postgres from 'postgres'
import { findProgram } from '../bench/programs.ts'
import { run } from '../kit/command.ts'
import { query, startup } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { auditPlugins, metric, startBefore, statusOf, until, waits } from '../kit/traffic.ts'
import { connectWire, openSession, type Wire } from '../kit/wire.ts'

setDefaultTimeout(30_000)

const psql = findProgram('psql')

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

describe('sessionsMax', () => {
  const SESSIONS_MAX = 3
  const TOO_MANY = {
    severity: 'FATAL',
    code: '53300',
    message: `too many clients already (sessionsMax is ${SESSIONS_MAX})`,
    hint: 'Raise servers.default.sessionsMax, or close connections.',
  }
  const start = () => startBefore(server, { server: { sessionsMax: SESSIONS_MAX } })

  test('refuses one client more with 53300 in every driver, until one leaves', async () => {
    await using gateway = await start()
    const at = { host: gateway.host, port: gateway.port, user: 'postgres', database: 'postgres' }
    const wires: Wire[] = []
    for (let number = 0; number < SESSIONS_MAX; number++) wires.push(await openSession(at))

    const client = new Client(at)
    client.on('error', () => {})
    await expect(client.connect()).rejects.toMatchObject(TOO_MANY)
    const sql = postgres({ ...at, max: 1 })
    await expect(sql`select 1`.execute()).rejects.toMatchObject({
      code: TOO_MANY.code,
      message: TOO_MANY.message,
    })
    await sql.end()
    expect(await metric(gateway, 'postern_sessions_refused_total')).toBe(2)

    await wires[0]?.terminate()
    await until('there is room', async () => (await statusOf(gateway)).sessions.open < SESSIONS_MAX)
    using late = await openSession(at)
    expect(await late.rows('select 1')).toEqual([['1']])
    for (const wire of wires.slice(1)) {
      expect(await wire.rows('select 2')).toEqual([['2']])
      wire.destroy()
    }
    expect((await statusOf(gateway)).sessions.refused).toBe(2)
  })

  test.skipIf(psql === null)('psql shows the refusal and its cure (needs psql)', async () => {
    await using gateway = await start()
    const wires: Wire[] = []
    const at = { ...server, port: gateway.port }
    for (let number = 0; number < SESSIONS_MAX; number++) wires.push(await openSession(at))
    const dsn = `host=${gateway.host} port=${gateway.port} user=postgres dbname=postgres`
    const { status, stderr } = await run([psql ?? '', '-X', dsn, '-c', 'select 1'])
    expect(status).toBe(2)
    expect(stderr).toContain(`FATAL:  ${TOO_MANY.message}`)
    expect(stderr).toContain(TOO_MANY.hint)
    for (const wire of wires) wire.destroy()
  })

  test('gives a freed place to a newcomer, whoever waits to be refused', async () => {
    await using gateway = await start()
    const at = { ...server, port: gateway.port }
    const wires: Wire[] = []
    for (let number = 0; number < SESSIONS_MAX; number++) wires.push(await openSession(at))
    using silent = await connectWire(gateway)
    await until(
      'the silent one is refused',
      async () => (await metric(gateway, 'postern_sessions_refused_total')) === 1,
    )
    await wires[0]?.terminate()
    await until('there is room', async () => (await statusOf(gateway)).sessions.open === 3)
    using late = await openSession(at)
    expect(await late.rows('select 1')).toEqual([['1']])
    // Who was refused stays so: it is told as soon as it says who it is.
    silent.send(startup(server))
    expect(await silent.expect('ErrorResponse')).toMatchObject(TOO_MANY)
    for (const wire of wires) wire.destroy()
  })

  test('lets the refused be heard out even where a thousand of them say nothing', async () => {
    await using gateway = await start()
    const at = { ...server, port: gateway.port }
    const wires: Wire[] = []
    for (let number = 0; number < SESSIONS_MAX; number++) wires.push(await openSession(at))
    const silent = await Promise.all(Array.from({ length: 1_000 }, () => connectWire(gateway)))
    await until(
      'all are refused',
      async () => (await metric(gateway, 'postern_sessions_refused_total')) === silent.length,
    )
    // One more is not even heard out: it is reset, perhaps before it knows that it was connected.
    await connectWire(gateway).then(
      (late) => late.closed(),
      (error: unknown) => expect(String(error)).toContain('ECONNRESET'),
    )
    expect(await metric(gateway, 'postern_sessions_refused_total')).toBe(silent.length + 1)
    expect(await wires[0]?.rows('select 1')).toEqual([['1']])
    for (const wire of [...wires, ...silent]) wire.destroy()
  })
})

describe('loginTimeout', () => {
  const settings = { server: { loginTimeout: '400ms' } }
  const LATE = { severity: 'FATAL', code: '57P05', message: 'no login within 400 ms' }

  test('ends who says nothing and who never gives the password, and nobody else', async () => {
    await using secured = await startPostgres({ auth: 'scram-sha-256' })
    await using gateway = await startBefore(secured, settings)
    using prompt = await openSession({ ...secured, port: gateway.port })
    using silent = await connectWire(gateway)
    using halting = await connectWire(gateway)
    halting.send(startup(server).subarray(0, 7))
    using forgetful = await connectWire(gateway)
    forgetful.send(startup(secured))
    expect(await forgetful.expect('Authentication')).toMatchObject({ code: 10 })
    for (const wire of [silent, halting, forgetful]) {
      expect(await wire.expect('ErrorResponse')).toMatchObject(LATE)
      await wire.closed()
    }
    expect(await metric(gateway, 'postern_login_timeouts_total')).toBe(3)
    expect(await prompt.rows('select 1')).toEqual([['1']])
    await until('they are gone', async () => (await statusOf(gateway)).sessions.open === 1)
  })

  test('also ends a refused client that never says who it is', async () => {
    await using gateway = await startBefore(server, {
      server: { loginTimeout: '400ms', sessionsMax: 1 },
    })
    using first = await openSession({ ...server, port: gateway.port })
    using silent = await connectWire(gateway)
    await silent.expect('ErrorResponse')
    await silent.closed()
    expect(await metric(gateway, 'postern_login_timeouts_total')).toBe(1)
    expect(await first.rows('select 1')).toEqual([['1']])
  })
})

describe('idleTimeout', () => {
  const settings = { server: { idleTimeout: '400ms' }, plugins: auditPlugins() }

  test('ends a silent client and its session in the server, but none that waits', async () => {
    await using gateway = await startBefore(server, settings)
    using witness = await openSession(server)
    using busy = await connectWire(gateway)
    const { pid: busyPid } = await busy.login(server)
    await witness.query('select pg_advisory_lock(7)')
    busy.send(query("select pg_advisory_lock(7), 'patient'"))
    await waits(witness, busyPid, 'advisory')
    using silent = await connectWire(gateway)
    const { pid } = await silent.login(server)
    expect(await silent.expect('ErrorResponse')).toMatchObject({
      severity: 'FATAL',
      code: '57P05',
      message: expect.stringMatching(/^nothing happened .* 400 ms/),
    })
    await silent.closed()
    const left = `select from pg_stat_activity where pid = ${pid}`
    await until('its session has ended', async () => (await witness.rows(left)).length === 0)
    expect(await metric(gateway, 'postern_idle_timeouts_total')).toBe(1)

    // The one that waits was silent for longer than the other.
    await witness.query('select pg_advisory_unlock(7)')
    await busy.expect('RowDescription')
    expect((await busy.expect('DataRow')).values[1]).toBe('patient')
  })

  test('gives the driver pg its code', async () => {
    await using gateway = await startBefore(server, settings)
    const { host, port } = gateway
    const client = new Client({ host, port, user: 'postgres', database: 'postgres' })
    const { promise, resolve } = Promise.withResolvers<Error>()
    client.on('error', resolve)
    await client.connect()
    expect(await promise).toMatchObject({ code: '57P05' })
  })
})

describe('receiveTimeout', () => {
  test('ends who waits for an answer for too long, and who is idle goes on', async () => {
    await using gateway = await startBefore(server, { client: { receiveTimeout: '400ms' } })
    using idle = await openSession({ ...server, port: gateway.port })
    using waiting = await openSession({ ...server, port: gateway.port })
    waiting.send(query('select pg_sleep(60)'))
    expect(await waiting.expect('ErrorResponse')).toMatchObject({
      severity: 'FATAL',
      code: '08006',
      message: 'the database has not answered for 400 ms',
    })
    await waiting.closed()
    expect(await metric(gateway, 'postern_receive_timeouts_total')).toBe(1)
    expect(await idle.rows('select 1')).toEqual([['1']])
  })
})
