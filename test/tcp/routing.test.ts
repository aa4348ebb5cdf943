/** Sessions that go to another block, and cancel requests that must find them there. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { SessionFacts } from '../../src/hooks/step.ts'
import { CONTINUE, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import { freePort } from '../kit/free-port.ts'
import { cancelRequest, query, startup } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { type FakeStep, startService } from '../kit/service.ts'
import { connectWire } from '../kit/wire.ts'
import { type FakeServer, startFakeServer } from './fake-server.ts'
import { ANN, GREETING, type Scene, setScene } from './scene.ts'

let postgres: PostgresServer
beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres.stop())

const route = (block: string) => ({ kind: 'route', block }) as const
const SELECT = query('select 1')

const atStartup = (verdict: TrafficVerdict, slowly = false): FakeStep => ({
  messages: ['StartupMessage'],
  decide: slowly ? async () => verdict : () => verdict,
})

/** The session that was opened talks to this server, and to no other. */
async function talksTo(scene: Scene, other: FakeServer, expected = ANN): Promise<void> {
  const wire = await scene.connect()
  wire.send(ANN)
  const first = await scene.server.next()
  const server = await other.next()
  expect(await server.read(expected.length)).toEqual(Buffer.from(expected))
  server.send(GREETING)
  await wire.readUntil('ReadyForQuery')
  wire.send(SELECT)
  await server.read(SELECT.length)
  await first.closed
}

describe('a session is routed', () => {
  for (const slowly of [false, true]) {
    test(`at its startup to another block ${slowly ? 'after a promise' : 'at once'}`, async () => {
      await using other = await startFakeServer()
      await using scene = await setSceneBefore(other, {
        fromClient: [atStartup(route('reads1'), slowly)],
      })
      await talksTo(scene, other)
    })
  }

  test('with what an earlier step made of its startup', async () => {
    const bob = startup({ user: 'bob' })
    await using other = await startFakeServer()
    const steps = [atStartup({ kind: 'replace', bytes: bob }), atStartup(route('reads1'))]
    await using scene = await setSceneBefore(other, { fromClient: steps })
    await talksTo(scene, other, bob)
  })

  test('when it is opened, and steps know where it is', async () => {
    await using other = await startFakeServer()
    let facts: SessionFacts | null = null
    const noting: FakeStep = {
      decide: (_bytes, session) => {
        facts = session
        return CONTINUE
      },
    }
    await using scene = await setSceneBefore(other, {
      opening: () => route('reads1'),
      fromClient: [noting],
    })
    const wire = await scene.connect()
    wire.send(ANN)
    const server = await other.next()
    await server.read(ANN.length)
    expect(facts).toMatchObject({ block: 'reads1', server: { remote: `127.0.0.1:${other.port}` } })
  })

  test('to where it is already, which changes nothing', async () => {
    await using scene = await setScene({ fromClient: [atStartup(route('writes'))] })
    await scene.logIn()
    expect(scene.service.failures).toEqual([])
  })
})

describe('a session cannot be routed', () => {
  test('to a block that is not there: refused at onOpening, a failed step later', async () => {
    await using opened = await setScene({ opening: () => route('moon') })
    const wire = await opened.connect()
    wire.send(ANN)
    expect(await wire.expect('ErrorResponse')).toMatchObject({
      severity: 'FATAL',
      message: 'there is no block "moon" in group "default"',
    })
    await wire.closed()
    await using started = await setScene({ fromClient: [atStartup(route('moon'))] })
    await started.logIn()
    expect(started.service.failures).toEqual([
      'onTrafficFromClient: there is no block "moon" in group "default"',
    ])
  })

  test('once it is logged in: the step failed', async () => {
    await using other = await startFakeServer()
    const step: FakeStep = { messages: ['Query'], decide: () => route('reads1') }
    await using scene = await setSceneBefore(other, { fromClient: [step] })
    const { wire, server } = await scene.logIn()
    wire.send(SELECT)
    await server.read(SELECT.length)
    expect(scene.service.failures).toEqual([
      'onTrafficFromClient: a session can be routed only before it logs in',
    ])
  })

  test('to a block that cannot be reached: FATAL, and the first server is let go', async () => {
    const dead = await freePort()
    await using scene = await setScene({ fromClient: [atStartup(route('reads1'))], others: [dead] })
    const wire = await scene.connect()
    wire.send(ANN)
    expect(await wire.expect('ErrorResponse')).toMatchObject({
      severity: 'FATAL',
      code: '08006',
      message: expect.stringContaining('(reads1)'),
    })
    await wire.closed()
    await (await scene.server.next()).closed
    expect(scene.service.unreached).toEqual(['reads1: ECONNREFUSED'])
  })

  test('when it has ended before the step said so', async () => {
    await using other = await startFakeServer()
    const { promise, resolve } = Promise.withResolvers<TrafficVerdict>()
    const verdicts: (TrafficVerdict | Promise<TrafficVerdict>)[] = [promise, CONTINUE]
    const step: FakeStep = { messages: ['StartupMessage'], decide: () => verdicts.shift()! }
    await using scene = await setSceneBefore(other, { fromClient: [step] })
    const leaving = await scene.connect()
    leaving.send(ANN)
    const first = await scene.server.next()
    while (verdicts.length === 2) await new Promise(setImmediate)
    leaving.socket.resetAndDestroy()
    first.socket.resetAndDestroy()
    while (scene.service.account.sessionsOpen > 0) await new Promise(setImmediate)
    resolve(route('reads1'))
    // The second session goes to the second block in turn: its connection there is the first one.
    const wire = await scene.connect()
    wire.send(ANN)
    expect(await (await other.next()).read(ANN.length)).toHaveLength(ANN.length)
  })
})

function setSceneBefore(
  other: FakeServer,
  options: Parameters<typeof setScene>[0],
): Promise<Scene> {
  return setScene({ ...options, others: [other.port] })
}

describe('a running query is cancelled', () => {
  /** Resolves when the server sleeps: a request that comes before would cancel nothing. */
  async function sleeping(): Promise<void> {
    const watcher = await connectWire(postgres)
    await watcher.login(postgres)
    const asleep = "select 1 from pg_stat_activity where wait_event = 'PgSleep'"
    while ((await watcher.rows(asleep)).length === 0);
    watcher.destroy()
  }

  for (const leaving of [false, true]) {
    const how = leaving ? ', by a client that closes its side at once' : ''
    test(`in the block where it runs, wherever the request would go${how}`, async () => {
      await using other = await startFakeServer()
      await using service = startService({ upstreams: [other.port, postgres.port] })
      const address = { host: '127.0.0.1', port: service.port }
      using first = await connectWire(address)
      await other.next()
      using sleeper = await connectWire(address)
      const { pid, secret } = await sleeper.login(postgres)
      sleeper.send(query('select pg_sleep(60)'))
      await sleeping()
      using canceller = await connectWire(address)
      await other.next()
      canceller.send(cancelRequest(pid, secret))
      if (leaving) canceller.halfClose()
      await canceller.closed()
      const told = await sleeper.readUntil('ErrorResponse')
      expect(told.at(-1)).toMatchObject({ code: '57014' })
      await sleeper.expect('ReadyForQuery')
      expect(await sleeper.rows('select 1')).toEqual([['1']])
      first.destroy()
    })
  }

  test('only by who knows its key', async () => {
    await using service = startService({ upstreams: [postgres.port] })
    const address = { host: '127.0.0.1', port: service.port }
    using session = await connectWire(address)
    const { pid, secret } = await session.login(postgres)
    const wrong = secret.map((byte) => byte ^ 1)
    using canceller = await connectWire(address)
    canceller.send(cancelRequest(pid, wrong))
    await canceller.closed()
    expect(await session.rows('select 1')).toEqual([['1']])
  })
})
