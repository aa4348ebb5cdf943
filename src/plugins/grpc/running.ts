/**
 * One process of one plugin, from its file to its end: checked, started, shaken hands with, asked
 * what it is, called, and taken down. A restart makes another one. Brings grpc-js and the
 * certificate library with it; import this file late.
 */
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { GatewayError, sentenceOf } from '../../base/errors.ts'
import { settlesIn } from '../../base/settles.ts'
import type { Attachment, PluginSpec, PluginSurroundings } from '../plugin.ts'
import { type Identity, makeIdentity } from './cert.ts'
import { connect, type PluginClient } from './client.ts'
import { metricsSocketIn } from './description.ts'
import { environmentOf } from './environment.ts'
import { type Executable, examine, isUnchanged } from './executable.ts'
import { type Handshake, parseHandshake } from './handshake.ts'
import type { LastLines } from './last-lines.ts'
import { type Launched, launch } from './launch.ts'
import { Lines, type LogRecord, recordReader, writeRecord } from './log.ts'
import { removeSockets } from './sockets.ts'
import { decodeStruct, encodeStruct, type Struct } from './struct.ts'

/** How long a plugin has to end by itself, from the moment it was asked. */
export const STOP_TIMEOUT_MS = 2000

/** How long a killed process may take to be gone. */
const KILL_TIMEOUT_MS = 1000

export interface StartRequest {
  /** The plugin's name as far as it is known: its entry's, its own, else its file's. */
  readonly plugin: string
  readonly spec: PluginSpec
  readonly dev: boolean
  /** Where folders for sockets may be made; each process gets one of its own. */
  readonly socketFolder: string
  readonly noteProcess?: PluginSurroundings['noteProcess']
  readonly log: Logger
  /** Aborted where the start is not wanted any more. */
  readonly signal: AbortSignal
  /** Gets what the process prints on standard error. */
  readonly lastLines: LastLines
  /** Told once, when the process has ended without being stopped. */
  readonly lost: (running: Running, error: GatewayError) => void
}

export interface Running {
  readonly pid: number
  readonly checksum: string
  /** The answer to GetPluginConfig. */
  readonly description: Struct
  /** How the process ended, or null while it runs. */
  readonly ended: GatewayError | null
  /** The end of what it printed on standard error. */
  readonly lastLines: LastLines
  /** Calls a method; rejects with a GatewayError without a subject, at once if the process ends. */
  call(method: string, params: Struct, timeoutMs: number): Promise<Struct>
  ping(timeoutMs: number): Promise<boolean>
  /** Fails all calls in flight, and all later ones. */
  fail(error: GatewayError): void
  /** Settles when the process has ended and its last words were read, or are not to be had. */
  silent(): Promise<void>
  /** Takes the process down within `STOP_TIMEOUT_MS` and a little. Idempotent. */
  stop(): Promise<void>
  /** Takes it down without asking, for it has failed. Idempotent. */
  kill(): Promise<void>
  /** How other processes of the gateway reach it; left out: they cannot. */
  readonly attachment?: Attachment
}

/** Puts the plugin's name and path in front of a sentence without a subject. */
function blame(request: StartRequest, thrown: unknown): GatewayError {
  const subject = `plugin ${request.plugin} (${request.spec.localPath})`
  if (!(thrown instanceof GatewayError)) {
    return new GatewayError('PLUGIN_HANDSHAKE', `${subject} did not start`, { cause: thrown })
  }
  return new GatewayError(thrown.code, `${subject}: ${thrown.message}`, { cause: thrown.cause })
}

/** What both sides of the connection have shown each other. */
interface Terms {
  readonly handshake: Handshake
  readonly identity: Identity
}

class RunningPlugin implements Running {
  readonly pid: number
  readonly checksum: string
  description: Struct = {}
  readonly #request: StartRequest
  readonly #process: Launched
  readonly #client: PluginClient
  readonly #cleanUp: () => Promise<void>
  readonly #terms: Terms
  #stopping: Promise<void> | null = null
  #end: GatewayError | null = null

  constructor(
    request: StartRequest,
    checksum: string,
    process: Launched,
    client: PluginClient,
    cleanUp: () => Promise<void>,
    terms: Terms,
  ) {
    this.pid = process.pid
    this.checksum = checksum
    this.#request = request
    this.#process = process
    this.#client = client
    this.#cleanUp = cleanUp
    this.#terms = terms
    const noticing = process.exited.then((end) => this.#noticeEnd(end))
    noticing.catch((cause) => request.log.error({ plugin: request.plugin }, sentenceOf(cause)))
  }

  get ended(): GatewayError | null {
    return this.#end
  }

  get lastLines(): LastLines {
    return this.#request.lastLines
  }

  get attachment(): Attachment {
    const { handshake, identity } = this.#terms
    return {
      pid: this.pid,
      checksum: this.checksum,
      address: handshake.address,
      pluginCertificate: handshake.certificate,
      certificate: identity.certificate,
      key: identity.key,
      description: encodeStruct(this.description),
    }
  }

  async call(method: string, params: Struct, timeoutMs: number): Promise<Struct> {
    return readResult(method, await this.#client.call(method, encodeStruct(params), timeoutMs))
  }

  ping(timeoutMs: number): Promise<boolean> {
    return this.#client.ping(timeoutMs)
  }

  fail(error: GatewayError): void {
    this.#client.fail(error)
  }

  /** Opens the plugin's own standard output and error, which block it where nobody reads. */
  async drain(): Promise<void> {
    const { log } = this.#request
    const print = (message: string): void => {
      if (message.trim() === '') return
      writeRecord(log, this.#request.plugin, { level: 'debug', message, fields: null })
    }
    const lines = { stdout: new Lines(print), stderr: new Lines(print) }
    const why = await this.#client.drain((channel, chunk) => lines[channel].push(chunk))
    lines.stdout.end()
    lines.stderr.end()
    log.debug({ plugin: this.#request.plugin }, `the plugin's output ended: ${why}`)
  }

  silent(): Promise<void> {
    return this.#process.silent()
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#takeDown()
    return this.#stopping
  }

  kill(): Promise<void> {
    this.#stopping ??= this.#putDown()
    return this.#stopping
  }

  async #takeDown(): Promise<void> {
    const { exited } = this.#process
    const told = this.#client.shutdown(STOP_TIMEOUT_MS)
    if (!(await settlesIn(STOP_TIMEOUT_MS, exited))) {
      const { log, plugin } = this.#request
      log.warn({ plugin }, `the plugin did not end in ${STOP_TIMEOUT_MS} ms; killing it`)
    }
    await this.#putDown()
    await told
  }

  async #putDown(): Promise<void> {
    this.#process.kill()
    await settlesIn(KILL_TIMEOUT_MS, this.#process.exited)
    this.#client.close()
    await this.#cleanUp()
  }

  #noticeEnd(end: string): void {
    this.#end = new GatewayError('PLUGIN_EXITED', `the process ${end}`)
    this.#client.fail(this.#end)
    if (this.#stopping === null) this.#request.lost(this, this.#end)
  }
}

/** The sockets that a plugin has told of. */
function socketsOf(address: Handshake['address'], description: Struct): readonly string[] {
  const paths = [address.network === 'unix' ? address.path : null, metricsSocketIn(description)]
  return paths.filter((path) => path !== null)
}

/** What a plugin answered to a method. Throws PLUGIN_CALL where that cannot be read. */
export function readResult(method: string, bytes: Uint8Array): Struct {
  try {
    return decodeStruct(bytes)
  } catch (thrown) {
    const problem = `the result of ${method} is ${sentenceOf(thrown)}; the plugin must be mended`
    throw new GatewayError('PLUGIN_CALL', problem)
  }
}

/** The log's side of a process's pipes. */
function printer(request: StartRequest): (channel: string, line: string, whole: boolean) => void {
  const read = recordReader()
  return (channel, line, whole) => {
    const plain: LogRecord | null =
      line.trim() === '' ? null : { level: 'debug', message: line, fields: null }
    const record = channel === 'stderr' ? read(line, whole) : plain
    if (record !== null) writeRecord(request.log, request.plugin, record)
  }
}

/** Shakes hands with a process whose file is still the one that was checked. */
async function shakeHands(
  executable: Executable,
  process: Launched,
  timeoutMs: number,
): Promise<Handshake> {
  if (!(await isUnchanged(executable))) {
    throw new GatewayError(
      'PLUGIN_CHECKSUM',
      'its file changed while it was started; start it again when nothing writes it any more',
    )
  }
  return parseHandshake(await process.firstLine(timeoutMs))
}

/** Asks a plugin what it is. */
async function ask(running: RunningPlugin, timeoutMs: number): Promise<Struct> {
  try {
    return await running.call('GetPluginConfig', {}, timeoutMs)
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown
    const cures: Readonly<Record<string, string>> = {
      PLUGIN_TIMEOUT: 'if it needs longer, raise its startTimeout',
      PLUGIN_CALL: 'what it printed is in the log',
    }
    const cure = cures[thrown.code]
    if (cure === undefined) throw thrown
    const problem = `${thrown.message}; ${cure}`
    throw new GatewayError(thrown.code, problem)
  }
}

/**
 * Starts a plugin and asks what it is, all within its `startTimeoutMs`. Rejects with a GatewayError
 * that names plugin, path, cause and cure, and then leaves no process and no socket file.
 */
export async function startPlugin(request: StartRequest): Promise<Running> {
  const { plugin, spec, log, dev, signal } = request
  const executable = await examine({ plugin, spec, dev, log })
  const identity = await makeIdentity()
  signal.throwIfAborted()
  const folder = await mkdtemp(join(request.socketFolder, 'p-'))
  try {
    const environment = environmentOf(plugin, spec, process.env, {
      certificate: identity.certificate,
      socketFolder: folder,
    })
    return await start(request, executable, identity, environment, folder)
  } catch (thrown) {
    await removeSockets({ folder, address: null, metrics: null })
    throw signal.aborted ? signal.reason : thrown
  }
}

async function start(
  request: StartRequest,
  executable: Executable,
  identity: Identity,
  environment: Readonly<Record<string, string>>,
  folder: string,
): Promise<Running> {
  const { spec, signal } = request
  const deadline = performance.now() + spec.startTimeoutMs
  const { path } = executable
  const printed = printer(request)
  let launched: Launched | null = null
  let running: RunningPlugin | null = null
  // A start that is broken off ends like a failed one: what it waits for breaks.
  const kill = (): void => launched?.kill()
  signal.addEventListener('abort', kill)
  try {
    const { lastLines, noteProcess } = request
    const name = spec.localPath
    const { args } = spec
    launched = await launch({ path, name, args, environment, printed, lastLines, noteProcess })
    signal.throwIfAborted()
    const handshake = await shakeHands(executable, launched, spec.startTimeoutMs)
    const { address } = handshake
    launched.settled(socketsOf(address, {}))
    const cleanUp = (): Promise<void> => {
      const metrics = running === null ? null : metricsSocketIn(running.description)
      return removeSockets({ folder, address, metrics })
    }
    const client = connect(handshake, identity, spec.resultBytesMax)
    const { checksum } = executable
    const terms = { handshake, identity }
    running = new RunningPlugin(request, checksum, launched, client, cleanUp, terms)
    request.log.debug({ plugin: request.plugin, pid: running.pid }, 'shaken hands with the plugin')
    const draining = running.drain()
    draining.catch((cause) => request.log.debug({ plugin: request.plugin }, sentenceOf(cause)))
    running.description = await ask(running, Math.max(1, Math.ceil(deadline - performance.now())))
    launched.settled(socketsOf(address, running.description))
    return running
  } catch (thrown) {
    launched?.kill()
    if (launched !== null) await settlesIn(KILL_TIMEOUT_MS, launched.exited)
    await running?.stop()
    throw blame(request, thrown)
  } finally {
    signal.removeEventListener('abort', kill)
  }
}
