/**
 * The demo: a real PostgreSQL, the gateway with a WASM and a gRPC plugin before it, statements
 * through both, and what each plugin did. It goes on until Ctrl-C; with `--once` it ends by itself
 * and its exit status says whether all was as it must be.
 */
import { existsSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Client } from 'pg'
import { type Cell, painted, renderTable } from '../src/cli/table.ts'
import { buildGuardPlugin } from '../test/fixtures/grpc/build.ts'
import { freePort } from '../test/kit/free-port.ts'
import { type PostgresServer, startPostgres } from '../test/kit/postgres.ts'
import { build } from './build.ts'
import { type ConfigurationFiles, writeConfiguration } from './demo/configuration.ts'
import { AUDIT, type RunningDemo, startDemoGateway } from './demo/gateway.ts'
import { faultsOf, type Outcome, runStatements, STATEMENTS_SENT } from './demo/statements.ts'

const ROOT = resolve(import.meta.dir, '..')
const BINARY = join(ROOT, 'dist/postern')
const FOLDER = join(ROOT, '.cache/demo')
/** The gateway's own defaults; where they are taken, free ones. */
const LISTEN_PORT = 15_432
const METRICS_PORT = 9090

const colours = process.stdout.isTTY === true && !process.env['NO_COLOR']
const startedAtMs = performance.now()

const print = (text: string): void => {
  process.stdout.write(`${text}\n`)
}
/** A line of progress, with the time since the start. */
const say = (text: string): void => {
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1).padStart(5)
  print(`${painted({ text: `${seconds} s`, colour: 'gray' }, colours)}  ${text}`)
}

interface Stage {
  readonly database: PostgresServer
  readonly gateway: RunningDemo
  readonly files: ConfigurationFiles
  readonly listen: string
  readonly metrics: string
}

/** Told by a signal, at the terminal by Ctrl-C. */
class Interruption {
  readonly told: Promise<string>
  #signal: string | null = null

  constructor() {
    this.told = new Promise((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
        process.on(signal, () => {
          this.#signal ??= signal
          resolve(signal)
        })
      }
    })
  }

  /** Throws where the demo was told to stop meanwhile; what runs already is then taken down. */
  check(): void {
    if (this.#signal !== null) throw new Error(`stopped by ${this.#signal} before its end`)
  }
}

async function portNear(wanted: number): Promise<number> {
  try {
    Bun.listen({ hostname: '127.0.0.1', port: wanted, socket: { data: () => {} } }).stop(true)
    return wanted
  } catch {
    return await freePort()
  }
}

async function setUp(stack: AsyncDisposableStack, interruption: Interruption): Promise<Stage> {
  say('build: dist/postern and its plugins, where sources have changed')
  await build({ ifStale: true, say: (line) => say(`  ${line}`) })
  const guard = await buildGuardPlugin()
  interruption.check()
  say('PostgreSQL: starting a fresh one')
  const database = stack.use(await startPostgres())
  interruption.check()
  const upstream = `${database.host}:${database.port}`
  const listen = `127.0.0.1:${await portNear(LISTEN_PORT)}`
  const metrics = `127.0.0.1:${await portNear(METRICS_PORT)}`
  const audit = join(ROOT, 'dist/plugins/audit.wasm')
  const folder = FOLDER
  const files = writeConfiguration({ folder, listen, metrics, upstream, audit, guard })
  say(`gateway: starting it from ${shown(files.config)} and ${shown(files.plugins)}`)
  const gateway = await startDemoGateway({ binary: BINARY, files, metrics })
  stack.defer(async () => {
    await gateway.stop()
  })
  interruption.check()
  return { database, gateway, files, listen, metrics }
}

const shown = (path: string): string => relative(process.cwd(), path) || path

async function sendStatements({ gateway, listen, database }: Stage): Promise<readonly Outcome[]> {
  say(`statements: ${STATEMENTS_SENT} of them, through the gateway`)
  const client = new Client({ connectionString: urlOf(listen, database), ssl: false })
  // An error between two statements is told again by the next one.
  client.on('error', () => {})
  await client.connect()
  try {
    return await runStatements(client, gateway)
  } finally {
    await client.end()
  }
}

const urlOf = (listen: string, { user, database }: PostgresServer): string =>
  `postgresql://${user}@${listen}/${database}`

function printOutcomes(outcomes: readonly Outcome[]): void {
  const rows = outcomes.map(({ statement, shown: outcome, kind, audit, guard }): Cell[] => [
    statement.shown,
    { text: outcome, colour: kind === 'refused' ? 'red' : 'green' },
    audit,
    guard === 'passed' ? guard : { text: guard, colour: 'red' },
  ])
  print(`\n${renderTable(['STATEMENT', 'OUTCOME', 'AUDIT LOGGED', 'GUARD'], rows, colours)}\n`)
}

async function printPlugins({ gateway }: Stage): Promise<void> {
  const rows = (await gateway.plugins()).map((plugin): Cell[] => [
    plugin.name,
    plugin.runtime,
    { text: plugin.state, colour: plugin.state === 'ready' ? 'green' : 'red' },
    plugin.calls,
    Math.round(plugin.callMicros / Math.max(1, plugin.calls)),
    plugin.failures,
  ])
  const heads = ['PLUGIN', 'RUNTIME', 'STATE', 'CALLS', 'MEAN µs A CALL', 'FAILURES']
  print(`${renderTable(heads, rows, colours)}\n`)
}

/** What the gateway itself must say afterwards. */
async function faultsAfter({ gateway }: Stage): Promise<readonly string[]> {
  const faults: string[] = []
  for (const { name, state, failures, lastError } of await gateway.plugins()) {
    if (state !== 'ready' || failures > 0) {
      faults.push(`plugin ${name} is ${state} after ${failures} failures (${lastError})`)
    }
  }
  const page = await gateway.metrics()
  const counted = [...page.matchAll(/^statements_total\{([^}]*)\} (\d+)$/gm)]
    .filter(([, labels]) => labels?.includes(`plugin="${AUDIT}"`))
    .reduce((sum, [, , count]) => sum + Number(count), 0)
  if (counted !== STATEMENTS_SENT) {
    faults.push(`the metrics page counts ${counted} statements, not ${STATEMENTS_SENT}`)
  }
  if (!/^postern_denied_total\{[^}]*\} 1$/m.test(page)) {
    faults.push('the metrics page does not count exactly one refusal')
  }
  return faults
}

function printInvitation({ files, listen, metrics, database }: Stage): void {
  const rows = [
    ['connect', `psql ${urlOf(listen, database)}   (any PostgreSQL client; no password)`],
    ['metrics', `curl http://${metrics}/metrics`],
    ['state', `${shown(BINARY)} status`],
    ['plugins', `${shown(BINARY)} plugin list`],
    ['log', `tail -f ${shown(files.log)}`],
    ['files', `${shown(BINARY)} config lint -c ${shown(files.config)} -p ${shown(files.plugins)}`],
  ]
  print('The gateway runs on. Try, from another terminal:\n')
  for (const [what = '', command = ''] of rows) print(`  ${what.padEnd(8)} ${command}`)
  print('\nCtrl-C stops everything.')
}

/** Throws where the demo cannot be given; returns what was not as it must be. */
async function give(once: boolean, interruption: Interruption): Promise<readonly string[]> {
  await using stack = new AsyncDisposableStack()
  const stage = await setUp(stack, interruption)
  const outcomes = await sendStatements(stage)
  printOutcomes(outcomes)
  await printPlugins(stage)
  const faults = [...faultsOf(outcomes), ...(await faultsAfter(stage))]
  if (!once && faults.length === 0) {
    printInvitation(stage)
    const ended = stage.gateway.exited.then((status) => `exit status ${status}`)
    const why = await Promise.race([interruption.told, ended])
    if (why.startsWith('exit')) faults.push(`the gateway has ended by itself (${why})`)
    print('')
  } else interruption.check()
  say('stopping the gateway, its plugins and PostgreSQL')
  return [...faults, ...(await faultsOfEnd(stage))]
}

async function faultsOfEnd({ gateway }: Stage): Promise<readonly string[]> {
  const pids = [gateway.pid, ...(await pluginPids(gateway))]
  const status = await gateway.stop()
  const left = pids.filter((pid) => existsSync(`/proc/${pid}`))
  return [
    ...(status === 0 ? [] : [`the gateway has stopped with exit status ${status}`]),
    ...left.map((pid) => `the process ${pid} is still there`),
  ]
}

/** Empty where the gateway has ended already. */
async function pluginPids(gateway: RunningDemo): Promise<readonly number[]> {
  try {
    return (await gateway.plugins()).flatMap(({ pid }) => pid ?? [])
  } catch {
    return []
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const options = { once: { type: 'boolean', default: false } } as const
  const { once } = parseArgs({ args: [...argv], options }).values
  // What the shell says about other databases does not count here.
  for (const name of Object.keys(process.env)) if (name.startsWith('PG')) delete process.env[name]
  const faults = await give(once, new Interruption())
  for (const fault of faults) {
    print(painted({ text: `not as it must be: ${fault}`, colour: 'red' }, colours))
  }
  if (faults.length === 0) say('done: everything was as it must be, and nothing is left behind')
  return faults.length === 0 ? 0 : 1
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : error}\n`)
    process.exitCode = 1
  }
}
