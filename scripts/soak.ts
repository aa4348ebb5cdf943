/**
 * The soak: every plugin that comes with the gateway before a real PostgreSQL, an hour long under
 * mixed load. All answers are checked, and memory and descriptors must not grow without end. The
 * samples go to dist/soak/samples.jsonl.
 */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { startPostgres } from '../test/kit/postgres.ts'
import { HELP, readOptions } from '../test/soak/options.ts'
import { recordOf, table, verdictLines } from '../test/soak/report.ts'
import { soak } from '../test/soak/soak.ts'
import { SUBJECTS } from '../test/soak/subjects.ts'

const SAMPLES_FILE = resolve(import.meta.dir, '../dist/soak/samples.jsonl')

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2))
  if (options.help) {
    say(HELP)
    return 0
  }
  const { json } = options
  mkdirSync(dirname(SAMPLES_FILE), { recursive: true })
  writeFileSync(SAMPLES_FILE, '')
  const interruption = new AbortController()
  // The table is worth having of half an hour too.
  process.once('SIGINT', () => interruption.abort())
  await using server = await startPostgres()
  const outcomes = await soak({
    ...options,
    server,
    subjects: SUBJECTS,
    signal: interruption.signal,
    say: json ? () => undefined : say,
    keep: (plugin, sample) =>
      appendFileSync(SAMPLES_FILE, `${JSON.stringify({ plugin, ...sample })}\n`),
  })
  if (json) {
    for (const outcome of outcomes) say(JSON.stringify(recordOf(outcome)))
  } else {
    say(`\n${table(outcomes)}\n\nsamples: ${SAMPLES_FILE}`)
    for (const line of verdictLines(outcomes)) say(line)
  }
  return outcomes.every(({ faults }) => faults.length === 0) ? 0 : 1
}

if (import.meta.main) {
  try {
    process.exitCode = await main()
  } catch (error) {
    process.stderr.write(`soak: ${error instanceof Error ? error.message : error}\n`)
    process.exitCode = 1
  }
}
