/** A real PostgreSQL server for tests, demo and benchmarks: fresh, private and short-lived. */
import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mustRun } from './command.ts'
import { freePort } from './free-port.ts'
import {
  fillDataFolder,
  makeServerFolder,
  PASSWORD,
  type PostgresPrograms,
  postgresEnvironment,
  postgresPrograms,
  SUPERUSER,
} from './postgres-binaries.ts'
import { startWatchdog } from './watchdog.ts'

const START_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 10_000
const LOG_CHARACTERS_MAX = 256 * 1024
/** Another process may take a port between our look and the server's own. */
const PORT_ATTEMPTS_MAX = 5

/** How the server asks who a client is; for all users, from this machine. */
export type PostgresAuth = 'trust' | 'scram-sha-256' | 'md5' | 'password'

export interface PostgresTls {
  /** PEM: what the server shows. */
  readonly certificate: string
  readonly key: string
  /** PEM: authorities of the certificates that it asks clients for, and then insists on. */
  readonly clientAuthorities?: string
  /** It insists on TLS. */
  readonly required?: boolean
}

export interface PostgresOptions {
  /** Default `trust`. */
  readonly auth?: PostgresAuth
  /** Default: a free one. */
  readonly port?: number
  /** The server speaks TLS. */
  readonly tls?: PostgresTls
  /** It follows this server, which is restarted for a moment to be copied. */
  readonly standbyOf?: PostgresServer
  /** Settings over our own, such as `{ log_statement: 'all' }`. */
  readonly settings?: Readonly<Record<string, string>>
}

export interface PostgresServer {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  /** Its files, for a standby that begins with a copy of them. */
  readonly dataFolder: string
  /** Of the postmaster running now; it changes when the server is started again. */
  readonly pid: number
  /** The end of what the server has logged. */
  log(): string
  /** Stops listening and ends all sessions, as a database that goes away. */
  shutDown(): Promise<void>
  /** Starts again on the same port, with the same data. */
  startUp(): Promise<void>
  /** `shutDown` and `startUp`. */
  restart(): Promise<void>
  /** Stops for good and removes every file. Idempotent. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts a server; it is stopped, at the latest, when this process ends. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const programs = await postgresPrograms()
  const folder = makeServerFolder(programs.account)
  const postmasterFile = join(folder, 'data/postmaster.pid')
  const watchdog = startWatchdog({ folder, signal: 'QUIT', process: postmasterFile })
  const auth = options.auth ?? 'trust'
  const journal = new Journal()
  const { standbyOf } = options
  const following = standbyOf === undefined ? {} : followingSettings(standbyOf)
  const settings = { ...tlsSettings(options.tls), ...following, ...options.settings }
  const server = new Postmaster(programs, folder, settings, journal)
  try {
    if (standbyOf !== undefined) await copyOf(standbyOf, programs, folder)
    else await fillDataFolder(programs, auth === 'md5' ? 'md5' : 'scram-sha-256', folder)
    writeHostRules(programs, folder, hostRules(auth, options.tls))
    if (options.tls !== undefined) writeTlsFiles(programs, folder, options.tls)
    await startOnSomePort(server, options.port)
  } catch (error) {
    await server.stop('SIGQUIT')
    await watchdog.release()
    throw error
  }
  const stop = async (): Promise<void> => {
    await server.stop('SIGQUIT')
    await watchdog.release()
  }
  return {
    host: '127.0.0.1',
    port: server.port,
    user: SUPERUSER,
    password: PASSWORD,
    database: 'postgres',
    dataFolder: join(folder, 'data'),
    get pid() {
      return server.pid
    },
    log: () => journal.text,
    shutDown: () => server.stop('SIGINT'),
    startUp: () => server.start(server.port),
    async restart() {
      await server.stop('SIGINT')
      await server.start(server.port)
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/** What a standby that follows this server calls itself, for `synchronous_standby_names`. */
export const STANDBY_NAME = 'follower'

function followingSettings({ host, port, user, password }: PostgresServer): Record<string, string> {
  const conninfo = { host, port, user, password, application_name: STANDBY_NAME }
  const pairs = Object.entries(conninfo).map(([key, value]) => `${key}=${value}`)
  return { primary_conninfo: pairs.join(' ') }
}

/** The files of a server that has stopped in good order need no more than to be copied. */
async function copyOf(
  { dataFolder, shutDown, startUp }: PostgresServer,
  programs: PostgresPrograms,
  folder: string,
): Promise<void> {
  await shutDown()
  await mustRun(['cp', '-a', dataFolder, join(folder, 'data')])
  writeForServer(programs, join(folder, 'data/standby.signal'), '')
  await startUp()
}

async function startOnSomePort(server: Postmaster, port: number | undefined): Promise<void> {
  if (port !== undefined) return server.start(port)
  for (let attempt = 1; ; attempt++) {
    try {
      return await server.start(await freePort())
    } catch (error) {
      const taken = error instanceof Error && error.message.includes('Address already in use')
      if (!taken || attempt === PORT_ATTEMPTS_MAX) throw error
    }
  }
}

type HostRules = (database: string) => readonly string[]

function hostRules(auth: PostgresAuth, tls: PostgresTls | undefined): HostRules {
  const kind = tls?.required || tls?.clientAuthorities !== undefined ? 'hostssl' : 'host'
  const how = tls?.clientAuthorities === undefined ? auth : `${auth} clientcert=verify-ca`
  return (database) => [
    `${kind} ${database} all 127.0.0.1/32 ${how}\n`,
    `${kind} ${database} all ::1/128 ${how}\n`,
    `local ${database} all ${auth}\n`,
  ]
}

function writeHostRules(programs: PostgresPrograms, folder: string, rules: HostRules): void {
  const all = ['all', 'replication'].flatMap(rules)
  writeForServer(programs, join(folder, 'data/pg_hba.conf'), all.join(''))
}

function tlsSettings(tls: PostgresTls | undefined): Record<string, string> {
  if (tls === undefined) return {}
  return tls.clientAuthorities === undefined
    ? { ssl: 'on' }
    : { ssl: 'on', ssl_ca_file: 'clients.crt' }
}

function writeTlsFiles(programs: PostgresPrograms, folder: string, tls: PostgresTls): void {
  const write = (name: string, text: string): void =>
    writeForServer(programs, join(folder, 'data', name), text)
  write('server.crt', tls.certificate)
  write('server.key', tls.key)
  if (tls.clientAuthorities !== undefined) write('clients.crt', tls.clientAuthorities)
}

/** A file that only the server may read, as it demands of its key. */
function writeForServer({ account }: PostgresPrograms, file: string, text: string): void {
  writeFileSync(file, text, { mode: 0o600 })
  if (account !== null) chownSync(file, account.uid, account.gid)
}

/** Keeps the end of a log, and calls back when a line that is waited for has come. */
class Journal {
  text = ''
  #wanted: { readonly line: string; readonly from: number; readonly done: () => void } | null = null

  add(chunk: string): void {
    this.text = (this.text + chunk).slice(-LOG_CHARACTERS_MAX)
    const wanted = this.#wanted
    if (wanted === null || !this.text.includes(wanted.line, wanted.from)) return
    this.#wanted = null
    wanted.done()
  }

  /** Resolves when `line` is written after this call. */
  next(line: string): Promise<void> {
    this.text = this.text.slice(-LOG_CHARACTERS_MAX / 2)
    const from = this.text.length
    return new Promise((done) => {
      this.#wanted = { line, from, done }
    })
  }
}

/** The server process, started and stopped any number of times on one data folder. */
class Postmaster {
  port = 0
  readonly #programs: PostgresPrograms
  readonly #folder: string
  readonly #settings: Readonly<Record<string, string>>
  readonly #journal: Journal
  #process: Bun.Subprocess<'ignore', 'ignore', 'pipe'> | null = null

  constructor(
    programs: PostgresPrograms,
    folder: string,
    settings: Readonly<Record<string, string>>,
    journal: Journal,
  ) {
    this.#programs = programs
    this.#folder = folder
    this.#settings = settings
    this.#journal = journal
  }

  get pid(): number {
    if (this.#process === null) throw new Error('the PostgreSQL server is not running')
    return this.#process.pid
  }

  async start(port: number): Promise<void> {
    if (this.#process !== null) throw new Error('the PostgreSQL server is running already')
    this.port = port
    // A standby is ready to accept read-only connections.
    const ready = this.#journal.next('database system is ready to accept ')
    const child = Bun.spawn([this.#programs.postgres, ...this.#arguments()], {
      cwd: '/',
      env: postgresEnvironment(),
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'pipe',
      // A session of its own: Ctrl-C at the terminal is for us; the watchdog sees to the server.
      detached: true,
      ...this.#programs.account,
    })
    child.unref()
    this.#process = child
    const logged = this.#follow(child)
    const { promise: late, resolve: giveUp } = Promise.withResolvers<string>()
    const timer = setTimeout(giveUp, START_TIMEOUT_MS, 'no answer in time')
    const outcome = await Promise.race([
      ready.then(() => 'ready'),
      logged.then(() => 'it ended'),
      late,
    ])
    clearTimeout(timer)
    if (outcome === 'ready') return
    await this.stop('SIGQUIT')
    throw new Error(
      `PostgreSQL did not start on port ${port} (${outcome}):\n${this.#journal.text.trimEnd()}`,
    )
  }

  /** SIGINT ends the sessions in good order, SIGQUIT at once. */
  async stop(signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
    const child = this.#process
    if (child === null) return
    this.#process = null
    child.kill(signal)
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await child.exited
    clearTimeout(timer)
  }

  /** Resolves when the server's log has ended, which is when all its processes have. */
  async #follow(child: Bun.Subprocess<'ignore', 'ignore', 'pipe'>): Promise<void> {
    const decoder = new TextDecoder()
    for await (const chunk of child.stderr) {
      this.#journal.add(decoder.decode(chunk, { stream: true }))
    }
  }

  #arguments(): string[] {
    const settings = {
      port: String(this.port),
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      max_connections: '600',
      ssl: 'off',
      // Nothing here outlives the test, so nothing waits for the disk.
      fsync: 'off',
      synchronous_commit: 'off',
      full_page_writes: 'off',
      shared_buffers: '64MB',
      io_method: 'sync',
      max_wal_senders: '4',
      lc_messages: 'C',
      ...this.#settings,
    }
    const given = Object.entries(settings).map(([key, value]) => `--${key}=${value}`)
    return [`-D${join(this.#folder, 'data')}`, ...given]
  }
}
