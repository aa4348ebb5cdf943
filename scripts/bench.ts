/**
 * The benchmarks: the gateway beside the database itself, HAProxy and PgBouncer, judged against
 * the project's targets. Raw rows go to dist/bench/rows.jsonl.
 */
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, resolve } from 'node:path'
import { compare, startTargets, stopTargets } from '../test/bench/comparison.ts'
import { createTables, findDriver } from '../test/bench/driver.ts'
import { measureMemory, PEAK_MEMORY_MB_MAX } from '../test/bench/memory.ts'
import { type BenchOptions, HELP, readOptions } from '../test/bench/options.ts'
import {
  type Judgement,
  judge,
  judgementLine,
  median,
  peakOf,
  type Row,
  tables,
} from '../test/bench/report.ts'
import { measureStarts, START_MS_MAX } from '../test/bench/start.ts'
import { SUITES, type Suite } from '../test/bench/suites.ts'
import { PLAIN, type Setting, type Target, type TargetName } from '../test/bench/targets.ts'
import { type PostgresServer, startPostgres } from '../test/kit/postgres.ts'

const ROWS_FILE = resolve(import.meta.dir, '../dist/bench/rows.jsonl')
const STARTS = 10
const SLOW_MEGABYTES_PER_SECOND = 1

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

/** The targets that were asked for, of those that a part has. */
function chosen(all: readonly TargetName[], { targets }: BenchOptions): readonly TargetName[] {
  const found = all.filter((name) => targets === null || targets.includes(name))
  if (found.length === 0) throw new Error(`--targets: this part has ${all.join(', ')}`)
  return found
}

interface Started {
  readonly server: PostgresServer
  readonly targets: readonly Target[]
  readonly keep: (row: Row) => void
}

/** Starts the targets with an empty file of rows, and stops them after the work. */
async function withTargets<Outcome>(
  server: PostgresServer,
  options: BenchOptions & { readonly names: readonly TargetName[]; readonly setting: Setting },
  work: (started: Started) => Promise<Outcome>,
): Promise<Outcome> {
  const { names, setting, plugin } = options
  if (names.includes('wasm') && !existsSync(plugin)) {
    throw new Error(`--plugin: ${plugin} is not there: build it, or leave "wasm" out`)
  }
  const processors = cpus()
  say(`${processors.length} × ${processors[0]?.model}, load by ${findDriver().name}`)
  await createTables(server)
  mkdirSync(dirname(ROWS_FILE), { recursive: true })
  writeFileSync(ROWS_FILE, '')
  const keep = (row: Row): void => appendFileSync(ROWS_FILE, `${JSON.stringify(row)}\n`)
  const targets = await startTargets(names, { database: server, plugin, setting }, say)
  try {
    return await work({ server, targets, keep })
  } finally {
    await stopTargets(targets)
  }
}

/** True where every target that could be judged was met. */
async function runSuite(
  server: PostgresServer,
  suite: Suite,
  options: BenchOptions,
): Promise<boolean> {
  const { setting, peer, goals, peakMegabytesMax } = suite
  const names = chosen(suite.targets, options)
  const driver = findDriver()
  const all = suite.cells({ ...options, driver, tls: setting.tls })
  const cells = all.filter(({ name }) => name.includes(options.cells))
  return await withTargets(server, { ...options, names, setting }, async (started) => {
    const rows = await compare({ ...started, cells, rounds: options.rounds, say })
    const shown = started.targets.map(({ name }) => name)
    say(`\n${tables(rows, shown, peer)}\n\nraw rows: ${ROWS_FILE}`)
    const more = suite.judge === undefined ? [] : [suite.judge(rows)]
    const isMet = conclude([...goals.map((goal) => judge(rows, goal)), ...more])
    if (options.part === 'workers' && !(await judgeSplit(started.targets, server))) return false
    return (peakMegabytesMax === null || judgePeak(rows, peakMegabytesMax)) && isMet
  })
}

/** True where the sessions are shared out as evenly as they shall be, however many there are. */
async function judgeSplit(targets: readonly Target[], server: PostgresServer): Promise<boolean> {
  const { measureSplit, SPLIT_MAX } = await import('../test/bench/split.ts')
  const target = targets.find(({ name }) => name === 'workers')
  if (target === undefined) return true
  let worst = 0
  for (const sessions of [20, 50, 80]) {
    const split = await measureSplit(target, server, sessions)
    worst = Math.max(worst, split.apart)
    const percent = (split.apart * 100).toFixed(0)
    say(`${sessions} sessions: ${split.counts.join(' and ')}, ${percent}% apart`)
  }
  const isMet = worst <= SPLIT_MAX
  say(`${isMet ? 'met' : 'NOT MET'}: sessions within ${SPLIT_MAX * 100}% of each other`)
  return isMet
}

function conclude(judgements: readonly (Judgement | null)[]): boolean {
  const found = judgements.filter((judgement) => judgement !== null)
  for (const judgement of found) say(judgementLine(judgement))
  if (found.length < judgements.length) say(`${judgements.length - found.length} goals not judged`)
  return found.every(({ isMet }) => isMet)
}

function judgePeak(rows: readonly Row[], megabytesMax: number): boolean {
  const peak = peakOf(rows, 'postern')
  if (peak === null) return true
  const isMet = peak < megabytesMax
  say(`${isMet ? 'met' : 'NOT MET'}: peak ${peak.toFixed(1)} MB (under ${megabytesMax})`)
  return isMet
}

async function runLatency(server: PostgresServer, options: BenchOptions): Promise<boolean> {
  const { judgeLatency, latencyTable, measureLatency } = await import('../test/bench/latency.ts')
  const names = chosen(['direct', 'haproxy', 'postern'], options)
  return await withTargets(server, { ...options, names, setting: PLAIN }, async (started) => {
    const rows = await measureLatency({ ...options, ...started, driver: findDriver(), say })
    say(`\n${latencyTable(rows, started.targets)}\n\nraw rows: ${ROWS_FILE}`)
    return conclude([judgeLatency(rows)])
  })
}

async function runIdle(options: BenchOptions): Promise<boolean> {
  const { IDLE_BYTES_MAX, idleTable, isIdleMet, measureIdle } = await import(
    '../test/bench/idle.ts'
  )
  const targets = chosen(['haproxy', 'postern'], options)
  const rows = await measureIdle({ ...options, targets, say })
  const isMet = isIdleMet(rows)
  say(`\n${idleTable(rows)}\n`)
  say(`${isMet ? 'met' : 'NOT MET'}: bytes of a session of postern, at most ${IDLE_BYTES_MAX}`)
  return isMet
}

async function runStart(server: PostgresServer): Promise<boolean> {
  const taken = await measureStarts(server, STARTS)
  const middle = median(taken)
  const isMet = middle < START_MS_MAX
  say(`starts in ms: ${taken.map((one) => one.toFixed(0)).join(' ')}`)
  say(`${isMet ? 'met' : 'NOT MET'}: median ${middle.toFixed(0)} ms (under ${START_MS_MAX})`)
  return isMet
}

async function runMemory(server: PostgresServer, options: BenchOptions): Promise<boolean> {
  const megabytes = options.memoryMegabytes
  say(`a reader of ${megabytes} MB at ${SLOW_MEGABYTES_PER_SECOND} MB/s`)
  const peak = await measureMemory(server, {
    megabytes,
    megabytesPerSecond: SLOW_MEGABYTES_PER_SECOND,
    onProgress(read, peakSoFar) {
      const isTenth = Math.floor(read) % 10 === 0
      if (isTenth) say(`${read.toFixed(0)} MB read, peak ${peakSoFar.toFixed(1)} MB`)
    },
  })
  const isMet = peak < PEAK_MEMORY_MB_MAX
  say(`${isMet ? 'met' : 'NOT MET'}: peak ${peak.toFixed(1)} MB (under ${PEAK_MEMORY_MB_MAX})`)
  return isMet
}

async function runHooks({ json }: BenchOptions): Promise<boolean> {
  // Loaded where it is needed: it builds modules before it begins.
  const { measureHooks } = await import('../test/bench/hooks.ts')
  return await measureHooks({ json, say })
}

async function runGrpc(options: BenchOptions): Promise<boolean> {
  const { measureGrpc } = await import('../test/bench/grpc.ts')
  return await measureGrpc({ ...options, say })
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2))
  if (options.part === 'help') {
    say(HELP)
    return 0
  }
  if (options.part === 'hooks') return (await runHooks(options)) ? 0 : 1
  if (options.part === 'grpc') return (await runGrpc(options)) ? 0 : 1
  if (options.part === 'idle') return (await runIdle(options)) ? 0 : 1
  await using server = await startPostgres({ settings: { autovacuum: 'off' } })
  if (options.part === 'memory') return (await runMemory(server, options)) ? 0 : 1
  if (options.part === 'start') return (await runStart(server)) ? 0 : 1
  if (options.part === 'latency') return (await runLatency(server, options)) ? 0 : 1
  const suite = SUITES[options.part === 'copy-gb' ? 'copy' : options.part]
  return (await runSuite(server, suite, options)) ? 0 : 1
}

if (import.meta.main) {
  try {
    process.exitCode = await main()
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`)
    process.exitCode = 1
  }
}
