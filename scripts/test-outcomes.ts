/** What came of the parts of the gate, and how it is told at the end. */
import type { FailedTest, SkippedTest, TestReport } from '../test/kit/junit.ts'
import { ROOT } from './test-runs.ts'

/** Of an error that is told again at the end. */
const ERROR_CHARACTERS_MAX = 2000

export interface Outcome {
  readonly passed: number
  readonly failed: readonly FailedTest[]
  readonly skipped: readonly SkippedTest[]
}

export interface TestFiles {
  readonly unit: readonly string[]
  readonly endToEnd: readonly string[]
}

/** All test files but the benchmarks, which measure and prove nothing. */
export function testFiles(): TestFiles {
  const all = [...new Bun.Glob('test/**/*.test.ts').scanSync({ cwd: ROOT })].sort()
  const kept = all.filter((file) => !file.startsWith('test/bench/'))
  return {
    unit: kept.filter((file) => !file.startsWith('test/e2e/')),
    endToEnd: kept.filter((file) => file.startsWith('test/e2e/')),
  }
}

/** A tool counts as one test. */
export function outcomeOfTool(title: string, argv: readonly string[], status: number): Outcome {
  if (status === 0) return { passed: 1, failed: [], skipped: [] }
  const failed = { file: title, name: argv.join(' '), error: `exit status ${status}, see above` }
  return { passed: 0, failed: [failed], skipped: [] }
}

/** The report's counts, and a failure for everything that never made it into the report. */
export function outcomeOfTests(
  files: readonly string[],
  status: number,
  report: TestReport,
): Outcome {
  const failed = [...report.failed]
  for (const file of files.filter((name) => !report.files.has(name))) {
    failed.push({ file, name: 'all of it', error: 'it did not load, or has no tests' })
  }
  if (status !== 0 && failed.length === 0) {
    const error = `exit status ${status}, though no test has failed`
    failed.push({ file: files.join(' '), name: 'its end', error })
  }
  return { passed: report.passed, failed, skipped: report.skipped }
}

/** Lists who failed and why, who was skipped and why, then the counts, alone on the last line. */
export function conclude(outcomes: readonly Outcome[], say: (line: string) => void): number {
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
