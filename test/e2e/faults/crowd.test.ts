/** Ten thousand clients that do nothing, and a hundred thousand that come and go. */
import { expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import type { Socket } from 'bun'
import { query } from '../../kit/frontend.ts'
import type { RunningGateway } from '../../kit/gateway.ts'
import { startPostgres } from '../../kit/postgres.ts'
import { memoryOf, metric, startBefore, until } from '../../kit/traffic.ts'
import { openSession, type Wire } from '../../kit/wire.ts'
import { ANN, GREETING } from '../../tcp/scene.ts'
import { descriptorsOf, mustBeUnharmed, type Stub, startStub, weigh } from './scene.ts'

setDefaultTimeout(600_000)

const IS_LONG = process.env['POSTERN_LONG'] === '1'
/**
 * What a session may take, in memory of the process; the kernel's buffers are not its own. In the
 * short form what the engine takes at a time, however little is asked for, weighs too much.
 */
const SESSION_BYTES_MAX = (IS_LONG ? 6 : 16) * 1024
/** What an idle session may keep of a large result that it has moved. */
const RESULT_BYTES = 1_000_000
const KEPT_BYTES_MAX = 60_000
const RESULTS = 60
const CHURN = IS_LONG ? 100_000 : 3_000
const CHURN_AT_ONCE = 50
const CHURN_GROWTH_BYTES_MAX = 30e6
/** Clients that connect at the same time; more would wait in the queue of the listener. */
const CONNECTING_MAX = 200
const REPLY_BYTES = 20

const say = (line: string): void => void process.stderr.write(`${line}\n`)

/** The most that a process may open here: all of these run under the same limit. */
function openFilesMax(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8')
  const found = /^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1]
  return found === undefined ? Number.POSITIVE_INFINITY : Number(found)
}

const WANTED = IS_LONG ? 10_000 : 1_000
/** A session takes two descriptors of the gateway, which keeps some for itself. */
const FITTING = Math.floor((openFilesMax() - 150) / 2)
const IDLE = Math.min(WANTED, FITTING)

/** A client as light as can be: it counts what has come, and tells when that is enough. */
interface Client {
  readonly socket: Socket<Client>
  wanted: number
  came: number
  ready: () => void
  closed: boolean
}

async function connect(port: number): Promise<Client> {
  const state = { wanted: 0, came: 0, ready: () => {}, closed: false }
  const socket = await Bun.connect<Client>({
    hostname: '127.0.0.1',
    port,
    socket: {
      data({ data }, chunk) {
        data.came += chunk.length
        if (data.came >= data.wanted) data.ready()
      },
      close({ data }) {
        data.closed = true
        data.ready()
      },
    },
  })
  const client: Client = Object.assign(state, { socket })
  socket.data = client
  return client
}

/** Sends, and waits for so many bytes. */
async function ask(client: Client, bytes: Uint8Array, wanted: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  Object.assign(client, { wanted, came: 0, ready: resolve })
  client.socket.write(bytes)
  await promise
  if (client.closed) throw new Error('the gateway closed the connection of a client')
}

/** Does something so many times, some at once. */
async function many(count: number, atOnce: number, once: (n: number) => Promise<void>) {
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) await once(next++)
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}

function startForCrowd(stub: Stub, protocol: 'postgres' | 'raw'): Promise<RunningGateway> {
  const server = { protocol, sessionsMax: 20_000 }
  return startBefore(stub, { server })
}

for (const protocol of ['postgres', 'raw'] as const) {
  const title = `${IDLE} idle clients (${protocol}) take ${SESSION_BYTES_MAX} bytes each at most`
  test(`${title}; ${WANTED} fit where ${2 * WANTED + 150} files may be open`, async () => {
    await using stub = await startStub()
    await using gateway = await startForCrowd(stub, protocol)
    const warm = async (client: Client) => {
      await ask(client, ANN, GREETING.length)
      await ask(client, query('select 1'), REPLY_BYTES)
    }
    // What the engine makes once, at the first sessions, is not theirs.
    const first: Client[] = []
    await many(50, 50, async () => void first.push(await connect(gateway.port)))
    for (const client of first) await warm(client)
    const before = await weigh(gateway)
    const clients: Client[] = []
    await many(IDLE - first.length, CONNECTING_MAX, async () => {
      const client = await connect(gateway.port)
      clients.push(client)
      await warm(client)
    })
    expect(await metric(gateway, 'postern_sessions_open')).toBe(IDLE)
    expect(descriptorsOf(gateway.pid)).toBe(before.descriptors + 2 * clients.length)
    const each = () => Math.round((memoryOf(gateway.pid).now - before.bytes) / clients.length)
    // What is left of their logins is collected a moment later.
    const settled = until('they take little', () => each() <= SESSION_BYTES_MAX).catch(() => {})
    for (const client of clients.slice(0, 100)) {
      await ask(client, query('select 2'), REPLY_BYTES)
    }
    await settled
    const taken = each()
    say(`${IDLE} idle clients (${protocol}): ${taken} bytes each`)
    for (const { socket } of [...first, ...clients]) socket.end()
    await until('all have left', async () => (await metric(gateway, 'postern_sessions_open')) === 0)
    expect(taken).toBeLessThanOrEqual(SESSION_BYTES_MAX)
  })
}

test(`${CHURN} clients that come and go leave memory and descriptors as they were`, async () => {
  await using stub = await startStub()
  await using gateway = await startForCrowd(stub, 'postgres')
  const visit = async (number: number): Promise<void> => {
    const client = await connect(gateway.port)
    await ask(client, ANN, GREETING.length)
    await ask(client, query('select 1'), REPLY_BYTES)
    if (number % 3 === 0) client.socket.terminate()
    else client.socket.end()
  }
  const warming = Math.floor(CHURN / 3)
  await many(warming, CHURN_AT_ONCE, visit)
  await until('all have left', async () => (await metric(gateway, 'postern_sessions_open')) === 0)
  const before = await weigh(gateway)
  await many(CHURN - warming, CHURN_AT_ONCE, visit)
  await mustBeUnharmed(gateway, before, CHURN_GROWTH_BYTES_MAX)
  expect(await metric(gateway, 'postern_sessions_total')).toBe(CHURN)
  say(`${CHURN} clients that came and went: ${memoryOf(gateway.pid).now - before.bytes} bytes more`)
})

test(`${RESULTS} clients that had ${RESULT_BYTES} bytes each keep little of them`, async () => {
  await using server = await startPostgres()
  await using gateway = await startBefore(server)
  const open = () => openSession({ ...server, port: gateway.port })
  const sql = `select repeat('x', ${RESULT_BYTES})`
  using first = await open()
  await first.rows(sql)
  const { now: before } = memoryOf(gateway.pid)
  const wires: Wire[] = []
  for (let count = 0; count < RESULTS; count++) {
    const wire = await open()
    await wire.rows(sql)
    await wire.rows('select 1')
    wires.push(wire)
  }
  const each = () => (memoryOf(gateway.pid).now - before) / RESULTS
  await until(`they keep less than ${KEPT_BYTES_MAX} bytes each`, () => each() < KEPT_BYTES_MAX)
  for (const wire of wires) wire.destroy()
})
