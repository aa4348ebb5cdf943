/**
 * The benchmarks: the gateway beside the database itself, HAProxy and PgBouncer, judged against
 * the project's targets. Raw rows go to dist/bench/rows.jsonl.
 */
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, resolve } from 'node:path'
import { cellsOf } from '../test/bench/cells.ts'
import { compare, startTargets, stopTargets } from '../test/bench/comparison.ts'
import { createTables, findDriver } from '../test/bench/driver.ts'
import { measureMemory, PEAK_MEMORY_MB_MAX } from '../test/bench/memory.ts'
import { type BenchOptions, HELP, readOptions } from '../test/bench/options.ts'
import { GOALS, judge, judgementLine, median, type Row, tables } from '../test/bench/report.ts'
import { measureStarts, START_MS_MAX } from '../test/bench/start.ts'
import { type PostgresServer, startPostgres } from '../test/kit/postgres.ts'

const ROWS_FILE = resolve(import.meta.dir, '../dist/bench/rows.jsonl')
const STARTS = 10
const SLOW_MEGABYTES_PER_SECOND = 1

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

/** True where every target that could be judged was met. */
async function runComparison(server: PostgresServer, options: BenchOptions): Promise<boolean> {
  if (options.targets.includes('wasm') && !existsSync(options.plugin)) {
    throw new Error(`--plugin: ${options.plugin} is not there: build it, or leave "wasm" out`)
  }
  const driver = findDriver()
  const processors = cpus()
  say(`${processors.length} × ${processors[0]?.model}, load by ${driver.name}`)
  await createTables(server)
  const targets = await startTargets(server, options, say)
  const cells = cellsOf({ ...options, driver }).filter(({ name }) => name.includes(options.cells))
  mkdirSync(dirname(ROWS_FILE), { recursive: true })
  writeFileSync(ROWS_FILE, '')
  const keep = (row: Row): void => appendFileSync(ROWS_FILE, `${JSON.stringify(row)}\n`)
  try {
    const rows = await compare({ server, targets, cells, rounds: options.rounds, say, keep })
    const names = targets.map(({ name }) => name)
    say(`\n${tables(rows, names)}\n\nraw rows: ${ROWS_FILE}`)
    return judgeAll(rows)
  } finally {
    await stopTargets(targets)
  }
}

function judgeAll(rows: readonly Row[]): boolean {
  const judgements = GOALS.map((goal) => judge(rows, goal)).filter((found) => found !== null)
  for (const judgement of judgements) say(judgementLine(judgement))
  if (judgements.length < GOALS.length) say(`${GOALS.length - judgements.length} goals not judged`)
  return judgements.every(({ isMet }) => isMet)
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
  await using server = await startPostgres({ settings: { autovacuum: 'off' } })
  if (options.part === 'memory') return (await runMemory(server, options)) ? 0 : 1
  if (options.part === 'start') return (await runStart(server)) ? 0 : 1
  const isMet = await runComparison(server, options)
  return isMet ? 0 : 1
}

if (import.meta.main) {
  try {
    process.exitCode = await main()
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`)
    process.exitCode = 1
  }
}
