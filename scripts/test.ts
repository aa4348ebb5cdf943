/**
 * The gate: types, lint and format, build, unit tests, end-to-end tests, and one line of counts at
 * the very end. `--fast` is its quick part for every save: no build and nothing end to end.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type FailedTest, readReport, type SkippedTest } from '../test/kit/junit.ts'

const ROOT = resolve(import.meta.dir, '..')
const BUN = process.execPath
/** Of an error that is told again at the end. */
const ERROR_CHARACTERS_MAX = 2000

interface Outcome {
  readonly passed: number
  readonly failed: readonly FailedTest[]
  readonly skipped: readonly SkippedTest[]
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

/** Runs a tool with its output on ours. */
async function runTool(argv: readonly string[]): Promise<number> {
  const child = Bun.spawn([...argv], { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] })
  return await child.exited
}

/** A stage that is one tool and counts as one test. */
async function toolStage(title: string, argv: readonly string[]): Promise<Outcome> {
  return await stage(title, async () => {
    const status = await runTool(argv)
    if (status === 0) return { passed: 1, failed: [], skipped: [] }
    const failed = { file: title, name: argv.join(' '), error: `exit status ${status}, see above` }
    return { passed: 0, failed: [failed], skipped: [] }
  })
}

async function stage(title: string, work: () => Promise<Outcome>): Promise<Outcome> {
  say(`\n== ${title}`)
  const startedAtMs = performance.now()
  const outcome = await work()
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1)
  say(`== ${title}: ${outcome.failed.length === 0 ? 'ok' : 'FAILED'} in ${seconds} s`)
  return outcome
}

/** A stage that is a run of `bun test` over these files, one after the other. */
async function testStage(title: string, files: readonly string[]): Promise<Outcome> {
  return await stage(title, async () => {
    if (files.length === 0) {
      say('no test files')
      return { passed: 0, failed: [], skipped: [] }
    }
    const folder = mkdtempSync(join(tmpdir(), 'postern-report-'))
    const file = join(folder, 'junit.xml')
    try {
      const report = ['--reporter=junit', `--reporter-outfile=${file}`]
      const paths = files.map((path) => `./${path}`)
      const status = await runTool([BUN, 'test', '--timeout=30000', ...report, ...paths])
      return outcomeOf(files, status, existsSync(file) ? readFileSync(file, 'utf8') : '')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
}

/** The report's counts, and a failure for everything that never made it into the report. */
function outcomeOf(files: readonly string[], status: number, xml: string): Outcome {
  const report = readReport(xml)
  const failed = [...report.failed]
  for (const file of files.filter((name) => !report.files.has(name))) {
    failed.push({ file, name: 'all of it', error: 'it did not load, or has no tests' })
  }
  if (status !== 0 && failed.length === 0) {
    const error = `exit status ${status}, though no test has failed`
    failed.push({ file: 'bun test', name: 'its end', error })
  }
  return { passed: report.passed, failed, skipped: report.skipped }
}

interface TestFiles {
  readonly unit: readonly string[]
  readonly endToEnd: readonly string[]
}

/** All test files but the benchmarks, which measure and prove nothing. */
function testFiles(): TestFiles {
  const all = [...new Bun.Glob('test/**/*.test.ts').scanSync({ cwd: ROOT })].sort()
  const kept = all.filter((file) => !file.startsWith('test/bench/'))
  return {
    unit: kept.filter((file) => !file.startsWith('test/e2e/')),
    endToEnd: kept.filter((file) => file.startsWith('test/e2e/')),
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { fast: { type: 'boolean', default: false } },
  })
  const { unit, endToEnd } = testFiles()
  const outcomes = [
    await toolStage('types', [BUN, 'node_modules/typescript/bin/tsc', '-p', '.']),
    await toolStage('lint and format', [
      BUN,
      'node_modules/@biomejs/biome/bin/biome',
      'check',
      '.',
    ]),
  ]
  if (values.fast) {
    outcomes.push(await testStage('unit tests', unit))
  } else {
    const built = await toolStage('build', [BUN, 'scripts/build.ts', '--if-stale'])
    outcomes.push(built, await testStage('unit tests', unit))
    if (built.failed.length === 0) outcomes.push(await testStage('end-to-end tests', endToEnd))
    else say('\nend-to-end tests were not run: there is no build to test')
  }
  return conclude(outcomes)
}

/** Lists who failed and why, who was skipped and why, then the counts, alone on the last line. */
function conclude(outcomes: readonly Outcome[]): number {
  const failed = outcomes.flatMap((outcome) => outcome.failed)
  const skipped = outcomes.flatMap((outcome) => outcome.skipped)
  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0)
  if (failed.length > 0) say('\nFailed:')
  for (const { file, name, error } of failed) {
    const shown = error.trim().slice(0, ERROR_CHARACTERS_MAX)
    say(`  ${file}: ${name}\n${shown.replace(/^/gm, '      ')}`)
  }
  if (skipped.length > 0) say('\nSkipped:')
  for (const { file, name, reason } of skipped) {
    say(`  ${file}: ${name}${reason === null ? ' (no reason in its name)' : ''}`)
  }
  say('')
  say(`${passed} passed, ${failed.length} failed, ${skipped.length} skipped`)
  return failed.length === 0 ? 0 : 1
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`test: ${error instanceof Error ? error.message : error}\n`)
    process.exitCode = 1
  }
}
