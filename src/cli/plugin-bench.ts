/** `postern plugin bench`: how long the hooks of a plugin take, what memory and fuel they use. */
import { relative } from 'node:path'
import { GatewayError } from '../base/errors.ts'
import { DEFAULT_LIMITS } from '../plugins/limits.ts'
import { runtimeOf } from '../plugins/registry.ts'
import { readTrialFile } from '../trial/file.ts'
import { type Measured, measurePlugin } from '../trial/measure.ts'
import { trialSpec } from '../trial/subject.ts'
import { readFlags } from './flags.ts'
import type { Io } from './io.ts'
import { renderTable } from './table.ts'

const DONE = 0
const FAILED = 1

/** Exit status 1 where a hook failed. */
export async function pluginBench(argv: readonly string[], io: Io): Promise<number> {
  const { values, positionals } = readFlags(argv, { json: { type: 'boolean' } }, 'FILE')
  const [path, ...others] = positionals
  if (path === undefined || others.length > 0) {
    const cure = 'postern plugin bench FILE, a .wasm or a test file'
    throw new GatewayError('USAGE', `name one file: ${cure}`)
  }
  const file =
    runtimeOf(path) === 'wasm' || path.endsWith('.wasm') ? null : readTrialFile(path, io.env)
  const module = file?.module ?? path
  const limits = file?.limits ?? DEFAULT_LIMITS
  const spec = trialSpec({
    module,
    config: file?.cases[0]?.config ?? {},
    onFailure: 'open',
    // Nothing waits beside it here, so it may have the whole of the time.
    limits: { ...limits, cpuShareMax: 100 },
  })
  const rows = await measurePlugin({ spec, file })
  const plugin = relative(process.cwd(), module)
  if (values.json) io.out(JSON.stringify({ plugin, rows }, null, 2))
  else io.out(benchText(plugin, rows, io.colour))
  return rows.every(({ failure }) => failure === '') ? DONE : FAILED
}

const KIB = 1024

/** The table for people. */
export function benchText(plugin: string, rows: readonly Measured[], colours: boolean): string {
  if (rows.length === 0) return `${plugin}: it has no hooks that can be measured`
  const heads = ['HOOK', 'INPUT', 'BYTES', 'µs A CALL', 'FUEL A CALL', 'MEMORY KiB', 'CALLS']
  const cells = rows.map((row) => [
    row.hook,
    row.input,
    row.bytes,
    row.failure === ''
      ? Number(row.micros.toPrecision(3))
      : { text: 'failed', colour: 'red' as const },
    row.fuel,
    Math.ceil(row.memoryBytes / KIB),
    row.calls,
  ])
  const failures = rows
    .filter(({ failure }) => failure !== '')
    .map(({ input, bytes, failure }) => `failed on ${input} of ${bytes} bytes: ${failure}`)
  return [`${plugin}: medians of 7 rounds`, renderTable(heads, cells, colours), ...failures].join(
    '\n',
  )
}
