/**
 * The compiled gateway, run as its users run it: from an empty folder, with a clean environment,
 * on free ports. `POSTERN_TEST_BINARY` names another executable than dist/postern.
 */
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type CommandResult, run } from './command.ts'
import { freePort } from './free-port.ts'
import { startWatchdog, type Watchdog } from './watchdog.ts'

const START_TIMEOUT_MS = 15_000
const STOP_TIMEOUT_MS = 15_000
const READY_POLL_MS = 25
const LOG_CHARACTERS_MAX = 4 * 1024 * 1024

type Environment = Readonly<Record<string, string | undefined>>
/** A file's text, or what is written as JSON, which is YAML too. */
type FileContent = string | Readonly<Record<string, unknown>>

export interface GatewayOptions {
  /** Flags of `postern run`, such as `['--upstream', 'localhost:5432']`. */
  readonly args?: readonly string[]
  /**
   * The configuration file. In an object the addresses of server and metrics are filled in where
   * they are missing; over a text, or files found in `cwd`, they are set by the environment.
   */
  readonly config?: FileContent
  readonly plugins?: FileContent
  /** Over the clean environment; undefined takes a variable away. */
  readonly env?: Environment
  /** A command that becomes the gateway, such as `['prlimit', '--nofile=64']`. */
  readonly under?: readonly string[]
  /** Default: an empty folder, removed at the end. */
  readonly cwd?: string
}

/** How a gateway has ended. */
export interface Ending {
  readonly status: number
  readonly signal: string | null
}

export interface RunningGateway {
  readonly host: string
  readonly port: number
  readonly metricsPort: number
  readonly pid: number
  /** The folder it runs in. */
  readonly folder: string
  /** Its environment, for commands that talk to it, such as `postern status`. */
  readonly env: Environment
  /** What it has written to both outputs so far. */
  log(): string
  /** Resolves when the log contains `text`; rejects with the log when it ends before. */
  logged(text: string): Promise<void>
  /** Asks it to end (SIGTERM) and waits; kills it after 15 s, which is an error. Idempotent. */
  stop(): Promise<Ending>
  /** SIGKILL. */
  kill(): Promise<Ending>
  readonly exited: Promise<Ending>
  [Symbol.asyncDispose](): Promise<void>
}

/** The executable under test; throws with the cure where there is none. */
export function gatewayBinary(): string {
  const named = process.env['POSTERN_TEST_BINARY']
  const binary = resolve(named ?? join(import.meta.dir, '../../dist/postern'))
  if (existsSync(binary)) return binary
  throw new Error(
    named === undefined
      ? `${binary} is not there: "npm run build" makes it`
      : `POSTERN_TEST_BINARY names ${binary}, which is not there`,
  )
}

/** Runs a command of the executable to its end: `runPostern(['config', 'lint'])`. */
export function runPostern(
  args: readonly string[],
  { cwd = tmpdir(), env = {} }: { readonly cwd?: string; readonly env?: Environment } = {},
): Promise<CommandResult> {
  return run([gatewayBinary(), ...args], { cwd, env: cleanEnvironment(cwd, env) })
}

/** Starts a gateway and waits until it listens; throws with its log where it does not. */
export async function startGateway(options: GatewayOptions = {}): Promise<RunningGateway> {
  const binary = gatewayBinary()
  const base = mkdtempSync(join(tmpdir(), 'postern-gateway-'))
  const folder = options.cwd ?? join(base, 'cwd')
  mkdirSync(folder, { recursive: true })
  mkdirSync(join(base, 'run'), { mode: 0o700 })
  const ports = { port: await freePort(), metricsPort: await freePort() }
  const env = cleanEnvironment(folder, {
    XDG_RUNTIME_DIR: join(base, 'run'),
    ...addressesByEnvironment(options, ports),
    ...options.env,
  })
  const child = Bun.spawn(
    [...(options.under ?? []), binary, ...runArguments(options, base, ports)],
    {
      cwd: folder,
      env: { ...env },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    },
  )
  child.unref()
  const watchdog = startWatchdog({ folder: base, signal: 'KILL', process: child.pid })
  const gateway = new Gateway(child, watchdog)
  await gateway.listening(ports)
  return {
    host: '127.0.0.1',
    ...ports,
    pid: child.pid,
    folder,
    env,
    log: () => gateway.log,
    logged: (text) => gateway.logged(text),
    stop: () => gateway.stop(),
    kill: () => gateway.kill(),
    exited: gateway.exited,
    [Symbol.asyncDispose]: async () => {
      await gateway.stop()
    },
  }
}

interface Ports {
  readonly port: number
  readonly metricsPort: number
}

/** Nothing of ours but what any shell has: a test must not depend on who runs it. */
function cleanEnvironment(home: string, more: Environment): Environment {
  const { PATH, LANG, TMPDIR } = process.env
  const all: Environment = { PATH, LANG, TMPDIR, HOME: home, ...more }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

/** True for a run without files, where flags say it all. */
const isByFlags = (args: readonly string[]): boolean =>
  args.some((arg) => arg === '--upstream' || arg.startsWith('--upstream='))

/** Files that we did not write are not edited: what the environment says goes over them. */
function addressesByEnvironment({ args = [], config }: GatewayOptions, ports: Ports): Environment {
  if (isByFlags(args) || typeof config === 'object') return {}
  return {
    POSTERN_SERVERS_DEFAULT_ADDRESS: `127.0.0.1:${ports.port}`,
    POSTERN_METRICS_DEFAULT_ADDRESS: `127.0.0.1:${ports.metricsPort}`,
  }
}

function runArguments({ args = [], config, plugins }: GatewayOptions, base: string, ports: Ports) {
  const all = ['run', ...args]
  const addFile = (flag: string, name: string, content: FileContent): void => {
    const file = join(base, name)
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content, null, 2))
    all.push(flag, file)
  }
  if (isByFlags(args)) {
    const addresses = { '--listen': ports.port, '--metrics': ports.metricsPort }
    for (const [flag, port] of Object.entries(addresses)) {
      if (!args.includes(flag)) all.push(flag, `127.0.0.1:${port}`)
    }
  }
  if (config !== undefined) addFile('-c', 'postern.yaml', withAddresses(config, ports))
  if (plugins !== undefined) addFile('-p', 'postern_plugins.yaml', plugins)
  return all
}

function withAddresses(config: FileContent, ports: Ports): FileContent {
  if (typeof config === 'string') return config
  const servers = objectOf(config['servers'])
  const metrics = objectOf(config['metrics'])
  return {
    ...config,
    servers: { ...servers, default: withAddress(servers['default'], ports.port) },
    metrics: { ...metrics, default: withAddress(metrics['default'], ports.metricsPort) },
  }
}

function withAddress(group: unknown, port: number): Record<string, unknown> {
  return { address: `127.0.0.1:${port}`, ...objectOf(group) }
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

/** The process: its log, and its end. */
class Gateway {
  log = ''
  readonly exited: Promise<Ending>
  readonly #child: Bun.Subprocess<'ignore', 'pipe', 'pipe'>
  #ending: Ending | null = null
  readonly #waiting = new Set<() => void>()

  constructor(child: Bun.Subprocess<'ignore', 'pipe', 'pipe'>, watchdog: Watchdog) {
    this.#child = child
    this.exited = this.#follow(watchdog)
  }

  /** Resolves when the gateway listens: it says so in its log, or its readiness page does. */
  async listening({ port, metricsPort }: Ports): Promise<void> {
    const inLog = (): boolean =>
      this.log.split('\n').some((line) => line.includes('listening') && line.includes(`:${port}`))
    const readiness = new AbortController()
    const { promise: late, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      reject(new Error(`the gateway did not listen within ${START_TIMEOUT_MS} ms:\n${this.log}`))
    }, START_TIMEOUT_MS)
    try {
      const said = this.#until(inLog, 'it listened')
      await Promise.race([said, readyPage(metricsPort, readiness.signal), late])
    } catch (error) {
      await this.kill()
      throw error
    } finally {
      clearTimeout(timer)
      readiness.abort()
    }
  }

  logged(text: string): Promise<void> {
    return this.#until(() => this.log.includes(text), `it logged ${JSON.stringify(text)}`)
  }

  async stop(): Promise<Ending> {
    if (this.#ending !== null) return this.#ending
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      this.#child.kill('SIGKILL')
    }, STOP_TIMEOUT_MS)
    this.#child.kill('SIGTERM')
    const ending = await this.exited
    clearTimeout(timer)
    if (!isLate) return ending
    throw new Error(`the gateway did not end within ${STOP_TIMEOUT_MS} ms of SIGTERM:\n${this.log}`)
  }

  async kill(): Promise<Ending> {
    this.#child.kill('SIGKILL')
    return await this.exited
  }

  async #until(isTrue: () => boolean, what: string): Promise<void> {
    while (!isTrue()) {
      const ending = this.#ending
      if (ending !== null) {
        const how = ending.signal ?? `exit status ${ending.status}`
        throw new Error(`the gateway ended (${how}) before ${what}:\n${this.log}`)
      }
      await new Promise<void>((wake) => {
        this.#waiting.add(wake)
      })
    }
  }

  async #follow(watchdog: Watchdog): Promise<Ending> {
    const { stdout, stderr, exited } = this.#child
    const read = Promise.all([this.#read(stdout), this.#read(stderr)])
    const status = await exited
    // Its folder goes with it. Outputs are read to their end first: the last words count most.
    await Promise.race([read, Bun.sleep(1_000)])
    await watchdog.release()
    const signal = this.#child.signalCode
    const ending = { status, signal: signal === null ? null : String(signal) }
    this.#ending = ending
    this.#wakeAll()
    return ending
  }

  async #read(output: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder()
    for await (const chunk of output) {
      this.log = (this.log + decoder.decode(chunk, { stream: true })).slice(-LOG_CHARACTERS_MAX)
      this.#wakeAll()
    }
  }

  #wakeAll(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }
}

/** Resolves when the readiness page answers 200; never, where there is no such page. */
async function readyPage(metricsPort: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const answer = await fetch(`http://127.0.0.1:${metricsPort}/readyz`, { signal })
      if (answer.ok) return
    } catch {
      // Not there yet, or not at all: then the log decides.
    }
    await Bun.sleep(READY_POLL_MS)
  }
}
