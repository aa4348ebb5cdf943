/** `postern reload`: has the running gateway take its files into use, and says what came of it. */
import { askControl } from '../admin/control-client.ts'
import { parseReloadReport, type ReloadReport } from '../admin/report.ts'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { readFlags } from './flags.ts'
import type { Io } from './io.ts'

const OPTIONS = { json: { type: 'boolean' }, socket: { type: 'string' } } as const

/** Plugins are started one after the other, and each may take its time. */
const TIMEOUT_MS = 600_000

const DONE = 0
const REFUSED = 1

/** Exit status 1 where it was refused. Throws CONTROL_UNREACHABLE where no gateway answers. */
export async function reload(argv: readonly string[], io: Io): Promise<number> {
  const { values } = readFlags(argv, OPTIONS)
  const { socket } = values
  const asking = { env: io.env, socket, method: 'POST', timeoutMs: TIMEOUT_MS } as const
  const report = parsed(await askControl('/reload', asking))
  if (values.json) io.out(JSON.stringify(report, null, 2))
  else if (report.outcome === 'done') io.out(doneText(report))
  else io.err(refusedText(report))
  return report.outcome === 'done' ? DONE : REFUSED
}

function parsed(answer: unknown): ReloadReport {
  try {
    return parseReloadReport(answer)
  } catch (cause) {
    const what = `the gateway's answer is not understood (${sentenceOf(cause)})`
    throw new GatewayError('CONTROL_UNREACHABLE', `${what}; is it another version?`)
  }
}

function doneText({ generation, changes, tookMs }: ReloadReport): string {
  const what = changes.length === 0 ? 'nothing is different' : 'different are'
  const lines = changes.map((change) => `  ${change}`)
  return [`reloaded in ${tookMs} ms, generation ${generation}: ${what}`, ...lines].join('\n')
}

function refusedText({ generation, problems }: ReloadReport): string {
  const lines = problems.map((problem) => `  ${problem}`)
  return [`not reloaded, generation ${generation} goes on:`, ...lines].join('\n')
}
