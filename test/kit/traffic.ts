/** What end-to-end tests of traffic share: gateways in front of a server, and what they tell. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseStatusReport, type StatusReport } from '../../src/admin/report.ts'
import { gatewayBinary, type RunningGateway, runPostern, startGateway } from './gateway.ts'
import type { PostgresServer } from './postgres.ts'
import { openSession, type Wire } from './wire.ts'

const UNTIL_TIMEOUT_MS = 15_000

type Keys = Readonly<Record<string, unknown>>

export interface Behind {
  readonly host: string
  readonly port: number
}

/** Keys of the configuration over the defaults: of the server group, of the client, of the top. */
export interface Settings {
  readonly server?: Keys
  readonly client?: Keys
  readonly top?: Keys
  readonly plugins?: Keys
  readonly under?: readonly string[]
}

/** The two ways that what drivers do is proved: no plugin at all, and one that reads statements. */
export const WAYS = [
  { way: 'without plugins', isAudited: false },
  { way: 'with the audit plugin', isAudited: true },
] as const

/** The plugins file with the audit plugin as it was built, pinned. */
export function auditPlugins(config: Keys = {}): Keys {
  const localPath = join(dirname(gatewayBinary()), 'plugins/audit.wasm')
  const checksum = createHash('sha256').update(readFileSync(localPath)).digest('hex')
  return { plugins: [{ name: 'audit', localPath, checksum, required: true, config }] }
}

/** A gateway in front of one server; dials are not tried again unless the settings say so. */
export function startBefore(behind: Behind, settings: Settings = {}): Promise<RunningGateway> {
  const { server = {}, client = {}, top = {}, plugins, under = [] } = settings
  const writes = { address: `${behind.host}:${behind.port}`, retries: 0, ...client }
  const config = { ...top, servers: { default: server }, clients: { default: { writes } } }
  return startGateway({ config, under, ...(plugins === undefined ? {} : { plugins }) })
}

/** A gateway in one of the two ways. */
export function startWay(behind: Behind, { isAudited }: (typeof WAYS)[number]) {
  return startBefore(behind, isAudited ? { plugins: auditPlugins() } : {})
}

/** A sample of the metrics page, the first with these labels; 0 where there is none yet. */
export async function metric(
  gateway: RunningGateway,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${gateway.metricsPort}/metrics`)
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`)
  const line = (await answer.text())
    .split('\n')
    .find((text) => /^\w+/.exec(text)?.[0] === name && wanted.every((pair) => text.includes(pair)))
  return Number(line?.split(' ').at(-1) ?? 0)
}

/** What `postern status --json` tells of this gateway. */
export async function statusOf(gateway: RunningGateway): Promise<StatusReport> {
  const { status, stdout, stderr } = await runPostern(['status', '--json'], { env: gateway.env })
  if (status !== 0) throw new Error(`postern status: exit status ${status}\n${stderr}`)
  const report = parseStatusReport(JSON.parse(stdout))
  if (report.pid !== gateway.pid) throw new Error(`process ${report.pid} has answered`)
  return report
}

/** Memory of a process in bytes: what it holds now, and the most that it ever held. */
export function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const bytes = (key: string): number => {
    const kilobytes = new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]
    if (kilobytes === undefined) throw new Error(`/proc/${pid}/status has no ${key}`)
    return Number(kilobytes) * 1024
  }
  return { now: bytes('VmRSS'), peak: bytes('VmHWM') }
}

/** Asks again and again until it is so; for what no event tells. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const endsAtMs = performance.now() + UNTIL_TIMEOUT_MS
  while (!(await isSo())) {
    if (performance.now() > endsAtMs) throw new Error(`waited in vain until ${what}`)
    await new Promise(setImmediate)
  }
}

/** Throws where the gateway counted what must not happen while everybody behaves. */
export async function mustBeSound(
  gateway: RunningGateway,
  permitted: readonly string[] = [],
): Promise<void> {
  const wrong = ['internal_errors', 'protocol_violations', 'step_failures', 'sessions_refused']
  for (const name of wrong.filter((count) => !permitted.includes(count))) {
    const count = await metric(gateway, `postern_${name}_total`)
    if (count > 0) throw new Error(`postern_${name}_total is ${count}:\n${gateway.log()}`)
  }
}

/**
 * Resolves when the server session `pid` waits for this: `PgSleep`, `advisory`, `ClientWrite` …
 * The server tells nothing of a statement before it has something to send.
 */
export async function waits(witness: Wire, pid: number, event: string): Promise<void> {
  const sql = `select from pg_stat_activity where pid = ${pid} and wait_event = '${event}'`
  await until(`${pid} waits for ${event}`, async () => (await witness.rows(sql)).length === 1)
}

/** Resolves when so many sessions of the server are within `pg_sleep`: they can be cancelled. */
export async function asleep(server: PostgresServer, count: number): Promise<void> {
  using witness = await openSession(server)
  const sql = "select from pg_stat_activity where wait_event = 'PgSleep'"
  await until(`${count} sleep`, async () => (await witness.rows(sql)).length === count)
}
