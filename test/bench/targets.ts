/** What is measured: the database itself, the proxies people know, and the gateway. */
import { chmodSync, chownSync, mkdtempSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../kit/free-port.ts'
import { gatewayBinary, startGateway } from '../kit/gateway.ts'
import type { PostgresServer } from '../kit/postgres.ts'
import { type Account, postgresPrograms } from '../kit/postgres-binaries.ts'
import { startWatchdog } from '../kit/watchdog.ts'
import { findProgram } from './programs.ts'

const LISTEN_TIMEOUT_MS = 10_000

export const TARGETS = ['direct', 'haproxy', 'pgbouncer', 'postern', 'wasm'] as const
export type TargetName = (typeof TARGETS)[number]

export interface Target {
  readonly name: TargetName
  readonly host: string
  readonly port: number
  /** The processes whose processor time is the target's; none for the database itself. */
  readonly pids: readonly number[]
  stop(): Promise<void>
}

/** A target that cannot be measured here, and why. */
export class AbsentTarget extends Error {}

export async function startTarget(
  name: TargetName,
  server: PostgresServer,
  plugin: string,
): Promise<Target> {
  switch (name) {
    case 'direct':
      return { name, host: server.host, port: server.port, pids: [], stop: async () => {} }
    case 'haproxy':
      return await startHaproxy(server)
    case 'pgbouncer':
      return await startPgbouncer(server)
    case 'postern':
      return await startPostern(name, server, [])
    case 'wasm':
      return await startPostern(name, server, ['--plugin', plugin, '--dev'])
  }
}

async function startPostern(
  name: 'postern' | 'wasm',
  server: PostgresServer,
  flags: readonly string[],
): Promise<Target> {
  try {
    gatewayBinary()
  } catch (error) {
    throw new AbsentTarget(error instanceof Error ? error.message : String(error))
  }
  const gateway = await startGateway({
    args: ['--upstream', `${server.host}:${server.port}`, ...flags],
    // What a plugin costs is measured, not what writing a log line for every statement does.
    env: { POSTERN_LOGGERS_DEFAULT_LEVEL: 'warn' },
  })
  const { host, port, pid } = gateway
  const stop = async (): Promise<void> => {
    await gateway.stop()
  }
  return { name, host, port, pids: [pid], stop }
}

async function startHaproxy(server: PostgresServer): Promise<Target> {
  const program = installed('haproxy')
  const port = await freePort()
  const config = `
global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend clients
  bind 127.0.0.1:${port}
  default_backend servers
backend servers
  server postgres 127.0.0.1:${server.port}
`
  const folder = mkdtempSync(join(tmpdir(), 'postern-haproxy-'))
  const file = join(folder, 'haproxy.cfg')
  writeFileSync(file, config)
  return await startProxy({ name: 'haproxy', argv: [program, '-db', '-f', file], port, folder })
}

async function startPgbouncer(server: PostgresServer): Promise<Target> {
  const program = installed('pgbouncer')
  const port = await freePort()
  // PgBouncer refuses to run as root, just as PostgreSQL does.
  const { account } = await postgresPrograms()
  const folder = mkdtempSync(join(tmpdir(), 'postern-pgbouncer-'))
  const users = join(folder, 'users.txt')
  const file = join(folder, 'pgbouncer.ini')
  const config = `
[databases]
* = host=127.0.0.1 port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = session
default_pool_size = 100
max_client_conn = 500
log_connections = 0
log_disconnections = 0
log_stats = 0
`
  writeFileSync(users, `"${server.user}" ""\n`)
  writeFileSync(file, config)
  if (account !== null) give(account, [folder, users, file])
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
