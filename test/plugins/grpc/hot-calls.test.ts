/** The hook calls against a server that answers as no plugin would, and against the clock. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { once } from 'node:events'
import { constants, type ServerHttp2Stream } from 'node:http2'
import { join } from 'node:path'
import { GatewayError } from '../../../src/base/errors.ts'
import { type Clock, SYSTEM_CLOCK } from '../../../src/plugins/clock.ts'
import { type Identity, makeIdentity } from '../../../src/plugins/grpc/cert.ts'
import { HotCalls } from '../../../src/plugins/grpc/hot-calls.ts'
import { AnsweringServer, answer, frame, HEADERS, refuse } from '../../fixtures/grpc/answering.ts'
import { Folder } from '../../fixtures/grpc/surroundings.ts'
import { TurnedClock } from '../turned-clock.ts'

setDefaultTimeout(60_000)

const RESULT_BYTES_MAX = 1_000_000
const folder = new Folder()
const path = join(folder.path, 's')
const made: HotCalls[] = []
let server: AnsweringServer
let gateway: Identity
let plugin: Identity

beforeAll(async () => {
  gateway = await makeIdentity()
  plugin = await makeIdentity()
  server = await AnsweringServer.start(path, plugin, gateway.certificate)
})
afterEach(() => {
  for (const calls of made.splice(0)) drop(calls)
})
afterAll(() => {
  server.stop()
  folder.remove()
})

function drop(calls: HotCalls): void {
  calls.fail(new GatewayError('PLUGIN_CALL', 'the test is over'))
  calls.close()
}

function hotCalls(clock: Clock = SYSTEM_CLOCK, socket = path): HotCalls {
  const handshake = {
    address: { network: 'unix', path: socket },
    certificate: plugin.certificate,
  } as const
  const calls = new HotCalls({
    handshake,
    identity: gateway,
    resultBytesMax: RESULT_BYTES_MAX,
    clock,
  })
  made.push(calls)
  return calls
}

const REQUEST = Uint8Array.of(1, 2, 3)
const RESULT = Uint8Array.of(7, 8, 9)

/** How a call ends that should not succeed. */
async function failureOf(promise: Promise<Uint8Array>): Promise<string> {
  const error = await promise.then(
    (result) => new Error(`it gave ${result.length} bytes`),
    (thrown) => thrown,
  )
  expect(error).toBeInstanceOf(GatewayError)
  return error.message
}

/** A call that is answered so, and how it fails. */
async function failureWhen(answers: AnsweringServer['answers']): Promise<string> {
  server.answers = answers
  return await failureOf(hotCalls().call('OnTick', REQUEST, 20_000))
}

/** The next call that arrives, left unanswered. */
function arrival(): Promise<ServerHttp2Stream> {
  const { promise, resolve } = Promise.withResolvers<ServerHttp2Stream>()
  server.answers = (stream) => resolve(stream)
  return promise
}

describe('a result', () => {
  test('is put together from frames of one byte each', async () => {
    const bytes = [...frame(RESULT)].map((byte) => Uint8Array.of(byte))
    server.answers = (stream) => answer(stream, bytes)
    expect(new Uint8Array(await hotCalls().call('OnTick', REQUEST, 5000))).toEqual(RESULT)
  })

  test('may be empty, and as long as the limit', async () => {
    const calls = hotCalls()
    server.answers = (stream) => answer(stream, [frame(new Uint8Array(0))])
    expect(await calls.call('OnTick', REQUEST, 5000)).toHaveLength(0)
    server.answers = (stream) => answer(stream, [frame(new Uint8Array(RESULT_BYTES_MAX))])
    expect(await calls.call('OnTick', REQUEST, 20_000)).toHaveLength(RESULT_BYTES_MAX)
  })

  test('of several megabytes does not wait for windows, among many others', async () => {
    const calls = hotCalls()
    server.answers = (stream) => answer(stream, [frame(new Uint8Array(RESULT_BYTES_MAX))])
    const all = Array.from({ length: 20 }, () => calls.call('OnTick', REQUEST, 20_000))
    const lengths = (await Promise.all(all)).map(({ length }) => length)
    expect(lengths).toEqual(all.map(() => RESULT_BYTES_MAX))
  })

  test('that is longer is refused at its first bytes, and the stream of it reset', async () => {
    const closed = Promise.withResolvers<number>()
    const message = await failureWhen((stream) => {
      stream.on('close', () => closed.resolve(stream.rstCode))
      stream.respond(HEADERS)
      stream.write(Buffer.from([0, 255, 255, 255, 255, 1]))
    })
    expect(message).toStartWith('OnTick failed: RESOURCE_EXHAUSTED: a result of 4294967295 bytes')
    expect(message).toContain('resultBytesMax (1000000)')
    expect(await closed.promise).toBe(constants.NGHTTP2_CANCEL)
  })

  test('without end is refused where its message should have ended', async () => {
    const message = await failureWhen((stream) => {
      stream.respond(HEADERS)
      stream.write(frame(RESULT))
      const flood = setInterval(() => stream.write(RESULT), 1)
      stream.on('close', () => clearInterval(flood))
    })
    expect(message).toBe('OnTick failed: INTERNAL: more than one message came for one call')
  })

  test('of two messages is refused', async () => {
    const message = await failureWhen((stream) =>
      answer(stream, [Buffer.concat([frame(RESULT), frame(RESULT)])]),
    )
    expect(message).toBe('OnTick failed: INTERNAL: more than one message came for one call')
  })

  test('that is compressed is refused', async () => {
    const message = await failureWhen((stream) => answer(stream, [frame(RESULT, 1)]))
    expect(message).toBe('OnTick failed: INTERNAL: the result is compressed, which was not offered')
  })
})

describe('an answer', () => {
  test('that says well done and gives nothing is a failure', async () => {
    const ended = (stream: ServerHttp2Stream): void => answer(stream, [])
    expect(await failureWhen(ended)).toBe(
      'OnTick failed: INTERNAL: the answer ended without a message',
    )
    const cut = (stream: ServerHttp2Stream): void => answer(stream, [frame(RESULT).subarray(0, 7)])
    expect(await failureWhen(cut)).toBe(
      'OnTick failed: INTERNAL: the answer ended after 2 of 3 bytes',
    )
  })

  test('without trailers is a failure, though a message came', async () => {
    const message = await failureWhen((stream) => {
      stream.respond(HEADERS)
      stream.end(frame(RESULT))
    })
    expect(message).toBe('OnTick failed: INTERNAL: the answer ended without a grpc-status')
  })

  test('of headers alone says what is wrong', async () => {
    const message = await failureWhen((stream) =>
      refuse(stream, { 'grpc-status': '12', 'grpc-message': 'na%C3%AFve%0Aplugin' }),
    )
    expect(message).toBe('OnTick failed: UNIMPLEMENTED: naïve\nplugin')
  })

  test('with a status and words behind a message is a failure', async () => {
    const message = await failureWhen((stream) =>
      answer(stream, [frame(RESULT)], { 'grpc-status': '13', 'grpc-message': 'unwell' }),
    )
    expect(message).toBe('OnTick failed: INTERNAL: unwell')
  })

  test('with words that are wrongly encoded shows them as they came', async () => {
    const message = await failureWhen((stream) =>
      refuse(stream, { 'grpc-status': '2', 'grpc-message': '100%, %zz %4' }),
    )
    expect(message).toBe('OnTick failed: UNKNOWN: 100%, %zz %4')
  })

  test('with a status that is none is a failure', async () => {
    const message = await failureWhen((stream) =>
      answer(stream, [frame(RESULT)], { 'grpc-status': '-0', 'grpc-message': 'odd' }),
    )
    expect(message).toBe('OnTick failed: UNKNOWN: odd')
  })

  test('of plain HTTP is a failure', async () => {
    const message = await failureWhen((stream) => {
      stream.respond({ ':status': 503, 'content-type': 'text/html' })
      stream.end('<h1>later</h1>')
    })
    expect(message).toStartWith('OnTick failed: ')
    expect(message).toContain('UNAVAILABLE: the answer has HTTP status 503')
  })
})

describe('a connection', () => {
  test('that is given up leaves nothing open', async () => {
    const calls = hotCalls()
    server.answers = (stream) => answer(stream, [frame(RESULT)])
    await calls.call('OnTick', REQUEST, 5000)
    const session = server.sessions.at(-1)
    const closed = session === undefined ? null : once(session, 'close')
    drop(calls)
    drop(calls)
    await closed
    const attempt = calls.call('OnTick', REQUEST, 5000)
    expect(await failureOf(attempt)).toBe('the test is over')
  })
})

describe('time', () => {
  test('that is up fails the call, and the plugin hears of it', async () => {
    const clock = new TurnedClock()
    const calls = hotCalls(clock)
    const headers = Promise.withResolvers<unknown>()
    const closed = Promise.withResolvers<number>()
    server.answers = (stream, came) => {
      stream.on('close', () => closed.resolve(stream.rstCode))
      headers.resolve(came)
    }
    const call = calls.call('OnTrafficFromClient', REQUEST, 250)
    expect(await headers.promise).toMatchObject({
      ':path': '/plugin.v1.GatewayDPluginService/OnTrafficFromClient',
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': '250m',
    })
    clock.turn(249)
    expect(calls.inFlight).toBe(1)
    clock.turn(1)
    expect(await failureOf(call)).toBe('OnTrafficFromClient was not answered in 250 ms')
    expect(calls.inFlight).toBe(0)
    expect(await closed.promise).toBe(constants.NGHTTP2_CANCEL)
  })

  test('that is up first for the plugin is up; before that it is the plugin’s own', async () => {
    for (const [passedMs, problem] of [
      [248, 'OnTick was not answered in 250 ms'],
      [100, 'OnTick failed: DEADLINE_EXCEEDED: too slow'],
    ] as const) {
      const clock = new TurnedClock()
      const arrived = arrival()
      const call = hotCalls(clock).call('OnTick', REQUEST, 250)
      const stream = await arrived
      clock.turn(passedMs)
      refuse(stream, { 'grpc-status': '4', 'grpc-message': 'too slow' })
      const error = await call.catch((thrown) => thrown)
      expect(error.message).toBe(problem)
      expect(error.code).toBe(passedMs === 248 ? 'PLUGIN_TIMEOUT' : 'PLUGIN_CALL')
    }
  })

  test('of each call is its own', async () => {
    const clock = new TurnedClock()
    const calls = hotCalls(clock)
    const arrived = arrival()
    const long = calls.call('OnTick', REQUEST, 5000)
    const short = calls.call('OnRun', REQUEST, 10)
    const stream = await arrived
    clock.turn(10)
    expect(await failureOf(short)).toBe('OnRun was not answered in 10 ms')
    answer(stream, [frame(RESULT)])
    expect(await long).toHaveLength(RESULT.length)
  })

  test('that is up before the handshake is over gives that connection up', async () => {
    const silent = join(folder.path, 'silent')
    const gone = Promise.withResolvers<void>()
    const listening = Bun.listen({
      unix: silent,
      socket: { data: () => undefined, close: () => gone.resolve() },
    })
    const clock = new TurnedClock()
    const call = hotCalls(clock, silent).call('OnTick', REQUEST, 10)
    clock.turn(10)
    expect(await failureOf(call)).toBe('OnTick was not answered in 10 ms')
    await gone.promise
    listening.stop(true)
  })

  test('that is up leaves no stream open, a thousand times', async () => {
    const clock = new TurnedClock()
    const calls = hotCalls(clock)
    let open = 0
    let late = Promise.withResolvers<void>()
    server.answers = (stream) => {
      open++
      stream.on('close', () => {
        if (--open === 0) late.resolve()
      })
    }
    for (let round = 0; round < 10; round++) {
      const all = Array.from({ length: 100 }, () => calls.call('OnTick', REQUEST, 10))
      const arrived = until(() => open === 100)
      await arrived
      clock.turn(10)
      const failures = await Promise.all(all.map(failureOf))
      expect(new Set(failures)).toEqual(new Set(['OnTick was not answered in 10 ms']))
      await late.promise
      late = Promise.withResolvers<void>()
    }
    expect(calls.inFlight).toBe(0)
    server.answers = (stream) => answer(stream, [frame(RESULT)])
    expect(await calls.call('OnTick', REQUEST, 5000)).toHaveLength(RESULT.length)
  })
})

/** Looks again at every turn of the loop. */
async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise<void>((resolve) => setImmediate(resolve))
}
