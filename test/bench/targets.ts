/** What is measured: the database itself, the proxies people know, and the gateway. */
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeIdentity } from '../../src/plugins/grpc/cert.ts'
import { freePort } from '../kit/free-port.ts'
import { gatewayBinary, startGateway } from '../kit/gateway.ts'
import { type Account, postgresPrograms } from '../kit/postgres-binaries.ts'
import { startWatchdog } from '../kit/watchdog.ts'
import type { WireAddress } from '../kit/wire.ts'
import { PLUGIN_SETS, type PluginSet, pluginsFileOf } from './plugin-sets.ts'
import { findProgram } from './programs.ts'

const LISTEN_TIMEOUT_MS = 10_000
/** Server connections of the pools that log in by themselves. */
export const POOL_SIZE = 20
/** Of the target "workers". */
export const WORKERS = 2
/** Clients that PgBouncer lets in; each of them takes memory from the start. */
const CLIENTS_MAX = 2_000

export const TARGETS = [
  'direct',
  'haproxy',
  'pgbouncer',
  'postern',
  'wasm',
  'guarded',
  'quiet',
  'cached',
  'masked',
  'workers',
] as const
export type TargetName = (typeof TARGETS)[number]

export interface Target {
  readonly name: TargetName
  readonly host: string
  readonly port: number
  /** The processes whose processor time is the target's; none for the database itself. */
  readonly pids: readonly number[]
  /** Of a gateway: where its page of metrics is. */
  readonly metricsPort?: number
  stop(): Promise<void>
}

/** A target that cannot be measured here, and why. */
export class AbsentTarget extends Error {}

/** How the targets are set up, beside standing before the database. */
export interface Setting {
  /** Clients may ask for TLS; whoever has none fails in the cells that do. */
  readonly tls: boolean
  /**
   * Server connections are logged in before: cleaned with DISCARD ALL between the `session`s of
   * clients, or shared by `transaction`s; false: every client has its own.
   */
  readonly pooled: false | 'session' | 'transaction'
  readonly sessionsMax: number
}

export const PLAIN: Setting = { tls: false, pooled: false, sessionsMax: 4_000 }

/** The database: where it is, and who a pool logs in as. */
export interface Database extends WireAddress {
  readonly user: string
  readonly database: string
  readonly password: string
}

export interface TargetOptions {
  readonly database: Database
  /** The WASM plugin of the target "wasm". */
  readonly plugin: string
  readonly setting: Setting
}

export async function startTarget(name: TargetName, options: TargetOptions): Promise<Target> {
  const { database, plugin } = options
  switch (name) {
    case 'direct':
      return { name, host: database.host, port: database.port, pids: [], stop: async () => {} }
    case 'haproxy':
      return await startHaproxy(options)
    case 'pgbouncer':
      return await startPgbouncer(options)
    case 'postern':
      return await startPostern(name, options, [])
    case 'wasm':
      return await startPostern(name, options, ['--plugin', plugin, '--dev'])
    case 'workers':
      return await startPostern(name, options, [])
    default:
      return await startWithPlugins(name, options.database, PLUGIN_SETS[name])
  }
}

async function startPostern(
  name: 'postern' | 'wasm' | 'workers',
  { database, setting }: TargetOptions,
  flags: readonly string[],
): Promise<Target> {
  try {
    gatewayBinary()
  } catch (error) {
    throw new AbsentTarget(error instanceof Error ? error.message : String(error))
  }
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'))
  const upstream = ['--upstream', `${database.host}:${database.port}`]
  const isByFlags = setting === PLAIN && name !== 'workers'
  const byFlags = isByFlags ? { args: [...upstream, ...flags] } : {}
  const file = isByFlags ? {} : await posternFile(database, setting, folder)
  const workers = name === 'workers' ? { workers: WORKERS } : {}
  const byFile = isByFlags ? {} : { config: { ...file, ...workers } }
  // What a plugin costs is measured, not what writing a log line for every statement does.
  const env = { POSTERN_LOGGERS_DEFAULT_LEVEL: 'warn' }
  const forget = (): void => rmSync(folder, { recursive: true })
  try {
    const gateway = await startGateway({ ...byFlags, ...byFile, env })
    const { host, port, pid, metricsPort } = gateway
    const stop = async (): Promise<void> => {
      await gateway.stop()
      forget()
    }
    return { name, host, port, pids: [pid, ...childrenOf(pid)], metricsPort, stop }
  } catch (error) {
    forget()
    throw error
  }
}

async function startWithPlugins(
  name: TargetName,
  { host, port }: Database,
  set: PluginSet,
): Promise<Target> {
  const fileName = '/dev/null'
  const gateway = await startGateway({
    args: ['--dev'],
    config: {
      clients: { default: { writes: { address: `${host}:${port}` } } },
      // Into a file, as in production: who reads a pipe would work on the same cores.
      loggers: { default: { output: ['file'], fileName, level: set.level } },
    },
    plugins: pluginsFileOf(set),
  })
  const stop = async (): Promise<void> => {
    await gateway.stop()
  }
  return { name, host: gateway.host, port: gateway.port, pids: [gateway.pid], stop }
}

/** The workers of a gateway, which are the only processes that it has started here. */
function childrenOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.split(' ').filter(Boolean).map(Number)
}

async function posternFile(database: Database, setting: Setting, folder: string) {
  const { host, port, user, password } = database
  const startupParams = { user, password, database: database.database }
  const server = {
    sessionsMax: setting.sessionsMax,
    ...(setting.pooled ? { auth: 'trust' } : {}),
    ...(setting.tls ? { enableTLS: true, ...(await writeIdentity(folder)) } : {}),
  }
  const address = `${host}:${port}`
  return {
    clients: {
      default: { writes: { address, ...(setting.pooled ? { startupParams } : {}) } },
    },
    ...(setting.pooled
      ? { pools: { default: { writes: { size: POOL_SIZE, mode: setting.pooled } } } }
      : {}),
    servers: { default: server },
  }
}

interface IdentityFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** P-256, for every target alike. */
async function writeIdentity(folder: string): Promise<IdentityFiles> {
  const { certificate, key } = await makeIdentity()
  const files = { certFile: join(folder, 'server.crt'), keyFile: join(folder, 'server.key') }
  writeFileSync(files.certFile, certificate)
  writeFileSync(files.keyFile, key, { mode: 0o600 })
  return files
}

async function startHaproxy({ database, setting }: TargetOptions): Promise<Target> {
  const program = installed('haproxy')
  const port = await freePort()
  const config = `
global
  nbthread 1
  maxconn ${setting.sessionsMax}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend clients
  bind 127.0.0.1:${port}
  default_backend servers
backend servers
  server postgres 127.0.0.1:${database.port}
`
  const folder = mkdtempSync(join(tmpdir(), 'postern-haproxy-'))
  const file = join(folder, 'haproxy.cfg')
  writeFileSync(file, config)
  return await startProxy({ name: 'haproxy', argv: [program, '-db', '-f', file], port, folder })
}

async function startPgbouncer({ database, setting }: TargetOptions): Promise<Target> {
  const program = installed('pgbouncer')
  const port = await freePort()
  // PgBouncer refuses to run as root, just as PostgreSQL does.
  const { account } = await postgresPrograms()
  const folder = mkdtempSync(join(tmpdir(), 'postern-pgbouncer-'))
  const users = join(folder, 'users.txt')
  const file = join(folder, 'pgbouncer.ini')
  const identity = setting.tls ? await writeIdentity(folder) : null
  // Clients may ask for it or not, as they may of the gateway.
  const tls =
    identity === null
      ? ''
      : `client_tls_sslmode = allow
client_tls_cert_file = ${identity.certFile}
client_tls_key_file = ${identity.keyFile}
`
  const config = `
[databases]
* = host=127.0.0.1 port=${database.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = ${setting.pooled || 'session'}
default_pool_size = ${setting.pooled ? POOL_SIZE : 100}
server_reset_query = DISCARD ALL
max_client_conn = ${Math.min(setting.sessionsMax, CLIENTS_MAX)}
log_connections = 0
log_disconnections = 0
log_stats = 0
${tls}`
  writeFileSync(users, `"${database.user}" ""\n`)
  writeFileSync(file, config)
  if (account !== null) give(account, [folder, users, file, ...Object.values(identity ?? {})])
  const argv = [program, file]
  return await startProxy({ name: 'pgbouncer', argv, port, folder, account })
}

function give({ uid, gid }: Account, paths: readonly string[]): void {
  for (const path of paths) chownSync(path, uid, gid)
  for (const path of paths.slice(0, 1)) chmodSync(path, 0o755)
}

interface Proxy {
  readonly name: 'haproxy' | 'pgbouncer'
  readonly argv: readonly string[]
  readonly port: number
  readonly folder: string
  readonly account?: Account | null
}

async function startProxy({ name, argv, port, folder, account }: Proxy): Promise<Target> {
  const child = Bun.spawn([...argv], {
    cwd: '/',
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(account ?? {}),
  })
  child.unref()
  const watchdog = startWatchdog({ folder, signal: 'KILL', process: child.pid })
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await child.exited
    await watchdog.release()
  }
  const isThere = await Promise.race([listens(port), child.exited.then(() => false)])
  if (isThere) return { name, host: '127.0.0.1', port, pids: [child.pid], stop }
  child.kill('SIGKILL')
  const words = await child.stderr.text()
  await stop()
  throw new Error(`${argv.join(' ')} does not listen on ${port}:\n${words}`)
}

function installed(name: string): string {
  const program = findProgram(name)
  if (program === null) throw new AbsentTarget(`${name} is not installed`)
  return program
}

/** Resolves to true when a connection is accepted, to false where none is in time. */
export async function listens(port: number, timeoutMs = LISTEN_TIMEOUT_MS): Promise<boolean> {
  const endsAtMs = performance.now() + timeoutMs
  while (performance.now() < endsAtMs) {
    if (await accepts(port)) return true
    await Bun.sleep(1)
  }
  return false
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
