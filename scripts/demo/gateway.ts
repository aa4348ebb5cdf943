/** The gateway of the demo: the executable as users have it, and what can be learnt from it. */
import { existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { askControl } from '../../src/admin/control-client.ts'
import { type PluginReport, parsePluginReports } from '../../src/admin/report.ts'
import { findInstances } from '../../src/admin/run-folder.ts'
import { startWatchdog } from '../../test/kit/watchdog.ts'
import type { ConfigurationFiles } from './configuration.ts'

export const AUDIT = 'audit'
export const GUARD = 'guard'

const START_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 15_000
const LOG_TIMEOUT_MS = 5_000
const POLL_MS = 10

export interface GatewayOptions {
  readonly binary: string
  readonly files: ConfigurationFiles
  /** `host:port` of the metrics. */
  readonly metrics: string
}

export interface RunningDemo {
  readonly pid: number
  /** The exit status, once it has ended. */
  readonly exited: Promise<number>
  plugins(): Promise<readonly PluginReport[]>
  plugin(name: string): Promise<PluginReport>
  /** The page of metrics. */
  metrics(): Promise<string>
  /** `KIND table, table` of every statement that audit has logged; waits for `count` of them. */
  audited(count: number): Promise<readonly string[]>
  /** True if guard has logged, or soon does, that it refused this statement. */
  hasRefused(statement: string | undefined): Promise<boolean>
  /** Asks it to stop and returns its exit status. Idempotent. */
  stop(): Promise<number>
}

/** The environment of the shell, but for what would change the files' meaning or Bun's. */
function environment(): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(POSTERN|GATEWAYD|BUN)_/.test(name),
  )
  return Object.fromEntries(kept)
}

/** Starts the executable and waits until it is ready; throws with its words where it is not. */
export async function startDemoGateway(options: GatewayOptions): Promise<RunningDemo> {
  const { binary, files, metrics } = options
  const env = environment()
  const child = Bun.spawn([binary, 'run', '-c', files.config, '-p', files.plugins], {
    env,
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
    // A session of its own: Ctrl-C is for the demo, which stops all in order.
    detached: true,
  })
  const words = child.stderr.text()
  const folder = mkdtempSync(join(tmpdir(), 'postern-demo-'))
  const watchdog = startWatchdog({ folder, signal: 'TERM', process: child.pid })
  const exited = child.exited
  const stop = async (): Promise<number> => {
    if (child.exitCode === null) child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    const status = await exited
    clearTimeout(timer)
    await watchdog.release()
    return status
  }
  const ended = async (): Promise<never> => {
    const status = await exited
    const log = `${await words}${textOf(files.log)}`.trim()
    throw new Error(`the gateway has ended with exit status ${status}:\n${log}`)
  }
  try {
    await Promise.race([ready(metrics), ended()])
  } catch (error) {
    await stop()
    throw error
  }
  return { pid: child.pid, exited, stop, ...questionsTo(child.pid, options, env) }
}

async function ready(metrics: string): Promise<void> {
  const isReady = (): Promise<boolean> =>
    fetch(`http://${metrics}/readyz`, { keepalive: false }).then(
      ({ ok }) => ok,
      () => false,
    )
  await waitUntil('the gateway is ready', isReady, START_TIMEOUT_MS)
}

function questionsTo(
  pid: number,
  { files, metrics }: GatewayOptions,
  env: Readonly<Record<string, string | undefined>>,
) {
  const socket = findInstances(env).find((instance) => instance.pid === pid)?.controlSocket
  const plugins = async (): Promise<readonly PluginReport[]> =>
    parsePluginReports(await askControl('/plugins', { env, socket }))
  return {
    plugins,
    async plugin(name: string): Promise<PluginReport> {
      const found = (await plugins()).find((plugin) => plugin.name === name)
      if (found === undefined) throw new Error(`the gateway knows no plugin ${name}`)
      return found
    },
    metrics: async (): Promise<string> => (await fetch(`http://${metrics}/metrics`)).text(),
    async audited(count: number): Promise<readonly string[]> {
      const seen = (): readonly string[] => auditedIn(textOf(files.log))
      const isThere = async (): Promise<boolean> => seen().length >= count
      await waitUntil(`audit has logged ${count} statements`, isThere, LOG_TIMEOUT_MS)
      return seen()
    },
    async hasRefused(statement: string | undefined): Promise<boolean> {
      const isThere = async (): Promise<boolean> =>
        recordsIn(textOf(files.log)).some(
          ({ plugin, fields }) => plugin === GUARD && fields.statement === statement,
        )
      return await becomesTrue(isThere, LOG_TIMEOUT_MS)
    },
  }
}

const logRecord = z.object({
  plugin: z.string().default(''),
  message: z.string(),
  fields: z
    .object({
      kind: z.string().optional(),
      tables: z.array(z.string()).default([]),
      statement: z.string().optional(),
    })
    .default({ tables: [] }),
})

/** Whole lines only: the last one may be under way. */
function recordsIn(log: string): readonly z.infer<typeof logRecord>[] {
  return log
    .split('\n')
    .slice(0, -1)
    .map((line) => logRecord.parse(JSON.parse(line)))
}

function auditedIn(log: string): readonly string[] {
  return recordsIn(log)
    .filter(({ plugin, fields }) => plugin === AUDIT && fields.kind !== undefined)
    .map(({ fields }) => [fields.kind, fields.tables.join(', ')].join(' ').trimEnd())
}

const textOf = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '')

async function waitUntil(
  what: string,
  isTrue: () => Promise<boolean>,
  timeoutMs: number,
): Promise<void> {
  if (await becomesTrue(isTrue, timeoutMs)) return
  throw new Error(`not within ${timeoutMs} ms: ${what}`)
}

async function becomesTrue(isTrue: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  while (!(await isTrue())) {
    if (performance.now() > deadline) return false
    await Bun.sleep(POLL_MS)
  }
  return true
}
