import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { Client } from 'pg'
import { freePort } from '../kit/free-port.ts'
import { query } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric, startBefore, startWay, statusOf, until, WAYS, waits } from '../kit/traffic.ts'
import { connectWire, openSession } from '../kit/wire.ts'

setDefaultTimeout(30_000)

/** The error that a driver is given when it connects; undefined where it can. */
async function refusal(gateway: RunningGateway): Promise<unknown> {
  const { host, port } = gateway
  const client = new Client({ host, port, user: 'postgres', database: 'postgres' })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('select 1')
    await client.end()
    return undefined
  } catch (error) {
    return error
  }
}

describe.each(WAYS)('$way', (way) => {
  let server: PostgresServer
  let gateway: RunningGateway
  beforeAll(async () => {
    server = await startPostgres()
    gateway = await startWay(server, way)
  })
  afterAll(async () => {
    expect((await gateway.stop()).status).toBe(0)
    await server.stop()
  })

  const at = () => ({ ...server, port: gateway.port })

  test('a server that is shut down says so itself, and new sessions work after', async () => {
    const idle = await openSession(at())
    const busy = await connectWire(gateway)
    const { pid } = await busy.login(server)
    busy.send(query('select pg_sleep(60)'))
    const witness = await openSession(server)
    await waits(witness, pid, 'PgSleep')
    await witness.terminate()
    await server.shutDown()
    for (const wire of [idle, busy]) {
      const last = (await wire.readUntil('ErrorResponse')).at(-1)
      expect(last).toMatchObject({ severity: 'FATAL', code: '57P01' })
      await wire.closed()
      wire.destroy()
    }
    expect(await refusal(gateway)).toMatchObject({
      severity: 'FATAL',
      code: '08006',
      message: 'the database behind this gateway cannot be reached (writes)',
    })
    const down = await statusOf(gateway)
    expect(down.upstreams[0]).toMatchObject({ reachable: false, lastError: 'ECONNREFUSED' })
    await server.startUp()
    expect(await refusal(gateway)).toBeUndefined()
    expect((await statusOf(gateway)).upstreams[0]).toMatchObject({ reachable: true })
    expect(await metric(gateway, 'postern_sessions_open')).toBe(0)
  })

  test('a server process that dies leaves its client a clear last word', async () => {
    const victim = await connectWire(gateway)
    const { pid } = await victim.login(server)
    process.kill(pid, 'SIGKILL')
    expect(await victim.expect('ErrorResponse')).toMatchObject({
      severity: 'FATAL',
      code: '08006',
      message: 'the database closed the connection',
    })
    await victim.closed()
    victim.destroy()
    // All others are ended by the server too, which recovers by itself.
    await until(
      'the server takes clients again',
      async () => (await refusal(gateway)) === undefined,
    )
  })
})

test('a gateway starts without its server, and works once that is there', async () => {
  const port = await freePort()
  await using gateway = await startBefore({ host: '127.0.0.1', port })
  expect(await refusal(gateway)).toMatchObject({ severity: 'FATAL', code: '08006' })
  await gateway.logged(`cannot connect to 127.0.0.1:${port} (clients.default.writes): ECONNREFUSED`)
  expect(await metric(gateway, 'postern_upstream_failures_total', { block: 'writes' })).toBe(1)
  await using _server = await startPostgres({ port })
  expect(await refusal(gateway)).toBeUndefined()
})

test('a client waits for a server that comes while attempts are left', async () => {
  const port = await freePort()
  const client = { retries: 200, backoff: '50ms', backoffMultiplier: 1 }
  await using gateway = await startBefore({ host: '127.0.0.1', port }, { client })
  const waiting = refusal(gateway)
  await until(
    'the first attempt has failed',
    async () => (await metric(gateway, 'postern_upstream_failures_total')) > 0,
  )
  await using _server = await startPostgres({ port })
  // It has reached the server, which may still be starting up: that is then the server's word.
  expect(String(await waiting)).toMatch(/^(undefined|error: the database system is starting up)$/)
})
