/** What a database is asked about its role, and what becomes of those that do not answer well. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { parseAddress } from '../../src/base/address.ts'
import { POSTGRES } from '../../src/protocols/postgres/postgres.ts'
import { roleInquiry } from '../../src/tcp/role-probe.ts'
import type { Probed } from '../../src/upstream/probe.ts'
import { Upstream } from '../../src/upstream/upstream.ts'
import { freePort } from '../kit/free-port.ts'
import { concat } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { openSession } from '../kit/wire.ts'
import { server as says } from '../protocols/postgres/stage.ts'
import { startFakeServer } from './fake-server.ts'

setDefaultTimeout(30_000)

let postgres: PostgresServer
let standby: PostgresServer
beforeAll(async () => {
  postgres = await startPostgres({ auth: 'scram-sha-256' })
  standby = await startPostgres({ auth: 'scram-sha-256', standbyOf: postgres })
})
afterAll(async () => {
  await standby.stop()
  await postgres.stop()
})

const upstreamAt = (port: number): Upstream =>
  new Upstream({
    group: 'default',
    block: 'writes',
    address: parseAddress(`127.0.0.1:${port}`, 'tcp')!,
    role: 'primary',
    dialTimeoutMs: 5000,
    retries: 3,
    backoffMs: 10,
    backoffMultiplier: 2,
    disableBackoffCaps: false,
    tcpKeepAliveMs: null,
  })

function ask(
  upstream: Upstream,
  password = postgres.password,
  signal?: AbortSignal,
  timeoutMs = 2000,
) {
  const { user, database } = postgres
  const login = { user, database, password, cleartextPermitted: true }
  const inquiry = roleInquiry(POSTGRES.roleErrands!(login))
  return inquiry(upstream, timeoutMs, signal ?? new AbortController().signal)
}

const ANSWERED: Probed = { kind: 'answered' }

describe('a database says what it is', () => {
  test('as often as it is asked, and a promoted one says that it has a newer history', async () => {
    const [primary, other] = [upstreamAt(postgres.port), upstreamAt(standby.port)]
    for (let turn = 0; turn < 3; turn++) {
      expect(await ask(primary)).toEqual(ANSWERED)
      expect(primary.role.found).toEqual({ kind: 'primary', timeline: 1 })
      expect(await ask(other)).toEqual(ANSWERED)
      expect(other.role.found).toEqual({ kind: 'standby', timeline: 0 })
    }
    using admin = await openSession(standby)
    await admin.rows('select pg_promote(true, 30)')
    expect(await ask(other)).toEqual(ANSWERED)
    expect(other.role.found).toEqual({ kind: 'primary', timeline: 2 })
    expect(postgres.log()).not.toContain('unexpected EOF')
  })
})

describe('a database that gives no answer has failed, and its role stays what it was', () => {
  test('where nobody listens', async () => {
    const upstream = upstreamAt(await freePort())
    expect(await ask(upstream)).toEqual({ kind: 'failed', cause: 'ECONNREFUSED' })
    expect(upstream.role.found).toBeNull()
    // One attempt is one attempt, whatever the configuration gives a session.
    expect(upstream.failures).toBe(1)
  })

  test('where it does not let the gateway in; nothing of the password is told', async () => {
    const probed = await ask(upstreamAt(postgres.port), 'not this one')
    expect(probed).toMatchObject({ kind: 'failed', cause: expect.stringContaining('28P01') })
    expect(JSON.stringify(probed)).not.toContain('not this one')
  })

  test('where it says nothing in time, hangs up, or answers something else', async () => {
    await using server = await startFakeServer()
    const greeting = concat(says.authentication(0), says.ready())
    const upstream = upstreamAt(server.port)
    const silent = ask(upstream, '', undefined, 50)
    await server.next()
    expect(await silent).toEqual({ kind: 'failed', cause: 'no answer within 50 ms' })
    const left = ask(upstream)
    ;(await server.next()).socket.destroy()
    expect(await left).toEqual({
      kind: 'failed',
      cause: 'it closed the connection without an answer',
    })
    const odd = ask(upstream)
    const connection = await server.next()
    const length = new DataView(Uint8Array.from(await connection.read(4)).buffer).getInt32(0)
    await connection.read(length - 4)
    connection.send(greeting)
    await connection.read(1)
    const reply = concat(says.row('maybe'), says.complete('SELECT 1'), says.ready())
    connection.send(concat(reply, reply))
    expect(await odd).toMatchObject({ cause: expect.stringContaining('does not say whether') })
    expect(upstream.role.found).toBeNull()
  })

  test('where the probe is given up', async () => {
    await using server = await startFakeServer()
    const giving = new AbortController()
    const probed = ask(upstreamAt(server.port), '', giving.signal)
    const connection = await server.next()
    giving.abort()
    expect(await probed).toEqual({ kind: 'failed', cause: 'given up' })
    await connection.closed
  })
})
