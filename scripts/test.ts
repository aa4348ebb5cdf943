/**
 * The gate: types, lint and format, build, unit tests, end-to-end tests, and one line of counts at
 * the very end. `--fast` is its quick part for every save: no build and nothing end to end.
 */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import {
  conclude,
  type Outcome,
  outcomeOfTests,
  outcomeOfTool,
  testFiles,
} from './test-outcomes.ts'
import { runTests, runTool } from './test-runs.ts'

const BUN = process.execPath
/** Most tests wait most of the time; more than two at once have not been tried. */
const LANES_MAX = 2
/** Files that share a process; all of them in one would leave the other lane without work. */
const UNIT_FILES = 20
const END_TO_END_FILES = 5

/** One piece of the gate, whose output is shown whole when it has ended. */
interface Job {
  readonly title: string
  readonly work: (lane: number) => Promise<{ readonly outcome: Outcome; readonly output: string }>
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

function toolJob(title: string, argv: readonly string[]): Job {
  return {
    title,
    work: async () => {
      const { status, output } = await runTool(argv)
      return { outcome: outcomeOfTool(title, argv, status), output }
    },
  }
}

/** Runs of `bun test` over a few of the files each; none where `wanted` resolves to false. */
function testJobs(
  title: string,
  files: readonly string[],
  most: number,
  wanted: Promise<boolean> = Promise.resolve(true),
): readonly Job[] {
  const count = Math.ceil(files.length / most)
  return Array.from({ length: count }, (_, at) => ({
    title: `${title}, part ${at + 1} of ${count}`,
    work: async (lane) => {
      if (!(await wanted)) return NOT_RUN
      const part = files.slice(at * most, (at + 1) * most)
      const { status, output, report } = await runTests(part, lane, LANES_MAX)
      return { outcome: outcomeOfTests(part, status, report), output }
    },
  }))
}

const NOT_RUN = {
  outcome: { passed: 0, failed: [], skipped: [] },
  output: 'not run: there is no build to test\n',
}

async function run({ title, work }: Job, lane: number): Promise<Outcome> {
  const startedAtMs = performance.now()
  const { outcome, output } = await work(lane)
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1)
  say(`\n== ${title}\n${output.trimEnd()}`)
  say(`== ${title}: ${outcome.failed.length === 0 ? 'ok' : 'FAILED'} in ${seconds} s`)
  return outcome
}

/** Works the jobs off, as many beside each other as there are lanes, begun in their order. */
async function runAll(jobs: readonly Job[], lanes: number): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = []
  const queue = [...jobs]
  const works = Array.from({ length: lanes }, async (_, lane) => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      outcomes.push(await run(job, lane))
    }
  })
  await Promise.all(works)
  return outcomes
}

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { fast: { type: 'boolean', default: false } },
  })
  const { unit, endToEnd } = testFiles()
  const { promise: built, resolve: isBuilt } = Promise.withResolvers<boolean>()
  const build = toolJob('build', [BUN, 'scripts/build.ts', '--if-stale'])
  const building: Job = {
    title: build.title,
    work: async (lane) => {
      const done = await build.work(lane)
      isBuilt(done.outcome.failed.length === 0)
      return done
    },
  }
  const checks = [
    toolJob('types', [BUN, 'node_modules/typescript/bin/tsc', '-p', '.']),
    toolJob('lint and format', [BUN, 'node_modules/@biomejs/biome/bin/biome', 'check', '.']),
  ]
  // The long parts come first, so that the lanes end at about the same time.
  const jobs = values.fast
    ? checks
    : [building, ...checks, ...testJobs('end-to-end tests', endToEnd, END_TO_END_FILES, built)]
  const lanes = Math.min(LANES_MAX, availableParallelism())
  const all = [...jobs, ...testJobs('unit tests', unit, UNIT_FILES)]
  say(`${all.length} parts, ${lanes} at a time; what each says is shown when it has ended`)
  const outcomes = await runAll(all, lanes)
  return conclude(outcomes, say)
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`test: ${error instanceof Error ? error.message : error}\n`)
    process.exitCode = 1
  }
}
