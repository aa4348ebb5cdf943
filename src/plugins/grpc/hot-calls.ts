/**
 * The hook calls of one plugin: unary gRPC on HTTP/2 streams of one connection. Apart from the
 * library that carries the side services, because these calls stand in the way of the traffic:
 * this way costs about a third of the processor time (test/bench/grpc.ts).
 */
import {
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2'
import { GatewayError, sentenceOf } from '../../base/errors.ts'
import { type Clock, SYSTEM_CLOCK } from '../clock.ts'
import type { Identity } from './cert.ts'
import { Deadlines, type Timed } from './deadlines.ts'
import { FrameReader, framed } from './frame.ts'
import type { Handshake } from './handshake.ts'
import { type HotSession, openHotSession } from './hot-session.ts'
import { messageText, type Refusal, refusalOfHttp, refusalOfReset, statusNamed } from './status.ts'
import { GatewayDPluginService } from './wire/plugin/v1/plugin_pb.ts'

/** Characters of a plugin's own words in our sentences. */
const QUOTED_MAX = 500

/** The longest `grpc-timeout` has eight digits. */
const TIMEOUT_MS_MAX = 99_999_999

export interface HotCallsRequest {
  readonly handshake: Handshake
  readonly identity: Identity
  /** Bytes; a longer result fails its call, as soon as its length is known. */
  readonly resultBytesMax: number
  /** The machine's own where it is left out. */
  readonly clock?: Clock
}

/** How much earlier than ours a timer of the plugin may ring: both count whole milliseconds. */
const TIMERS_EARLY_MS = 5

/** One call, from the moment it is asked for until its promise is settled. */
class HotCall implements Timed {
  readonly method: string
  readonly timeoutMs: number
  readonly endsAtMs: number
  readonly promise: Promise<Uint8Array>
  readonly #calls: HotCalls
  readonly #request: Uint8Array
  readonly #resolve: (result: Uint8Array) => void
  readonly #reject: (error: GatewayError) => void
  readonly #result: FrameReader
  #stream: ClientHttp2Stream | null = null
  #session: HotSession | null = null
  #status = ''
  #httpStatus = 0
  #isSettled = false

  constructor(calls: HotCalls, method: string, request: Uint8Array, timeoutMs: number) {
    this.#calls = calls
    this.method = method
    this.#request = request
    this.timeoutMs = timeoutMs
    this.endsAtMs = calls.deadlines.endOf(timeoutMs)
    this.#result = new FrameReader(calls.resultBytesMax)
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    this.promise = promise
    this.#resolve = resolve
    this.#reject = reject
  }

  get isSettled(): boolean {
    return this.#isSettled
  }

  /** Puts the request on the wire. */
  send(session: HotSession, headers: OutgoingHttpHeaders): void {
    const stream = session.http2.request(headers)
    this.#session = session
    this.#stream = stream
    stream.on('response', (answer) => this.#begin(answer))
    stream.on('data', (chunk: Buffer) => this.#take(chunk))
    stream.on('trailers', (trailers) => this.#note(trailers))
    stream.on('end', () => this.#end())
    stream.on('error', (error: Error) => this.#break(error))
    stream.on('close', () => this.#break(null))
    stream.end(framed(this.#request))
  }

  expire(): void {
    const words = `${this.method} was not answered in ${this.timeoutMs} ms`
    this.fail(new GatewayError('PLUGIN_TIMEOUT', words))
    // Whoever does not even complete the handshake would collect every later call.
    if (this.#session?.isConnected() === false) this.#calls.leave(this.#session)
  }

  /** Rejects, and tells the plugin that nobody waits any more. */
  fail(error: GatewayError): void {
    if (!this.#settle()) return
    this.#reject(error)
    this.#stream?.close(constants.NGHTTP2_CANCEL)
  }

  refuse({ status, words }: Refusal): void {
    const quoted = words.slice(0, QUOTED_MAX)
    this.fail(new GatewayError('PLUGIN_CALL', `${this.method} failed: ${status}: ${quoted}`))
  }

  #settle(): boolean {
    if (this.#isSettled) return false
    this.#isSettled = true
    this.#calls.deadlines.delete(this)
    return true
  }

  #begin(answer: IncomingHttpHeaders): void {
    this.#httpStatus = Number(answer[':status'])
    // An answer without a message has its status here.
    this.#note(answer)
  }

  #take(chunk: Buffer): void {
    // The page of an HTTP error is no message.
    if (this.#isSettled || this.#httpStatus !== 200) return
    const fault = this.#result.push(chunk)
    if (fault === null) return
    const isLimit = fault.kind === 'tooLong'
    this.refuse({ status: isLimit ? 'RESOURCE_EXHAUSTED' : 'INTERNAL', words: fault.words })
  }

  #note(headers: IncomingHttpHeaders): void {
    const status = headers['grpc-status']
    if (this.#isSettled || typeof status !== 'string') return
    this.#status = status
    if (status !== '0') {
      const words = messageText(String(headers['grpc-message'] ?? ''))
      const refusal = { status: statusNamed(status), words }
      // The plugin's library keeps the same time, and may be the first to say that it is up.
      if (refusal.status === 'DEADLINE_EXCEEDED' && this.#calls.isUp(this)) this.expire()
      else this.refuse(refusal)
      return
    }
    const result = this.#result.take()
    if (result !== null && this.#settle()) this.#resolve(result)
  }

  /** The answer is over; what is missing now does not come any more. */
  #end(): void {
    if (this.#isSettled) return
    const result = this.#result.take()
    if (this.#status === '0' && result !== null) {
      if (this.#settle()) this.#resolve(result)
      return
    }
    if (this.#status === '0') {
      this.refuse({ status: 'INTERNAL', words: `the answer ended ${this.#result.progress}` })
    } else if (this.#httpStatus > 200) {
      this.refuse(refusalOfHttp(this.#httpStatus))
    }
    // An end without a status may be that of a stream which was reset: "close" tells.
  }

  #break(error: Error | null): void {
    if (this.#isSettled) return
    this.#end()
    if (this.#isSettled) return
    const cause = this.#session?.cause() ?? null
    const code = this.#stream?.rstCode ?? 0
    if (cause !== null || this.#session?.http2.destroyed === true) {
      const words = cause === null ? 'the connection ended' : sentenceOf(cause)
      this.refuse({ status: 'UNAVAILABLE', words })
    } else if (code !== 0) {
      this.refuse(refusalOfReset(code))
    } else if (error !== null) {
      this.refuse({ status: 'UNAVAILABLE', words: sentenceOf(error) })
    } else {
      this.refuse({ status: 'INTERNAL', words: 'the answer ended without a grpc-status' })
    }
  }
}

/** The headers of calls of one method, which are the same as long as its timeout is. */
interface KnownHeaders {
  readonly timeoutMs: number
  readonly headers: OutgoingHttpHeaders
}

function headersOf(method: string, timeoutMs: number): OutgoingHttpHeaders {
  const wholeMs = Math.max(1, Math.ceil(timeoutMs))
  const timeout = wholeMs > TIMEOUT_MS_MAX ? `${Math.ceil(wholeMs / 1000)}S` : `${wholeMs}m`
  return {
    ':method': 'POST',
    ':scheme': 'https',
    ':authority': 'localhost',
    ':path': `/${GatewayDPluginService.typeName}/${method}`,
    te: 'trailers',
    'content-type': 'application/grpc',
    'grpc-timeout': timeout,
  }
}

export class HotCalls {
  readonly resultBytesMax: number
  readonly deadlines: Deadlines<HotCall>
  readonly #request: HotCallsRequest
  readonly #headers = new Map<string, KnownHeaders>()
  /** All that are not gone yet: the one in use, and those that only have answers to give. */
  readonly #sessions = new Set<HotSession>()
  #session: HotSession | null = null
  #failed: GatewayError | null = null
  /** Calls that go out together at the end of this turn of the loop. */
  #waiting: HotCall[] = []

  constructor(request: HotCallsRequest) {
    this.#request = request
    this.resultBytesMax = request.resultBytesMax
    this.deadlines = new Deadlines(request.clock ?? SYSTEM_CLOCK)
  }

  /** Calls that were asked for and are not settled. */
  get inFlight(): number {
    return this.deadlines.size
  }

  /** True where a deadline has passed, but for what the rounding of timers may be early. */
  isUp({ endsAtMs }: Timed): boolean {
    return endsAtMs - this.deadlines.endOf(0) <= TIMERS_EARLY_MS
  }

  /** As `PluginClient.call`. */
  call(method: string, request: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (this.#failed !== null) return Promise.reject(this.#failed)
    const isAlone = this.inFlight === 0
    const call = new HotCall(this, method, request, timeoutMs)
    this.deadlines.add(call)
    // Beside others it waits for this turn of the loop to end: what is sent together is one record
    // of TLS and one write, which costs us and the plugin half of what single ones do.
    if (isAlone) this.#send(call)
    else if (this.#waiting.push(call) === 1) setImmediate(() => this.#sendAll())
    return call.promise
  }

  /** Fails every call in flight now, and every later one. */
  fail(error: GatewayError): void {
    this.#failed ??= error
    for (const call of this.deadlines.clear()) call.fail(error)
  }

  /** Drops the connection; calls in flight must have failed. */
  close(): void {
    for (const session of this.#sessions) session.destroy()
    this.#session = null
  }

  /** Gives a connection up: later calls make another. */
  leave(session: HotSession): void {
    this.#retire(session)
    session.destroy()
  }

  #sendAll(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const call of waiting) {
      if (!call.isSettled) this.#send(call)
    }
  }

  #send(call: HotCall): void {
    try {
      call.send(this.#sessionToUse(), this.#headersOf(call))
    } catch (thrown) {
      call.refuse({ status: 'UNAVAILABLE', words: sentenceOf(thrown) })
    }
  }

  #sessionToUse(): HotSession {
    const known = this.#session
    // Its events come a turn later than what they tell of.
    if (known !== null && !known.http2.closed && !known.http2.destroyed) return known
    const { handshake, identity } = this.#request
    const session = openHotSession(handshake, identity, {
      retired: () => this.#retire(session),
      closed: () => {
        this.#retire(session)
        this.#sessions.delete(session)
      },
    })
    this.#sessions.add(session)
    this.#session = session
    return session
  }

  #retire(session: HotSession): void {
    if (this.#session === session) this.#session = null
  }

  #headersOf({ method, timeoutMs }: HotCall): OutgoingHttpHeaders {
    const known = this.#headers.get(method)
    if (known?.timeoutMs === timeoutMs) return known.headers
    const headers = headersOf(method, timeoutMs)
    this.#headers.set(method, { timeoutMs, headers })
    return headers
  }
}
