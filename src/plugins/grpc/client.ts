/**
 * Calls to one plugin over HTTP/2 with mutual TLS: those of its hooks by `hot-calls.ts`, the side
 * services by grpc-js over a connection of their own. All of grpc-js that we use is in this file.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import {
  type ClientReadableStream,
  type ClientUnaryCall,
  credentials,
  Client as GrpcClient,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { GatewayError } from '../../base/errors.ts'
import { SYSTEM_CLOCK } from '../clock.ts'
import type { Identity } from './cert.ts'
import type { Handshake } from './handshake.ts'
import { HotCalls } from './hot-calls.ts'
import { afterListening } from './patience.ts'
import {
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from './wire/grpc/health/v1/health_pb.ts'
import { type StdioData, StdioData_Channel, StdioDataSchema } from './wire/plugin/process_pb.ts'

/** The largest length gRPC can frame: what we send is bounded elsewhere. */
const REQUEST_BYTES_MAX = 2 ** 31 - 1

/** When gRPC itself gives a ping up; whoever waits for it has done so long before. */
const ANSWER_KEPT_MS = 60_000

/** Characters of a plugin's own words in our sentences. */
const QUOTED_MAX = 500

const HEALTH_CHECK = '/grpc.health.v1.Health/Check'
const SHUTDOWN = '/plugin.GRPCController/Shutdown'
const STREAM_STDIO = '/plugin.GRPCStdio/StreamStdio'

/** The name for which GatewayD's plugins answer a health check. */
const HEALTH_SERVICE = 'plugin'

export interface PluginClient {
  /**
   * Calls a method of the plugin. Rejects with a GatewayError: PLUGIN_TIMEOUT after `timeoutMs`,
   * else PLUGIN_CALL. Its sentence has no subject: the caller knows the plugin's name.
   */
  call(method: string, request: Uint8Array, timeoutMs: number): Promise<Uint8Array>
  /**
   * True if the plugin says in time that it serves; time in which this process could not listen
   * does not count.
   */
  ping(timeoutMs: number): Promise<boolean>
  /** Asks the process to end; settles when it answered, went away or time is up. */
  shutdown(timeoutMs: number): Promise<void>
  /** Gives what the plugin prints as long as it does; resolves with why no more comes. */
  drain(take: (channel: 'stdout' | 'stderr', chunk: Uint8Array) => void): Promise<string>
  /** Fails every call in flight now, and every later one. */
  fail(error: GatewayError): void
  /** Drops the connection; calls in flight fail. Idempotent. */
  close(): void
}

interface InFlight {
  readonly call: ClientUnaryCall
  readonly reject: (error: GatewayError) => void
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
const asIs = (bytes: Buffer): Buffer => bytes
const NO_METADATA = new Metadata()

function targetOf(handshake: Handshake): string {
  const { address } = handshake
  if (address.network === 'unix') return `unix:${address.path}`
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  return `dns:${host}:${address.port}`
}

function open(handshake: Handshake, identity: Identity, resultBytesMax: number): GrpcClient {
  const secrets = credentials.createSsl(
    Buffer.from(handshake.certificate),
    Buffer.from(identity.key),
    Buffer.from(identity.certificate),
  )
  return new GrpcClient(targetOf(handshake), secrets, {
    // The name in every plugin's certificate, wherever its socket is.
    'grpc.ssl_target_name_override': 'localhost',
    'grpc.default_authority': 'localhost',
    'grpc.max_send_message_length': REQUEST_BYTES_MAX,
    'grpc.max_receive_message_length': resultBytesMax,
    // A hook is told once: what may have reached the plugin is never sent again.
    'grpc.enable_retries': 0,
    'grpc.use_local_subchannel_pool': 1,
    // A proxy named in our environment is not for a plugin on this machine.
    'grpc.enable_http_proxy': 0,
    'grpc.enable_channelz': 0,
    'grpc.service_config_disable_resolution': 1,
  })
}

/** The sentence of a failed call. */
function explain(method: string, error: ServiceError, timeoutMs: number): GatewayError {
  if (error.code === status.DEADLINE_EXCEEDED) {
    return new GatewayError('PLUGIN_TIMEOUT', `${method} was not answered in ${timeoutMs} ms`)
  }
  const name = status[error.code] ?? `status ${error.code}`
  const words = error.details.slice(0, QUOTED_MAX)
  return new GatewayError('PLUGIN_CALL', `${method} failed: ${name}: ${words}`)
}

class Connection implements PluginClient {
  readonly #grpc: GrpcClient
  readonly #hot: HotCalls
  readonly #inFlight = new Set<InFlight>()
  #output: ClientReadableStream<StdioData> | null = null
  #failed: GatewayError | null = null

  constructor(grpc: GrpcClient, hot: HotCalls) {
    this.#grpc = grpc
    this.#hot = hot
  }

  call(method: string, request: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return this.#hot.call(method, request, timeoutMs)
  }

  async ping(timeoutMs: number): Promise<boolean> {
    const request = create(HealthCheckRequestSchema, { service: HEALTH_SERVICE })
    const late = Promise.withResolvers<false>()
    const takeBack = afterListening(SYSTEM_CLOCK, timeoutMs, () => late.resolve(false))
    try {
      const bytes = toBinary(HealthCheckRequestSchema, request)
      return await Promise.race([this.#isServing(bytes), late.promise])
    } finally {
      takeBack()
    }
  }

  /** Never rejects: one that cannot say so does not serve. */
  async #isServing(request: Uint8Array): Promise<boolean> {
    try {
      const answer = await this.#unary(HEALTH_CHECK, 'Health/Check', request, ANSWER_KEPT_MS)
      const { status: health } = fromBinary(HealthCheckResponseSchema, answer)
      return health === HealthCheckResponse_ServingStatus.SERVING
    } catch {
      return false
    }
  }

  async shutdown(timeoutMs: number): Promise<void> {
    try {
      await this.#unary(SHUTDOWN, 'Shutdown', new Uint8Array(0), timeoutMs)
    } catch {
      // Most plugins end inside this very call, so that any outcome means: it was told.
    }
  }

  drain(take: (channel: 'stdout' | 'stderr', chunk: Uint8Array) => void): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>()
    const stream = this.#grpc.makeServerStreamRequest(
      STREAM_STDIO,
      asBuffer,
      (bytes): StdioData => fromBinary(StdioDataSchema, bytes),
      new Uint8Array(0),
      NO_METADATA,
    )
    this.#output = stream
    stream.on('data', (piece: StdioData) => {
      take(piece.channel === StdioData_Channel.STDERR ? 'stderr' : 'stdout', piece.data)
    })
    stream.on('error', (error) => resolve(error.message))
    stream.on('end', () => resolve('the plugin ended it'))
    return promise
  }

  fail(error: GatewayError): void {
    this.#failed ??= error
    this.#hot.fail(error)
    for (const { call, reject } of this.#inFlight) {
      reject(error)
      call.cancel()
    }
    this.#inFlight.clear()
  }

  close(): void {
    this.fail(new GatewayError('PLUGIN_CALL', 'the connection to the plugin was closed'))
    // An open stream would keep the connection.
    this.#output?.cancel()
    this.#grpc.close()
    this.#hot.close()
  }

  #unary(
    path: string,
    method: string,
    request: Uint8Array,
    timeoutMs: number,
  ): Promise<Uint8Array> {
    if (this.#failed !== null) return Promise.reject(this.#failed)
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    const call = this.#grpc.makeUnaryRequest(
      path,
      asBuffer,
      asIs,
      request,
      NO_METADATA,
      { deadline: Date.now() + timeoutMs },
      (error, answer) => {
        this.#inFlight.delete(entry)
        if (error !== null) reject(explain(method, error, timeoutMs))
        else resolve(answer ?? new Uint8Array(0))
      },
    )
    const entry: InFlight = { call, reject }
    this.#inFlight.add(entry)
    return promise
  }
}

/** Makes a client; connections are made by the first calls. A longer result fails its call. */
export function connect(
  handshake: Handshake,
  identity: Identity,
  resultBytesMax: number,
): PluginClient {
  const hot = new HotCalls({ handshake, identity, resultBytesMax })
  return new Connection(open(handshake, identity, resultBytesMax), hot)
}
