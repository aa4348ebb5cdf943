/** PostgreSQL killed, stopped and restarted under its sessions: what clients see, what stays. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { query } from '../../kit/frontend.ts'
import type { RunningGateway } from '../../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../../kit/postgres.ts'
import { startBefore, until, waits } from '../../kit/traffic.ts'
import { connectWire, openSession, type Wire } from '../../kit/wire.ts'
import { mustBeUnharmed, type Weight, weigh } from './scene.ts'

setDefaultTimeout(60_000)

const SESSIONS = 30
const LATE = 'no login within 1000 ms'
const START_ATTEMPTS = 100

let server: PostgresServer
let gateway: RunningGateway
let before: Weight
beforeAll(async () => {
  server = await startPostgres()
  gateway = await startBefore(server, { server: { loginTimeout: '1s' } })
  before = await weigh(gateway)
})
afterAll(async () => {
  expect((await gateway.stop()).status).toBe(0)
  await server.stop()
})

const at = () => ({ ...server, port: gateway.port })

const openMany = (): Promise<Wire[]> =>
  Promise.all(Array.from({ length: SESSIONS }, () => openSession(at())))

/** SQLSTATEs of the last words to many clients, each behind whole messages only, sorted. */
async function lastCodes(wires: readonly Wire[]): Promise<Set<string>> {
  const codes = new Set<string>()
  for (const wire of wires) {
    const last = (await wire.readUntil('ErrorResponse')).at(-1)
    if (last?.name === 'ErrorResponse') codes.add(`${last.severity} ${last.code}`)
    await wire.closed()
    wire.destroy()
  }
  return codes
}

/** A server without a postmaster ends by itself, which takes its remaining processes a moment. */
async function startAgain(): Promise<void> {
  await server.shutDown()
  for (let attempt = 1; ; attempt++) {
    try {
      return await server.startUp()
    } catch (error) {
      if (attempt === START_ATTEMPTS) throw error
      await Bun.sleep(50)
    }
  }
}

async function isServed(): Promise<void> {
  using wire = await openSession(at())
  expect(await wire.rows('select 1')).toEqual([['1']])
}

test('when the postmaster is killed sessions get a last word, and later ones work', async () => {
  const idle = await openMany()
  const busy = await openMany()
  for (const wire of busy) wire.send(query('select pg_sleep(60)'))
  using witness = await openSession(server)
  const sleeping = "select from pg_stat_activity where wait_event = 'PgSleep'"
  await until('all sleep', async () => (await witness.rows(sleeping)).length === SESSIONS)
  process.kill(server.pid, 'SIGKILL')
  // Each of its processes says so itself where it can, and else the gateway does.
  const codes = await lastCodes([...idle, ...busy])
  expect([...codes].filter((code) => !/^FATAL (57P0[12]|08006)$/.test(code))).toEqual([])
  await expect(openSession(at())).rejects.toThrow('FATAL 08006: the database behind this gateway')
  await startAgain()
  await isServed()
  await mustBeUnharmed(gateway, before)
})

test('restarts under load leave nothing behind', async () => {
  for (let turn = 0; turn < 3; turn++) {
    const wires = await openMany()
    for (const wire of wires) wire.send(query("select repeat('x', 100000), pg_sleep(0.2)"))
    await server.restart()
    expect([...(await lastCodes(wires))]).toEqual(['FATAL 57P01'])
    await isServed()
  }
  await mustBeUnharmed(gateway, before)
})

test('a server process that is stopped holds up only its client, and serves it later', async () => {
  const held = await connectWire(gateway)
  const { pid } = await held.login(server)
  using other = await openSession(at())
  process.kill(pid, 'SIGSTOP')
  held.send(query('select 7'))
  for (let count = 0; count < 100; count++) {
    expect(await other.rows(`select ${count}`)).toEqual([[String(count)]])
  }
  process.kill(pid, 'SIGCONT')
  await held.expect('RowDescription')
  expect(await held.expect('DataRow')).toMatchObject({ values: ['7'] })
  await held.terminate()
  other.destroy()
  await mustBeUnharmed(gateway, before)
})

test('while the postmaster is stopped sessions go on, and who cannot log in is told', async () => {
  using witness = await openSession(server)
  using held = await connectWire(gateway)
  const { pid } = await held.login(server)
  process.kill(server.pid, 'SIGSTOP')
  try {
    const late = Array.from({ length: SESSIONS }, () => openSession(at()))
    const outcomes = await Promise.allSettled(late)
    const causes = new Set(outcomes.map((one) => one.status === 'rejected' && String(one.reason)))
    expect([...causes]).toEqual([`Error: login: ErrorResponse FATAL 57P05: ${LATE}`])
    expect(await held.rows('select 1')).toEqual([['1']])
    held.send(query('select pg_sleep(0.1)'))
    await waits(witness, pid, 'PgSleep')
    await held.readUntil('ReadyForQuery')
  } finally {
    process.kill(server.pid, 'SIGCONT')
  }
  held.destroy()
  await isServed()
  await mustBeUnharmed(gateway, before)
})
