/** What one call of a hook costs: the whole step, the bare guest, and the guest without a meter. */
import type { FromClientStep } from '../../src/hooks/step.ts'
import { DEFAULT_LIMITS } from '../../src/plugins/limits.ts'
import { FUEL_GRANT, METER_MODULE, meter } from '../../src/plugins/wasm/meter.ts'
import { createWasmPlugin } from '../../src/plugins/wasm/plugin.ts'
import {
  carried,
  makeScene,
  makeSession,
  makeSpec,
  query,
  readBytes,
} from '../fixtures/wasm/kit.ts'
import { WORDS } from '../fixtures/wasm/words.ts'
import type { Figure } from './hooks-figure.ts'
import { median } from './report.ts'

const ROUNDS = 9
/** One round of each figure lasts about so long. */
const ROUND_MS = 60
const WARM_UP_MS = 400
const KIB = 1024

/** A statement that is scanned to its end, of so many bytes. */
function statement(bytes: number): Uint8Array {
  const words = "select a, b_2 from table_of_things where d = 1 and t <> 'x' "
  return query(words.repeat(Math.ceil(bytes / words.length)).slice(0, bytes - 6))
}

/** Runs for about so long; microseconds of one run. */
function microsOf(run: () => void, forMs: number): number {
  let runs = 0
  let batch = 1
  const startedAt = performance.now()
  for (;;) {
    for (let left = batch; left > 0; left--) run()
    runs += batch
    const spent = performance.now() - startedAt
    if (spent >= forMs) return (spent * 1000) / runs
    batch = Math.min(batch * 2, 10_000)
  }
}

/** Each run's medians over rounds in which all take turns. */
function interleaved(runs: readonly (() => void)[]): readonly number[] {
  for (const run of runs) microsOf(run, WARM_UP_MS)
  const rounds = Array.from({ length: ROUNDS }, () => runs.map((run) => microsOf(run, ROUND_MS)))
  return runs.map((_, at) => median(rounds.map((round) => round[at]!)))
}

/** A plugin's step, which may take all of the loop. */
async function stepOf(path: string): Promise<FromClientStep> {
  const limits = { ...DEFAULT_LIMITS, cpuShareMax: 100 }
  const { surroundings } = makeScene({ level: 'silent' })
  const plugin = createWasmPlugin(makeSpec(path, { limits }), surroundings)
  await plugin.start()
  const step = plugin.steps.onTrafficFromClient
  if (step === undefined) throw new Error(`${path} judges no statements`)
  return step
}

function wholeStep(step: FromClientStep, bytes: Uint8Array): () => void {
  const session = makeSession()
  const context = carried()
  return () => {
    const verdict = step.decide(session, bytes, context)
    if (verdict instanceof Promise || verdict.kind !== 'continue') {
      throw new Error('the step does not let the statement pass')
    }
  }
}

type Scan = (pointer: number, length: number) => unknown

/** The hook of an instance by itself, its input already in place. */
async function bareCall(
  bytes: Uint8Array<ArrayBuffer>,
  imports: readonly { readonly module: string; readonly name: string }[],
  input: Uint8Array,
): Promise<() => void> {
  const granted: Record<string, Record<string, () => number>> = {
    [METER_MODULE]: { refuel: () => FUEL_GRANT },
  }
  // No words: the guest scans everything and finds nothing.
  for (const { module, name } of imports) {
    granted[module] = { ...granted[module], [name]: () => 0 }
  }
  const { instance } = await WebAssembly.instantiate(bytes, granted)
  const { memory, postern_alloc: allocate, on_traffic_from_client: scan } = instance.exports
  if (!(memory instanceof WebAssembly.Memory)) throw new Error('no memory')
  if (!isFunction(allocate) || !isFunction(scan)) throw new Error('no direct form')
  const pointer = Number(allocate(input.length, 0))
  new Uint8Array(memory.buffer).set(input, pointer)
  return () => void scan(pointer, input.length)
}

function isFunction(value: unknown): value is Scan {
  return typeof value === 'function'
}

async function measureDirect(
  language: string,
  path: string,
  sizes: readonly (readonly [name: string, bytes: number, mostMicros: number])[],
): Promise<Figure[]> {
  const whole = new Uint8Array(readBytes(path))
  const metered = meter(whole, path, {
    memoryPagesMax: 1024,
    tableElementsMax: DEFAULT_LIMITS.tableElementsMax,
    moduleBytesMax: DEFAULT_LIMITS.moduleBytesMax,
  })
  const figures: Figure[] = []
  for (const [size, bytes, most] of sizes) {
    const input = statement(bytes)
    const [step, bare, unmetered] = interleaved([
      wholeStep(await stepOf(path), input),
      await bareCall(metered.bytes, metered.shape.imports, input),
      await bareCall(whole, metered.shape.imports, input),
    ])
    const name = `${language}, ${size}`
    figures.push(
      { name: `${name}: step`, value: step!, unit: 'µs', most },
      { name: `${name}: guest alone`, value: bare!, unit: 'µs', most: null },
      { name: `${name}: guest without the meter`, value: unmetered!, unit: 'µs', most: null },
      { name: `${name}: metered / not`, value: bare! / unmetered!, unit: '×', most: 1.4 },
    )
  }
  return figures
}

const SIZES = [
  ['100 B', 100, 1],
  ['1 KiB', KIB, 4],
  ['1 MiB', KIB * KIB, 4000],
] as const
const PDK_KIB_MICROS_MAX = 25

/** All plugins that scan for words, over all sizes. */
export async function measureCalls(): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  for (const { language, form, path } of WORDS) {
    if (form === 'direct') {
      figures.push(...(await measureDirect(language, await path(), SIZES)))
      continue
    }
    const [value] = interleaved([wholeStep(await stepOf(await path()), statement(KIB))])
    figures.push({
      name: `${language}, 1 KiB: step`,
      value: value!,
      unit: 'µs',
      most: PDK_KIB_MICROS_MAX,
    })
  }
  return figures
}
