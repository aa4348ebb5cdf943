/** `postern plugin test`: runs the cases of a test file against its plugin, without a gateway. */
import { relative } from 'node:path'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { type CaseOutcome, runCases, type StepFailure } from '../trial/cases.ts'
import { diffLines } from '../trial/compare.ts'
import { readTrialFile } from '../trial/file.ts'
import { readFlags } from './flags.ts'
import type { Io } from './io.ts'
import { type Cell, painted, renderTable } from './table.ts'

const PASSED = 0
const FAILED = 1
/** The file cannot be used, so nothing was tried. */
const UNUSABLE = 2

interface FileOutcome {
  readonly file: string
  readonly plugin: string
  readonly cases: readonly CaseOutcome[]
}

/** Exit status 0: all as expected; 1: a case failed; 2: a file cannot be used. */
export async function pluginTest(argv: readonly string[], io: Io): Promise<number> {
  const { values, positionals } = readFlags(argv, { json: { type: 'boolean' } }, 'FILE')
  if (positionals.length === 0) {
    throw new GatewayError('USAGE', 'name a test file: postern plugin test FILE.test.yaml')
  }
  const outcomes: FileOutcome[] = []
  let unusable = false
  for (const path of positionals) {
    try {
      const file = readTrialFile(path, io.env)
      const plugin = relative(process.cwd(), file.module)
      outcomes.push({ file: path, plugin, cases: await runCases(file) })
    } catch (thrown) {
      if (!(thrown instanceof GatewayError)) throw thrown
      unusable = true
      io.err(sentenceOf(thrown))
    }
  }
  if (values.json) io.out(JSON.stringify(asJson(outcomes, unusable), null, 2))
  else for (const outcome of outcomes) io.out(outcomeText(outcome, io.colour))
  if (unusable) return UNUSABLE
  return outcomes.every(({ cases }) => cases.every(hasPassed)) ? PASSED : FAILED
}

function hasPassed({ failures }: CaseOutcome): boolean {
  return failures.length === 0
}

function asJson(outcomes: readonly FileOutcome[], unusable: boolean) {
  const files = outcomes.map((outcome) => ({
    ...outcome,
    cases: outcome.cases.map((one) => ({ ...one, passed: hasPassed(one) })),
  }))
  const passed = !unusable && files.every(({ cases }) => cases.every((one) => one.passed))
  return { passed, files }
}

function outcomeText({ file, plugin, cases }: FileOutcome, colours: boolean): string {
  const rows = cases.map((one): readonly Cell[] => [
    one.name,
    one.steps,
    hasPassed(one) ? { text: 'passed', colour: 'green' } : { text: 'failed', colour: 'red' },
  ])
  const failed = cases.filter((one) => !hasPassed(one))
  const details = failed.flatMap((one) => [
    '',
    `${one.name}: ${painted({ text: 'failed', colour: 'red' }, colours)}`,
    ...one.failures.flatMap((failure) => failureLines(file, failure, colours)),
  ])
  const count = cases.length === 1 ? '1 case' : `${cases.length} cases`
  const end = failed.length === 0 ? `${count}, all passed` : `${count}, ${failed.length} failed`
  const head = `${file}: ${plugin}`
  return [head, renderTable(['CASE', 'STEPS', 'RESULT'], rows, colours), ...details, end].join('\n')
}

function failureLines(
  file: string,
  { step, line, doing, differences, reasons }: StepFailure,
  colours: boolean,
): readonly string[] {
  const what = step === 0 ? doing : `step ${step}, ${doing}`
  return [
    `  ${file}:${line}: ${what}`,
    ...reasons.map((reason) => `    ${reason}`),
    ...differences.flatMap((difference) => [
      `    ${difference.what} (- expected, + found)`,
      ...diffLines(difference).map((one) => `      ${tinted(one, colours)}`),
    ]),
  ]
}

function tinted(line: string, colours: boolean): string {
  if (line.startsWith('- ')) return painted({ text: line, colour: 'red' }, colours)
  return line.startsWith('+ ') ? painted({ text: line, colour: 'green' }, colours) : line
}
