/** Who is let in, how long a session may wait, and how all of them end in good order. */
import { afterEach, describe, expect, spyOn, test } from 'bun:test'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import type { Address } from '../../src/base/address.ts'
import { CONTINUE, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import { POSTGRES } from '../../src/protocols/postgres/postgres.ts'
import { newAccount } from '../../src/tcp/account.ts'
import { Listener } from '../../src/tcp/listener.ts'
import type { ListenerOptions } from '../../src/tcp/surroundings.ts'
import { Tenancy } from '../../src/tcp/tenancy.ts'
import { createBalancer } from '../../src/upstream/balancer.ts'
import { copyData, query, sslRequest } from '../kit/frontend.ts'
import type { FakeStep } from '../kit/service.ts'
import { until } from '../kit/traffic.ts'
import { server as says } from '../protocols/postgres/stage.ts'
import { ANN, type Ends, setScene } from './scene.ts'

const SELECT = query('select 1')
const REPLY = Buffer.concat([says.complete('SELECT 0'), says.ready()])
const realNow = performance.now.bind(performance)

let restore = (): void => {}
afterEach(() => {
  restore()
  restore = () => {}
})

/** Moves the clock of timeouts on; the next beat sees it. */
function skip(ms: number): void {
  const clock = spyOn(performance, 'now').mockImplementation(() => realNow() + ms)
  restore = () => void clock.mockRestore()
}

async function ask({ wire, server }: Ends): Promise<void> {
  wire.send(SELECT)
  await server.read(SELECT.length)
}

/** A step that decides about queries when the test says so. */
function pondering() {
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<TrafficVerdict>()
  const step: FakeStep = {
    messages: ['Query'],
    decide: () => {
      asked.resolve()
      return answer.promise
    },
  }
  return { decides: asked.promise, finish: () => answer.resolve(CONTINUE), step }
}

function optionsOn(address: Address, socketMode?: number): ListenerOptions {
  const wanted = { cut: 'message', tags: null } as const
  const none = { steps: [], edges: [], observers: [], keepsRequest: false, wanted }
  return {
    group: 'shop',
    address,
    ...(socketMode === undefined ? {} : { socketMode }),
    protocol: POSTGRES,
    hooks: {
      opening: null,
      observers: null,
      fromClient: { ...none, decides: 'onTrafficFromClient', observes: 'onTrafficToServer' },
      fromServer: { ...none, decides: 'onTrafficFromServer', observes: 'onTrafficToClient' },
    },
    balancer: createBalancer([], 'RANDOM'),
    limits: { messageBytesMax: 100, budget: { held: 0, heldMax: 100, spent: 0 } },
    pools: new Map(),
    gate: null,
    sessionsMax: 1,
    tls: null,
    loginTimeoutMs: 0,
    idleTimeoutMs: 0,
    account: newAccount(),
    tenancy: new Tenancy(),
    log: pino({ level: 'silent' }),
    stepFailed: () => {},
    denied: () => {},
    upstreamFailed: () => {},
    serverConnected: null,
  }
}

describe('an address', () => {
  const listenerOn = (address: Address, socketMode?: number): Listener =>
    new Listener(optionsOn(address, socketMode))

  test('that is taken is refused, naming the key and the place', async () => {
    const first = listenerOn({ network: 'tcp', host: '127.0.0.1', port: 0 })
    first.start()
    const port = Number(first.address.split(':')[1])
    expect(port).toBeGreaterThan(0)
    const second = listenerOn({ network: 'tcp', host: '127.0.0.1', port })
    expect(() => second.start()).toThrow(
      expect.objectContaining({
        code: 'LISTEN_FAILED',
        message: expect.stringContaining(
          `servers.shop.address: cannot listen on 127.0.0.1:${port}`,
        ),
      }),
    )
    await first.drain(0)
  })

  test('may be a Unix socket, and is told as it was written', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-listener-'))
    const path = join(folder, 'front.sock')
    const listener = listenerOn({ network: 'unix', path })
    expect(listener.address).toBe(path)
    listener.start()
    expect(listener.address).toBe(path)
    const client = connect({ path })
    await new Promise((resolve) => client.once('connect', resolve))
    client.destroy()
    await listener.drain(0)
    expect(existsSync(path)).toBe(false)
    rmSync(folder, { recursive: true })
  })

  test('that is a Unix socket is open to all, or has the mode that was asked for', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-listener-'))
    const path = join(folder, 'front.sock')
    for (const [asked, mode] of [
      [undefined, 0o777],
      [0o660, 0o660],
    ] as const) {
      const listener = listenerOn({ network: 'unix', path }, asked)
      await listener.prepare()
      listener.start()
      expect(statSync(path).mode & 0o777).toBe(mode)
      await listener.drain(0)
    }
    rmSync(folder, { recursive: true })
  })

  test('that is the Unix socket of another is refused before anything is done', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-listener-'))
    const path = join(folder, 'front.sock')
    const first = listenerOn({ network: 'unix', path })
    first.start()
    const refused: unknown = await listenerOn({ network: 'unix', path })
      .prepare()
      .catch((error: unknown) => error)
    expect(refused).toMatchObject({
      code: 'LISTEN_FAILED',
      message: `servers.shop.address: cannot listen on ${path}: another process listens on it`,
    })
    await first.drain(0)
    rmSync(folder, { recursive: true })
  })

  test('with a port needs no way made for it', async () => {
    await listenerOn({ network: 'tcp', host: '127.0.0.1', port: 0 }).prepare()
  })
})

describe('sessionsMax', () => {
  test('refuses one more with 53300, behind SSLRequest and startup, and counts it', async () => {
    await using scene = await setScene({ sessionsMax: 1 })
    await scene.logIn()
    const second = await scene.connect()
    second.send(sslRequest())
    expect(await second.readBytes(1)).toEqual(Uint8Array.of(0x4e))
    second.send(ANN)
    expect(await second.expect('ErrorResponse')).toMatchObject({
      severity: 'FATAL',
      code: '53300',
      hint: expect.stringContaining('servers.default.sessionsMax'),
    })
    await second.closed()
    expect(scene.service.account.sessionsRefused).toBe(1)
  })

  test('lets the next one in when a session has ended', async () => {
    await using scene = await setScene({ sessionsMax: 1 })
    for (let round = 0; round < 5; round++) {
      const { wire, server } = await scene.logIn()
      server.socket.end()
      await wire.expect('ErrorResponse')
      await wire.closed()
      wire.destroy()
      while (scene.service.listener.sessions > 0) await new Promise(setImmediate)
    }
    expect(scene.service.account).toMatchObject({ sessionsTotal: 5, sessionsRefused: 0 })
  })
})

describe('loginTimeout', () => {
  test('ends a client that says nothing, or does not say who it is', async () => {
    await using scene = await setScene({ loginTimeoutMs: 60_000 })
    const silent = await scene.connect()
    await scene.server.next()
    const stalled = await scene.connect()
    stalled.send(ANN.slice(0, 9))
    await scene.server.next()
    const unanswered = await scene.connect()
    unanswered.send(ANN)
    await (await scene.server.next()).read(ANN.length)
    skip(60_000)
    for (const wire of [silent, stalled, unanswered]) {
      expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '57P05' })
      await wire.closed()
    }
    expect(scene.service.account.loginTimeouts).toBe(3)
  })

  test('leaves those alone that are logged in', async () => {
    await using scene = await setScene({ loginTimeoutMs: 60_000 })
    const { wire, server } = await scene.logIn()
    const silent = await scene.connect()
    skip(60_000)
    await silent.expect('ErrorResponse')
    await ask({ wire, server })
    server.send(REPLY)
    await wire.readUntil('ReadyForQuery')
  })

  test('also ends a client that is refused and does not listen', async () => {
    await using scene = await setScene({ sessionsMax: 0, loginTimeoutMs: 60_000 })
    const refused = await scene.connect()
    skip(60_000)
    await refused.expect('ErrorResponse')
    await refused.closed()
  })
})

describe('idleTimeout', () => {
  test('ends a session in which nothing happens, but not one that is owed a reply', async () => {
    await using scene = await setScene({ idleTimeoutMs: 60_000 })
    const asking = await scene.logIn()
    const idle = await scene.logIn()
    await ask(asking)
    skip(60_000)
    expect(await idle.wire.expect('ErrorResponse')).toMatchObject({ code: '57P05' })
    await idle.wire.closed()
    await idle.server.ended
    asking.server.send(REPLY)
    await asking.wire.readUntil('ReadyForQuery')
    expect(scene.service.account.idleTimeouts).toBe(1)
  })

  test('ends no session whose step still decides', async () => {
    const { decides, finish, step } = pondering()
    await using scene = await setScene({ idleTimeoutMs: 60_000, fromClient: [step] })
    const asking = await scene.logIn()
    const idle = await scene.logIn()
    asking.wire.send(SELECT)
    await decides
    skip(60_000)
    await idle.wire.expect('ErrorResponse')
    finish()
    await asking.server.read(SELECT.length)
  })

  test('of zero ends nobody', async () => {
    await using scene = await setScene({ loginTimeoutMs: 60_000, idleTimeoutMs: 0 })
    const idle = await scene.logIn()
    const silent = await scene.connect()
    skip(600_000)
    await silent.expect('ErrorResponse')
    await ask(idle)
  })
})

describe('a shutdown', () => {
  test('ends idle sessions with 57P01 at once, and lets nobody in', async () => {
    await using scene = await setScene()
    const { wire, server } = await scene.logIn()
    const drained = scene.service.listener.drain(60_000)
    expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '57P01' })
    await wire.closed()
    await server.ended
    wire.destroy()
    await drained
    expect(scene.service.account.sessionsOpen).toBe(0)
    await expect(scene.connect()).rejects.toThrow('ECONNREFUSED')
  })

  test('lets a running query and a transaction finish first', async () => {
    await using scene = await setScene()
    const ends = await scene.logIn()
    await ask(ends)
    const drained = scene.service.listener.drain(60_000)
    ends.server.send(says.complete('BEGIN'), says.ready('T'))
    await ends.wire.readUntil('ReadyForQuery')
    await ask(ends)
    ends.server.send(REPLY)
    await ends.wire.readUntil('ReadyForQuery')
    expect(await ends.wire.expect('ErrorResponse')).toMatchObject({ code: '57P01' })
    await ends.wire.closed()
    ends.wire.destroy()
    await drained
  })

  test('lets a step decide about a query first, and the query run', async () => {
    const { decides, finish, step } = pondering()
    await using scene = await setScene({ fromClient: [step] })
    const { wire, server } = await scene.logIn()
    const idle = await scene.logIn()
    wire.send(SELECT)
    await decides
    const drained = scene.service.listener.drain(60_000)
    await idle.wire.expect('ErrorResponse')
    idle.wire.destroy()
    finish()
    await server.read(SELECT.length)
    server.send(REPLY)
    await wire.readUntil('ReadyForQuery')
    expect(await wire.expect('ErrorResponse')).toMatchObject({ code: '57P01' })
    wire.destroy()
    await drained
  })

  test('ends them by force after the timeout', async () => {
    await using scene = await setScene()
    const ends = await scene.logIn()
    await ask(ends)
    const drained = scene.service.listener.drain(1)
    expect(await ends.wire.expect('ErrorResponse')).toMatchObject({ code: '57P01' })
    await ends.wire.closed()
    ends.wire.destroy()
    await drained
  })

  test('of a listener without sessions is done at once, and twice is once', async () => {
    await using scene = await setScene()
    await scene.service.listener.drain(60_000)
    await scene.service.listener.drain(60_000)
  })
})

test('a client that never reads is cut off some time after its session has ended', async () => {
  await using scene = await setScene()
  const { wire, server } = await scene.logIn()
  wire.socket.pause()
  await ask({ wire, server })
  const row = copyData('x'.repeat(999_995))
  for (let count = 0; count < 100; count++) server.socket.write(row)
  await stuck(() => scene.service.account.bytesFromServer)
  const drained = scene.service.listener.drain(1)
  await server.closed
  expect(scene.service.account.sessionsOpen).toBe(1)
  skip(10_000)
  await drained
  expect(scene.service.account.sessionsOpen).toBe(0)
})

test('a client that has left is let go, though its server hangs', async () => {
  await using scene = await setScene({ loginTimeoutMs: 5000 })
  const { wire, server } = await scene.logIn()
  const silent = await scene.connect()
  const { account } = scene.service
  await ask({ wire, server })
  server.socket.pause()
  wire.halfClose()
  skip(10_000)
  // The beat that ends the one who never logged in has passed over the one that is owed a reply.
  expect(await silent.expect('ErrorResponse')).toMatchObject({ code: '57P05' })
  expect(account.sessionsOpen).toBeGreaterThan(0)
  restore()
  silent.destroy()
  server.send(says.complete('BEGIN'), says.ready('T'))
  await wire.readUntil('ReadyForQuery')
  skip(20_000)
  await until('the session has ended', () => account.sessionsOpen === 0)
})

/** Resolves when a number has not grown for many turns of the loop. */
async function stuck(look: () => number): Promise<void> {
  let last = -1
  for (let turns = 0; turns < 300; turns++) {
    if (look() !== last) turns = 0
    last = look()
    await new Promise(setImmediate)
  }
}

test('a reload changes the mode of a Unix socket, and stands that it was removed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'listener-'))
  const path = join(folder, 'gateway.sock')
  const options = optionsOn({ network: 'unix', path })
  const listener = new Listener(options)
  await listener.prepare()
  listener.start()
  listener.renew({ ...options, socketMode: 0o700 })
  expect(statSync(path).mode & 0o777).toBe(0o700)
  rmSync(path)
  listener.renew({ ...options, socketMode: 0o770, sessionsMax: 7 })
  expect(listener.sessionsMax).toBe(7)
  await listener.drain(0)
  rmSync(folder, { recursive: true })
})
