/** A gateway that is upgraded while it runs: its executable is a file of its own, which changes. */
import {
  closeSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  parseStatusReport,
  parseUpgradeReport,
  type StatusReport,
  type UpgradeReport,
} from '../../src/admin/report.ts'
import { type CommandResult, run } from '../kit/command.ts'
import { freePort } from '../kit/free-port.ts'
import { gatewayBinary } from '../kit/gateway.ts'
import type { PostgresServer } from '../kit/postgres.ts'
import { until } from '../kit/traffic.ts'
import { startWatchdog, type Watchdog } from '../kit/watchdog.ts'

type Keys = Readonly<Record<string, unknown>>
type Environment = Readonly<Record<string, string>>

/** What the file of the executable becomes. */
export type Program = 'postern' | { readonly script: string; readonly mode?: number }

export interface Place {
  readonly port: number
  readonly metricsPort: number
  readonly folder: string
}

export class Upgradable {
  readonly host = '127.0.0.1'
  readonly port: number
  readonly metricsPort: number
  readonly folder: string
  readonly env: Environment
  /** The process that was started last and serves. */
  pid = 0
  readonly #started: { readonly pid: number; readonly watchdog: Watchdog }[] = []

  constructor(folder: string, ports: Pick<Place, 'port' | 'metricsPort'>) {
    this.folder = folder
    this.port = ports.port
    this.metricsPort = ports.metricsPort
    const { PATH = '' } = process.env
    this.env = { PATH, HOME: folder, XDG_RUNTIME_DIR: join(folder, 'run') }
  }

  get program(): string {
    return join(this.folder, 'postern')
  }

  log(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8')
  }

  configure(config: Keys, plugins?: Keys): void {
    writeFileSync(join(this.folder, 'postern.yaml'), JSON.stringify(config))
    if (plugins === undefined) return
    writeFileSync(join(this.folder, 'postern_plugins.yaml'), JSON.stringify(plugins))
  }

  /** Puts another file in the place of the executable, as an installer does. */
  install(program: Program): void {
    const fresh = `${this.program}.fresh`
    if (program === 'postern') link(gatewayBinary(), fresh)
    else writeFileSync(fresh, program.script, { mode: program.mode ?? 0o755 })
    renameSync(fresh, this.program)
  }

  async start(args: readonly string[] = []): Promise<void> {
    mkdirSync(join(this.folder, 'run'), { mode: 0o700 })
    this.install('postern')
    const log = openSync(join(this.folder, 'log'), 'a')
    const child = Bun.spawn([this.program, 'run', ...args], {
      cwd: this.folder,
      env: { ...this.env },
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    child.unref()
    this.follow(child.pid)
    await until('it is ready', () => {
      if (child.exitCode !== null) throw new Error(`it has ended:\n${this.log()}`)
      return this.log().includes(' ready version=')
    })
  }

  /** Takes note of a process, which is ended with the test. */
  follow(pid: number): void {
    this.pid = pid
    const folder = join(this.folder, `watched-${pid}`)
    this.#started.push({ pid, watchdog: startWatchdog({ folder, signal: 'KILL', process: pid }) })
  }

  postern(...args: readonly string[]): Promise<CommandResult> {
    return run([gatewayBinary(), ...args], { cwd: this.folder, env: this.env })
  }

  /** What came of an upgrade, whatever it is. */
  async tryUpgrade(): Promise<UpgradeReport> {
    const { stdout, stderr } = await this.postern('upgrade', '--json')
    if (stdout === '') throw new Error(`${stderr}\n${this.log()}`)
    const report = parseUpgradeReport(JSON.parse(stdout))
    if (report.pid !== null) this.follow(report.pid)
    return report
  }

  async upgrade(): Promise<UpgradeReport> {
    const report = await this.tryUpgrade()
    if (report.outcome === 'done') return report
    throw new Error(`${report.problems.join('\n')}\n${this.log()}`)
  }

  /** Resolves when a process has ended. */
  ended(pid: number): Promise<void> {
    return until(`process ${pid} has ended`, () => !isRunning(pid))
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Twice: whatever a test that failed has left is not waited for.
    for (const { pid } of [...this.#started.toReversed(), ...this.#started]) {
      if (isRunning(pid)) process.kill(pid)
    }
    const left: number[] = []
    for (const { pid, watchdog } of this.#started) {
      // One that came while the test failed has not been told yet.
      if (isRunning(pid)) process.kill(pid)
      await this.ended(pid).catch(() => left.push(pid))
      if (left.includes(pid)) process.kill(pid, 'SIGKILL')
      await watchdog.release()
    }
    // What has failed in the test itself would not be seen beside an error from here.
    if (left.length > 0) process.stderr.write(`processes ${left} did not end:\n${this.log()}\n`)
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function isRunning(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return !/\) Z /.test(stat)
}

function link(from: string, to: string): void {
  try {
    linkSync(from, to)
  } catch {
    // Another file system.
    copyFileSync(from, to)
  }
}

/** A gateway in a folder of its own. */
export async function startUpgradable(
  config: (place: Place) => Keys,
  options: { readonly plugins?: Keys; readonly args?: readonly string[] } = {},
): Promise<Upgradable> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-upgrade-'))
  const ports = { port: await freePort(), metricsPort: await freePort() }
  const gateway = new Upgradable(folder, ports)
  gateway.configure(config({ folder, ...ports }), options.plugins)
  await gateway.start(options.args)
  return gateway
}

/** Before the server, which it logs in to by itself. */
export function loginConfig(
  postgres: PostgresServer,
  { port, metricsPort }: Pick<Place, 'port' | 'metricsPort'>,
  top: Keys = {},
): Keys {
  const { host, user, password, database } = postgres
  const startupParams = { user, password, database }
  return {
    servers: { default: { address: `127.0.0.1:${port}`, auth: 'trust' } },
    clients: { default: { writes: { address: `${host}:${postgres.port}`, startupParams } } },
    pools: { default: { writes: { size: 20 } } },
    metrics: { default: { address: `127.0.0.1:${metricsPort}` } },
    ...top,
  }
}

export async function statusOf(gateway: Upgradable): Promise<StatusReport> {
  const { stdout } = await gateway.postern('status', '--json')
  return parseStatusReport(JSON.parse(stdout))
}
