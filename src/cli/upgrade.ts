/** `postern upgrade`: another process takes over from the running gateway; says what came of it. */
import { askControl } from '../admin/control-client.ts'
import { parseUpgradeReport, type UpgradeReport } from '../admin/report.ts'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { readFlags } from './flags.ts'
import type { Io } from './io.ts'

const OPTIONS = { json: { type: 'boolean' }, socket: { type: 'string' } } as const

/** How long it may take is set in the gateway's own file, by upgradeTimeout. */
const TIMEOUT_MS = 3_600_000

const DONE = 0
const REFUSED = 1

/** Exit status 1 where it was refused. Throws CONTROL_UNREACHABLE where no gateway answers. */
export async function upgrade(argv: readonly string[], io: Io): Promise<number> {
  const { values } = readFlags(argv, OPTIONS)
  const { socket } = values
  const asking = { env: io.env, socket, method: 'POST', timeoutMs: TIMEOUT_MS } as const
  const report = parsed(await askControl('/upgrade', asking))
  if (values.json) io.out(JSON.stringify(report, null, 2))
  else if (report.outcome === 'done') io.out(doneText(report))
  else io.err(refusedText(report))
  return report.outcome === 'done' ? DONE : REFUSED
}

function parsed(answer: unknown): UpgradeReport {
  try {
    return parseUpgradeReport(answer)
  } catch (cause) {
    const what = `the gateway's answer is not understood (${sentenceOf(cause)})`
    throw new GatewayError('CONTROL_UNREACHABLE', `${what}; is it another version?`)
  }
}

function doneText({ pid, version, before, tookMs }: UpgradeReport): string {
  const { sessions } = before
  const left = sessions === 1 ? '1 session ends' : `${sessions} sessions end`
  const first = `upgraded in ${tookMs} ms: process ${pid} serves, version ${version}`
  return `${first}\n  process ${before.pid}, version ${before.version}, stays until its ${left}`
}

function refusedText({ before, problems }: UpgradeReport): string {
  const lines = problems.map((problem) => `  ${problem}`)
  return [`not upgraded, process ${before.pid} goes on:`, ...lines].join('\n')
}
