import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { cancelRequest } from '../kit/frontend.ts'
import { runPostern } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric, startBefore, startWay, statusOf, until, WAYS } from '../kit/traffic.ts'
import { connectWire, openSession, type Wire } from '../kit/wire.ts'

setDefaultTimeout(30_000)

const SESSIONS = 5
const QUERIES = 20

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

describe.each(WAYS)('$way', (way) => {
  test('the page, the status and what was done agree, to the byte', async () => {
    await using gateway = await startWay(server, way)
    const at = { ...server, port: gateway.port }
    const wires: Wire[] = []
    for (let number = 0; number < SESSIONS; number++) wires.push(await openSession(at))
    for (const wire of wires) {
      for (let number = 0; number < QUERIES; number++) {
        await wire.rows(`select repeat('x', ${number * 500})`)
      }
    }
    expect(await metric(gateway, 'postern_sessions_open', { group: 'default' })).toBe(SESSIONS)
    const during = await statusOf(gateway)
    expect(during.sessions).toEqual({ open: SESSIONS, total: SESSIONS, refused: 0 })
    expect(during.listeners).toEqual([
      {
        group: 'default',
        address: `127.0.0.1:${gateway.port}`,
        protocol: 'postgres',
        sessions: SESSIONS,
        sessionsMax: 10_000,
      },
    ])
    await Promise.all(wires.map((wire) => wire.terminate()))
    await until(
      'all sessions have ended',
      async () => (await metric(gateway, 'postern_sessions_open')) === 0,
    )

    const written = wires.reduce((sum, { socket }) => sum + socket.bytesWritten, 0)
    const read = wires.reduce((sum, { socket }) => sum + socket.bytesRead, 0)
    const { sessions, bytes, plugins, state, pid, metricsAddress } = await statusOf(gateway)
    expect(bytes).toEqual({
      fromClients: written,
      toServers: written,
      fromServers: read,
      toClients: read,
    })
    const directions = { from_client: written, to_server: written, from_server: read }
    for (const [direction, expected] of Object.entries({ ...directions, to_client: read })) {
      expect(await metric(gateway, 'postern_bytes_total', { direction })).toBe(expected)
    }
    expect(sessions).toEqual({ open: 0, total: SESSIONS, refused: 0 })
    expect(await metric(gateway, 'postern_sessions_total')).toBe(SESSIONS)
    expect({ state, pid }).toEqual({ state: 'ready', pid: gateway.pid })
    expect(metricsAddress).toBe(`http://127.0.0.1:${gateway.metricsPort}`)

    const count = way.isAudited ? 1 : 0
    expect(plugins).toEqual({ total: count, ready: count })
    const calls = await metric(gateway, 'postern_plugin_calls_total', {
      plugin: 'audit',
      hook: 'onTrafficFromClient',
    })
    // It is shown how each session begins too.
    expect(calls).toBe(count * SESSIONS * (1 + QUERIES))
  })
})

test('health and readiness are told, with what they are', async () => {
  await using gateway = await startBefore(server)
  for (const path of ['healthz', 'readyz']) {
    const answer = await fetch(`http://127.0.0.1:${gateway.metricsPort}/${path}`)
    expect(answer.status).toBe(200)
    expect(await answer.json()).toEqual({ status: 'SERVING' })
  }
})

test('cancel requests are sessions of their own, and are counted', async () => {
  await using gateway = await startBefore(server)
  const wire = await connectWire(gateway)
  const { pid, secret } = await wire.login(server)
  const stranger = await connectWire(gateway)
  stranger.send(
    cancelRequest(
      pid,
      secret.map((byte) => byte ^ 255),
    ),
  )
  await stranger.closed()
  const canceller = await connectWire(gateway)
  canceller.send(cancelRequest(pid, secret))
  await canceller.closed()
  expect(await metric(gateway, 'postern_cancel_requests_total')).toBe(2)
  expect(await metric(gateway, 'postern_sessions_total')).toBe(3)
  for (const each of [wire, stranger, canceller]) each.destroy()
})

test('status for people names the sessions, and fails where no gateway is', async () => {
  const gateway = await startBefore(server)
  using wire = await openSession({ ...server, port: gateway.port })
  const { status, stdout } = await runPostern(['status'], { env: gateway.env })
  expect(status).toBe(0)
  expect(stdout).toContain(`process ${gateway.pid}`)
  expect(stdout).toContain('1 open, 1 so far, 0 refused')
  wire.destroy()
  await gateway.stop()
  // By its socket: without, any other gateway of this user would be asked.
  const socket = `${gateway.env['XDG_RUNTIME_DIR']}/postern/${gateway.pid}/control.sock`
  const after = await runPostern(['status', '--socket', socket], { env: gateway.env })
  expect(after.status).toBe(1)
  expect(after.stderr).toContain(`${socket} does not answer`)
})
