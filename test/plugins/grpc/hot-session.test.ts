/** The connection of the hook calls against a plugin that breaks it, in every way it can. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { GatewayError } from '../../../src/base/errors.ts'
import { type Clock, SYSTEM_CLOCK } from '../../../src/plugins/clock.ts'
import { type Identity, makeIdentity } from '../../../src/plugins/grpc/cert.ts'
import { HotCalls } from '../../../src/plugins/grpc/hot-calls.ts'
import { type RawConnection, RawServer } from '../../fixtures/grpc/raw-http2.ts'
import { Folder } from '../../fixtures/grpc/surroundings.ts'
import { TurnedClock } from '../turned-clock.ts'

setDefaultTimeout(60_000)

const folder = new Folder()
const path = join(folder.path, 's')
const made: HotCalls[] = []
let server: RawServer
let gateway: Identity
let plugin: Identity

beforeAll(async () => {
  gateway = await makeIdentity()
  plugin = await makeIdentity()
  server = await RawServer.start(path, plugin, gateway.certificate)
})
afterEach(() => {
  for (const calls of made.splice(0)) {
    calls.fail(new GatewayError('PLUGIN_CALL', 'the test is over'))
    calls.close()
  }
})
afterAll(() => {
  server.stop()
  folder.remove()
})

function hotCalls(clock: Clock = SYSTEM_CLOCK): HotCalls {
  const address = { network: 'unix', path } as const
  const handshake = { address, certificate: plugin.certificate }
  const calls = new HotCalls({ handshake, identity: gateway, resultBytesMax: 1000, clock })
  made.push(calls)
  return calls
}

const REQUEST = Uint8Array.of(1, 2, 3)
const CALL_TIMEOUT_MS = 20_000

function asked(calls: HotCalls): Promise<Uint8Array> {
  return calls.call('OnTick', REQUEST, CALL_TIMEOUT_MS)
}

/** How a call ends that should not succeed. */
async function failureOf(promise: Promise<Uint8Array>): Promise<string> {
  const error = await promise.then(
    (result) => new Error(`it gave ${result.length} bytes`),
    (thrown) => thrown,
  )
  expect(error).toBeInstanceOf(GatewayError)
  return error.message
}

/** A whole answer, of one byte. */
function answer(connection: RawConnection, stream: number): void {
  connection.headers(stream, { ':status': '200', 'content-type': 'application/grpc' })
  connection.body(stream, Uint8Array.of(0, 0, 0, 0, 1, 77))
  connection.headers(stream, { 'grpc-status': '0' }, true)
}

interface Arrived {
  readonly connection: RawConnection
  readonly stream: number
}

/** The next `count` calls that begin, unanswered. */
function arrivals(count: number): Promise<Arrived[]> {
  const { promise, resolve } = Promise.withResolvers<Arrived[]>()
  const arrived: Arrived[] = []
  server.called = (connection, stream) => {
    if (arrived.push({ connection, stream }) === count) resolve(arrived)
  }
  return promise
}

describe('a plugin', () => {
  test('that resets a call fails it with the reason, and no other', async () => {
    const resets = [
      [1, 'INTERNAL', 'PROTOCOL_ERROR'],
      [2, 'INTERNAL', 'INTERNAL_ERROR'],
      [7, 'UNAVAILABLE', 'REFUSED_STREAM'],
      [8, 'CANCELLED', 'CANCEL'],
      [11, 'RESOURCE_EXHAUSTED', 'ENHANCE_YOUR_CALM'],
      [12, 'PERMISSION_DENIED', 'INADEQUATE_SECURITY'],
      [99, 'INTERNAL', 'HTTP/2 error 99'],
    ] as const
    const calls = hotCalls()
    for (const [code, status, name] of resets) {
      const both = arrivals(2)
      const [bad, good] = [asked(calls), asked(calls)]
      const [first, second] = await both
      first?.connection.reset(first.stream, code)
      expect(await failureOf(bad)).toBe(
        `OnTick failed: ${status}: the plugin reset the call (${name})`,
      )
      if (second !== undefined) answer(second.connection, second.stream)
      expect(await good).toHaveLength(1)
    }
  })

  test('that resets a call without an error has not answered it either', async () => {
    const arrived = arrivals(1)
    const call = asked(hotCalls())
    const [first] = await arrived
    first?.connection.reset(first.stream, 0)
    expect(await failureOf(call)).toBe(
      'OnTick failed: INTERNAL: the answer ended without a grpc-status',
    )
  })

  test('that resets a call in the middle of its result fails it', async () => {
    const arrived = arrivals(1)
    const call = asked(hotCalls())
    const [first] = await arrived
    first?.connection.headers(first.stream, { ':status': '200' })
    first?.connection.body(first.stream, Uint8Array.of(0, 0, 0, 0, 9, 1))
    first?.connection.reset(first.stream, 2)
    expect(await failureOf(call)).toContain('reset the call (INTERNAL_ERROR)')
  })

  test('that drops the connection fails all its calls, and the next makes another', async () => {
    const calls = hotCalls()
    const three = arrivals(3)
    const inFlight = [asked(calls), asked(calls), asked(calls)]
    const [first] = await three
    first?.connection.destroy()
    for (const call of inFlight) {
      expect(await failureOf(call)).toStartWith('OnTick failed: UNAVAILABLE: ')
    }
    server.called = answer
    expect(await asked(calls)).toHaveLength(1)
  })

  test('that says goodbye answers what it has, and gets nothing more there', async () => {
    const calls = hotCalls()
    const arrived = arrivals(1)
    const old = asked(calls)
    const [first] = await arrived
    const before = server.connections
    first?.connection.goaway(first.stream, 0)
    // A call too late for the goodbye to be known may be refused; it is not sent twice.
    server.called = answer
    await Promise.allSettled([asked(calls)])
    expect(await asked(calls)).toHaveLength(1)
    expect(server.connections).toBe(before + 1)
    if (first !== undefined) answer(first.connection, first.stream)
    expect(await old).toHaveLength(1)
  })

  test('that says goodbye to calls it has not looked at fails them', async () => {
    const arrived = arrivals(1)
    const call = asked(hotCalls())
    const [first] = await arrived
    first?.connection.goaway(0, 0)
    expect(await failureOf(call)).toStartWith('OnTick failed: UNAVAILABLE: ')
  })

  test('that says goodbye for an error fails its calls', async () => {
    const arrived = arrivals(1)
    const call = asked(hotCalls())
    const [first] = await arrived
    first?.connection.goaway(first.stream, 11)
    expect(await failureOf(call)).toStartWith('OnTick failed: UNAVAILABLE: ')
  })

  test('that does not speak HTTP/2 fails the call', async () => {
    const arrived = arrivals(1)
    const call = asked(hotCalls())
    const [first] = await arrived
    first?.connection.noise(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'))
    expect(await failureOf(call)).toStartWith('OnTick failed: UNAVAILABLE: ')
  })

  test('is told of a call that is given up while others go on', async () => {
    const clock = new TurnedClock()
    const calls = hotCalls(clock)
    const both = arrivals(2)
    const [brief, long] = [calls.call('OnTick', REQUEST, 20), asked(calls)]
    const [first, second] = await both
    const reset = Promise.withResolvers<[number, number]>()
    server.wasReset = (stream, code) => reset.resolve([stream, code])
    clock.turn(20)
    expect(await failureOf(brief)).toBe('OnTick was not answered in 20 ms')
    expect(await reset.promise).toEqual([first?.stream ?? 0, 8])
    // An answer that was on its way harms nothing.
    if (first !== undefined) answer(first.connection, first.stream)
    if (second !== undefined) answer(second.connection, second.stream)
    expect(await long).toHaveLength(1)
  })
})
