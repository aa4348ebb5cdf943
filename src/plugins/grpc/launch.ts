/**
 * The process of a plugin: started in a group of its own, drained for ever, noticed when it ends,
 * and killed with everything it started.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { GatewayError } from '../../base/errors.ts'
import type { PluginSurroundings, ProcessNote } from '../plugin.ts'
import { HANDSHAKE_BYTES_MAX, shown } from './handshake.ts'
import type { LastLines } from './last-lines.ts'
import { Lines } from './log.ts'

/** What is started, and who listens to it. */
export interface LaunchRequest {
  /** The checked file, without symbolic links. */
  readonly path: string
  /** The name by which the process knows itself: the path as the entry has it. */
  readonly name: string
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** Every line of standard error, and every line of standard output behind the handshake. */
  readonly printed: (channel: 'stdout' | 'stderr', line: string, whole: boolean) => void
  /** Gets every line of standard error. */
  readonly lastLines: LastLines
  /** Told of the process at the moment of its start. */
  readonly noteProcess?: PluginSurroundings['noteProcess']
}

export interface Launched {
  readonly pid: number
  /** How the process ended, as the end of a sentence; settles at the moment it ends. */
  readonly exited: Promise<string>
  /**
   * The first line of standard output. Rejects with a GatewayError whose sentence has no subject,
   * where the process ends first, time is up, or too much comes without a line feed.
   */
  firstLine(timeoutMs: number): Promise<string>
  /** Settles when the process has ended and its last words were read, or are not to be had. */
  silent(): Promise<void>
  /** It has become what it stays, and these are its sockets: to be noted. */
  settled(sockets: readonly string[]): void
  /** Kills the process and the children in its group at once. Idempotent. */
  kill(): void
}

/** Lines of standard error that an error quotes. */
const QUOTED_LINES = 5

/** How long an ended process's last words are waited for: a child of it may hold the pipe open. */
const LAST_WORDS_MS = 500

type Child = ChildProcessByStdio<null, Readable, Readable>

function endOf(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `ended with code ${code ?? 'unknown'}` : `was killed by ${signal}`
}

/** Cuts the first line off standard output; all behind it goes to `printed`. */
class Output {
  readonly #lines: Lines
  readonly #first = Promise.withResolvers<string>()
  #start: Buffer = Buffer.alloc(0)
  #isFirst = true

  constructor(printed: LaunchRequest['printed']) {
    this.#lines = new Lines((line, whole) => printed('stdout', line, whole))
  }

  /** Settles with the first line; rejects where it is too long to be one. */
  get first(): Promise<string> {
    return this.#first.promise
  }

  push(chunk: Buffer): void {
    if (this.#isFirst) this.#seekFirst(chunk)
    else this.#lines.push(chunk)
  }

  #seekFirst(chunk: Buffer): void {
    this.#start = Buffer.concat([this.#start, chunk])
    const end = this.#start.indexOf(0x0a)
    if (end < 0 && this.#start.length <= HANDSHAKE_BYTES_MAX) return
    this.#isFirst = false
    if (end < 0 || end > HANDSHAKE_BYTES_MAX) {
      const start = shown(this.#start.toString('utf8', 0, 200))
      const problem =
        `printed ${HANDSHAKE_BYTES_MAX} bytes without a handshake line; localPath must be a ` +
        `GatewayD plugin: ${start}`
      this.#first.reject(new GatewayError('PLUGIN_HANDSHAKE', problem))
      return
    }
    this.#first.resolve(this.#start.toString('utf8', 0, end))
    this.#lines.push(this.#start.subarray(end + 1))
    this.#start = Buffer.alloc(0)
  }
}

class Process implements Launched {
  readonly exited: Promise<string>
  readonly #child: Child
  readonly #output: Output
  /** Settles when the process has ended and its pipes are empty. */
  readonly #closed: Promise<void>
  readonly #lastLines: LastLines
  readonly #note: ProcessNote | undefined
  #hasEnded = false

  constructor(child: Child, { printed, lastLines, noteProcess }: LaunchRequest) {
    this.#child = child
    this.#lastLines = lastLines
    // Before anything else is waited for: from here on the process must not be forgotten.
    this.#note = child.pid === undefined ? undefined : noteProcess?.(child.pid)
    this.#output = new Output(printed)
    // Nobody may ask for the first line of a process that is killed at once.
    this.#output.first.catch(() => undefined)
    const errors = new Lines((line, whole) => {
      lastLines.add(line)
      printed('stderr', line, whole)
    })
    child.stdout.on('data', (chunk: Buffer) => this.#output.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk))
    child.stderr.on('end', () => errors.end())
    const exited = Promise.withResolvers<string>()
    const closed = Promise.withResolvers<void>()
    this.exited = exited.promise
    this.#closed = closed.promise
    child.on('exit', (code, signal) => {
      // What it started and left behind ends with it.
      this.kill()
      this.#hasEnded = true
      this.#note?.ended()
      exited.resolve(endOf(code, signal))
    })
    child.on('close', () => closed.resolve())
    // A signal that could not be sent is no news: the process has ended.
    child.on('error', () => undefined)
  }

  /** 0 for a process that could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0
  }

  async firstLine(timeoutMs: number): Promise<string> {
    const timeout = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      const problem =
        `printed no handshake line in ${timeoutMs} ms; if it needs longer, raise its ` +
        `startTimeout${this.#quoted()}`
      timeout.reject(new GatewayError('PLUGIN_TIMEOUT', problem))
    }, timeoutMs)
    try {
      return await Promise.race([this.#output.first, this.#endedEarly(), timeout.promise])
    } finally {
      clearTimeout(timer)
    }
  }

  kill(): void {
    // Once it has ended, its number may be that of another process; one that never came to be has
    // none, and group 0 would be our own.
    if (this.#hasEnded || this.pid < 2) return
    try {
      // The group: it leads one, in which its children are.
      process.kill(-this.pid, 'SIGKILL')
    } catch {
      this.#child.kill('SIGKILL')
    }
  }

  settled(sockets: readonly string[]): void {
    if (!this.#hasEnded) this.#note?.settled(sockets)
  }

  async silent(): Promise<void> {
    await this.exited
    await Promise.race([this.#closed, Bun.sleep(LAST_WORDS_MS)])
  }

  async #endedEarly(): Promise<string> {
    const end = await this.exited
    await this.silent()
    // The line may have been in the pipe when the process ended; then the connection tells more.
    const line = await Promise.race([this.#output.first, Promise.resolve(null)])
    if (line !== null) return line
    const problem = `${end} before its handshake line${this.#quoted()}`
    throw new GatewayError('PLUGIN_EXITED', problem)
  }

  #quoted(): string {
    const lines = this.#lastLines.all.slice(-QUOTED_LINES)
    if (lines.length === 0) return '; it printed nothing on its standard error'
    return `; its last lines on standard error: ${lines.join(' ')}`
  }
}

/** The sentence for a file that the system will not start, with its cure. */
function notStarted(cause: unknown): GatewayError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const why: Readonly<Record<string, string>> = {
    // The file itself was there before: most likely what is missing is what its first line names.
    ENOENT: 'could not be started: it, or the interpreter in its first line (#!), does not exist',
    EACCES: 'could not be started: permission denied; is its file system mounted noexec?',
    ENOEXEC: 'could not be started: it is no program for this machine, nor a script with #!',
    ETXTBSY: 'could not be started: something is still writing it',
    E2BIG: 'could not be started: its args and env are too long',
  }
  return new GatewayError('PLUGIN_FILE', why[code] ?? 'could not be started', { cause })
}

/**
 * Starts the process. Rejects with a GatewayError(PLUGIN_FILE) without a subject where the system
 * refuses.
 */
export async function launch(request: LaunchRequest): Promise<Launched> {
  const started = Promise.withResolvers<void>()
  let child: Child
  try {
    child = spawn(request.path, [...request.args], {
      argv0: request.name,
      env: { ...request.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A session and group of its own: Ctrl-C is ours to answer, and a kill reaches all of it.
      detached: true,
    })
  } catch (cause) {
    throw notStarted(cause)
  }
  child.once('spawn', () => started.resolve())
  child.once('error', (cause) => started.reject(notStarted(cause)))
  const launched = new Process(child, request)
  await started.promise
  return launched
}
