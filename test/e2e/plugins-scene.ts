/**
 * What the tests of plugins behind the executable start from: fixture plugins of every runtime as
 * entries of a plugins file, gateways that run them, and replies as texts that can be compared.
 */
import { setDefaultTimeout } from 'bun:test'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { buildTestPlugins } from '../../scripts/wasm.ts'
import { buildGoPlugin, buildTypescriptPlugin } from '../fixtures/grpc/build.ts'
import type { BackendMessage } from '../kit/backend.ts'
import {
  type GatewayOptions,
  type RunningGateway,
  runPostern,
  startGateway,
} from '../kit/gateway.ts'
import type { PostgresServer } from '../kit/postgres.ts'
import { until } from '../kit/traffic.ts'
import { openSession, type Wire } from '../kit/wire.ts'

/** A late test is ended with every process that it shares with others: a wait must fail first. */
const TIMEOUT_MS = 20_000
setDefaultTimeout(TIMEOUT_MS)

export type Entry = Readonly<Record<string, unknown>>

const HOOKS_OF_TRAFFIC = 'HOOKS=16,18'
const BUILT = resolve(import.meta.dir, '../../dist/test-plugins')

/** Whether the plugin on HashiCorp's library can be built here. */
export const HAS_GO = Bun.which('go') !== null

/** Builds every fixture that is not fresh. */
export async function buildPlugins(): Promise<void> {
  await buildTestPlugins()
  await buildTypescriptPlugin()
  await buildGoPlugin()
}

/** The path of a built fixture. */
export function fixture(name: string): string {
  return join(BUILT, name)
}

export function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

/** An entry for a fixture, pinned, under a name of its own where several stand in one file. */
export function entryOf(file: string, more: Entry = {}): Entry {
  const localPath = fixture(file)
  return { name: file.replace('.wasm', ''), localPath, checksum: sha256(localPath), ...more }
}

/** The scripted gRPC plugin with variables; traffic hooks alone unless `HOOKS` is among them. */
export function scripted(env: Readonly<Record<string, string>> = {}, more: Entry = {}): Entry {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  return entryOf('scripted', { env: [HOOKS_OF_TRAFFIC, ...variables], ...more })
}

export interface Scenery {
  readonly plugins: readonly Entry[]
  /** Keys of the plugins file beside the entries. */
  readonly file?: Entry
  /** Keys of the server group. */
  readonly server?: Entry
  /** Blocks beside `writes`. */
  readonly blocks?: Readonly<Record<string, PostgresServer>>
  readonly env?: GatewayOptions['env']
  readonly args?: readonly string[]
}

/** The configuration of a gateway before one server; for `run --check` too, which needs no port. */
export function configFor(postgres: PostgresServer, { server = {}, blocks = {} }: Scenery): Entry {
  const all = Object.entries({ writes: postgres, ...blocks })
  const clients = all.map(([block, { port }]) => [block, { address: `127.0.0.1:${port}` }])
  return {
    servers: { default: { ...server } },
    clients: { default: Object.fromEntries(clients) },
  }
}

export function startWith(postgres: PostgresServer, scenery: Scenery): Promise<RunningGateway> {
  return startGateway({
    config: configFor(postgres, scenery),
    plugins: { ...scenery.file, plugins: [...scenery.plugins] },
    ...(scenery.env === undefined ? {} : { env: scenery.env }),
    ...(scenery.args === undefined ? {} : { args: scenery.args }),
  })
}

interface Place {
  readonly host: string
  readonly port: number
}

/** Logs in to the gateway, or to the server itself. */
export function login(place: Place, postgres: PostgresServer): Promise<Wire> {
  const { host, port } = place
  const { user, password, database } = postgres
  return openSession({ host, port, user, password, database })
}

/** Where a session stands: no transaction, in one, or in one that failed. */
export const STATUSES = { I: 'idle', T: 'in a transaction', E: 'in a failed transaction' } as const
export type Status = keyof typeof STATUSES

const LEADING: Readonly<Record<Status, readonly string[]>> = {
  I: [],
  T: ['begin'],
  E: ['begin', 'select 1/0'],
}

export async function bringTo(wire: Wire, status: Status): Promise<void> {
  for (const sql of LEADING[status]) await wire.query(sql)
}

/** Sends all at once and reads as many whole replies as there are; as texts. */
export async function exchange(
  wire: Wire,
  messages: readonly Uint8Array[],
  replies: number,
): Promise<string[]> {
  wire.send(...messages)
  const read: string[] = []
  for (let left = replies; left > 0; left--) {
    read.push(...(await wire.readUntil('ReadyForQuery')).map(spoken))
  }
  return read
}

/** Leaves any transaction and asks for a row, as anybody would go on. */
export async function isUsable(wire: Wire): Promise<boolean> {
  await wire.query('rollback')
  const rows = await wire.rows('select 1')
  return rows[0]?.[0] === '1'
}

/** Reads until the other side closes; what still came, as texts. */
export async function readToEnd(wire: Wire): Promise<string[]> {
  const read: string[] = []
  for (;;) {
    const next = await wire.read().catch(() => null)
    if (next === null) {
      if (wire.isEnded) return read
      throw new Error(`the connection stays open after ${read.join(', ')}`)
    }
    read.push(spoken(next))
  }
}

/** A message as a text: its name and what tells it from another of the same name. */
export function spoken(message: BackendMessage): string {
  switch (message.name) {
    case 'ErrorResponse':
      return refusalText(message)
    case 'ReadyForQuery':
      return `ready ${message.status}`
    case 'DataRow':
      return `row ${message.values.join(',')}`
    case 'CommandComplete':
      return message.tag
    case 'NotificationResponse':
      return `notification ${message.payload}`
    default:
      return message.name
  }
}

interface Refused {
  readonly severity: string
  readonly code: string
  readonly message: string
  readonly detail: string | null
  readonly hint: string | null
}

export function refusalText({ severity, code, message, detail, hint }: Refused): string {
  return [`${severity} ${code} ${message}`, detail ?? '-', hint ?? '-'].join(' | ')
}

/** The samples of one family of the metrics page whose labels contain all of these texts. */
export async function samples(
  gateway: RunningGateway,
  family: string,
  ...labels: readonly string[]
): Promise<number> {
  const page = await fetch(`http://127.0.0.1:${gateway.metricsPort}/metrics`)
  const text = await page.text()
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${family}{`) || line.startsWith(`${family} `))
    .filter((line) => labels.every((label) => line.includes(label)))
    .reduce((total, line) => total + Number(line.split(' ').at(-1)), 0)
}

/** How often a step of a plugin has failed at a hook so far. */
export function stepFailures(
  gateway: RunningGateway,
  plugin: string,
  hook = 'onTrafficFromClient',
): Promise<number> {
  return samples(gateway, 'postern_step_failures_total', `plugin="${plugin}"`, `hook="${hook}"`)
}

export interface Listed {
  readonly name: string
  readonly state: string
  readonly lastError: string
  readonly checksum: string
  readonly version: string
  readonly hooks: readonly string[]
  readonly priority: number
  readonly pid: number | null
  readonly restarts: number
  readonly nextTryInMs: number | null
  readonly lastLines: readonly string[]
}

/** What `postern plugin list --json` says of the running gateway. */
export async function listed(gateway: RunningGateway): Promise<readonly Listed[]> {
  const { status, stdout, stderr } = await runPostern(['plugin', 'list', '--json'], {
    env: gateway.env,
  })
  if (status !== 0) throw new Error(`plugin list: exit status ${status}\n${stderr}`)
  return JSON.parse(stdout).plugins
}

/** Lines of what was written that contain all of these words. */
export function linesWith(written: string, words: readonly string[]): readonly string[] {
  return written.split('\n').filter((line) => words.every((word) => line.includes(word)))
}

/** One call of a scripted plugin, with the bytes it was given, one character a byte. */
export interface Call {
  readonly method: string
  readonly request: string
  readonly response: string
}

/** The file in which a scripted plugin writes down its calls (`RECORD_FILE`). */
export class CallsFile {
  readonly #folder = mkdtempSync(join(tmpdir(), 'postern-calls-'))
  readonly file = join(this.#folder, 'calls')

  /** All calls so far. */
  calls(): readonly Call[] {
    if (!existsSync(this.file)) return []
    const lines = readFileSync(this.file, 'utf8').split('\n')
    // The last line may be under way.
    return lines.slice(0, -1).map((line) => {
      const { method, params } = JSON.parse(line)
      const { request, response } = params
      return { method, request: request?.bytes ?? '', response: response?.bytes ?? '' }
    })
  }

  saw(text: string): Promise<void> {
    return until(`the plugin was given ${JSON.stringify(text)}`, () =>
      this.calls().some(({ request, response }) => `${request}${response}`.includes(text)),
    )
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true })
  }
}

/** What PostgreSQL itself says to these messages, where the session stands. */
export async function spokenDirectly(
  postgres: PostgresServer,
  status: Status,
  messages: readonly Uint8Array[],
  replies: number,
): Promise<string[]> {
  using wire = await login(postgres, postgres)
  await bringTo(wire, status)
  return await exchange(wire, messages, replies)
}
