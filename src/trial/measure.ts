/** How long the hooks of a plugin take, how much memory its instance has, what fuel it burns. */
import { pino } from 'pino'
import { HOOKS, type HookName } from '../hooks/hook.ts'
import type { SessionFacts } from '../hooks/step.ts'
import { createMeter } from '../metrics/meter.ts'
import type { Plugin, PluginSpec } from '../plugins/plugin.ts'
import { createWasmPlugin } from '../plugins/wasm/plugin.ts'
import { message } from '../protocols/postgres/messages.ts'
import { backendTag, frontendTag } from '../protocols/postgres/tags.ts'
import type { TrialFile } from './file.ts'
import { readableMessages, readableRaw, type Side } from './messages.ts'

/** One hook on one input. */
export interface Measured {
  readonly hook: HookName
  /** What it was given: the name of a message, or `parameters`. */
  readonly input: string
  readonly bytes: number
  /** Median over the rounds, of one call in microseconds. */
  readonly micros: number
  /** Instructions that one call took, about. */
  readonly fuel: number
  /** The memory of the instance afterwards, in bytes. */
  readonly memoryBytes: number
  readonly calls: number
  /** Why the plugin failed, or "". */
  readonly failure: string
}

interface Input {
  readonly name: string
  readonly bytes: Uint8Array
}

const SIZES = [100, 1024, 1024 * 1024]
const ROUNDS = 7
/** A round takes so long, about, and has at least one call. */
const ROUND_MS = 15
const CALLS_MAX = 20_000
const WARM_CALLS = 200
const WARM_MS = 50
/** Messages of a test file that are measured, each once. */
const INPUTS_MAX = 50
const HEADER_BYTES = 5

const SIDES: Readonly<Partial<Record<HookName, Side>>> = {
  onTrafficFromClient: 'client',
  onTrafficToServer: 'client',
  onTrafficFromServer: 'server',
  onTrafficToClient: 'server',
}

/** A statement, or a row, of about this many bytes. */
function filler(length: number): Uint8Array {
  const head = 'select name, balance from accounts where id in (1'
  const more = ', 1234567'.repeat(Math.ceil(length / 9))
  const cut = `${head}${more}`.slice(0, Math.max(0, length - 1))
  return new TextEncoder().encode(`${cut})`)
}

const NUL = Uint8Array.of(0)

function bodyNamed(name: string, length: number): Uint8Array {
  if (name === 'Query') return Buffer.concat([filler(length - 1), NUL])
  if (name === 'Parse') return Buffer.concat([NUL, filler(length - 4), NUL, NUL, NUL])
  if (name !== 'DataRow') return filler(length)
  const head = Buffer.alloc(6)
  head.writeInt16BE(1, 0)
  head.writeInt32BE(length - head.length, 2)
  return Buffer.concat([head, filler(length - head.length)])
}

/** Messages of three sizes, of the kind that the hook asks for. */
function madeInputs(side: Side, wanted: readonly string[] | null): readonly Input[] {
  const known = side === 'client' ? ['Query', 'Parse'] : ['DataRow']
  const name = known.find((one) => wanted?.includes(one) ?? true) ?? wanted?.[0] ?? known[0] ?? ''
  const tag = (side === 'client' ? frontendTag(name) : backendTag(name)) ?? 0
  return SIZES.map((size) => ({
    name,
    bytes: message(tag, bodyNamed(name, size - HEADER_BYTES)),
  }))
}

/** The messages that a test file sends, those alike once. */
function fileInputs(
  file: TrialFile,
  side: Side,
  tags: ReadonlySet<number> | null,
): readonly Input[] {
  const found = new Map<string, Input>()
  for (const { steps } of file.cases) {
    for (const { doing } of steps) {
      if (doing.kind !== 'send' || doing.side !== side) continue
      for (const bytes of doing.messages) {
        if (tags !== null && !tags.has(bytes[0] ?? -1)) continue
        const shown = file.protocol === 'raw' ? [readableRaw(bytes)] : readableMessages(bytes, side)
        const [first = ''] = shown
        const name = typeof first === 'string' ? first : (Object.keys(first ?? {})[0] ?? '')
        const key = Buffer.from(bytes).toString('latin1')
        if (found.size < INPUTS_MAX) found.set(key, { name, bytes })
      }
    }
  }
  return [...found.values()]
}

function session(file: TrialFile | null): SessionFacts {
  const facts = file?.cases[0]?.connections.values().next().value
  return {
    id: 'bench-1',
    client: { local: '127.0.0.1:15432', remote: facts?.client ?? '127.0.0.1:50000' },
    server: { local: '127.0.0.1:50001', remote: '127.0.0.1:5432' },
    group: 'default',
    block: 'writes',
    protocol: file?.protocol ?? 'postgres',
    tls: null,
    user: facts?.user ?? 'postgres',
    database: facts?.database ?? 'postgres',
    applicationName: facts?.applicationName ?? '',
    lastRequest: new Uint8Array(0),
    memory: new Map(),
  }
}

/** Calls a hook once; the sentence of a failure, or "". */
type Call = (bytes: Uint8Array) => string | Promise<string>

function verdictText(verdict: { readonly kind: string; readonly cause?: string }): string {
  return verdict.kind === 'failure' ? (verdict.cause ?? 'it failed') : ''
}

function callOf(plugin: Plugin, hook: HookName, facts: SessionFacts): Call | null {
  const { steps } = plugin
  const carried = { fields: null, about: null }
  const traffic =
    hook === 'onTrafficFromClient' || hook === 'onTrafficFromServer' ? steps[hook] : undefined
  if (traffic !== undefined) {
    return (bytes) => {
      const verdict = traffic.decide(facts, bytes, carried)
      return verdict instanceof Promise ? verdict.then(verdictText) : verdictText(verdict)
    }
  }
  if (hook === 'onOpening') {
    return () => {
      const verdict = steps.onOpening?.decide(facts) ?? { kind: 'continue' as const }
      return verdict instanceof Promise ? verdict.then(verdictText) : verdictText(verdict)
    }
  }
  const row = HOOKS.find(({ name }) => name === hook)
  const observer = row?.kind === 'observes' ? steps.observers[row.name] : undefined
  if (observer === undefined) return null
  const outcome = (told: boolean): string => (told ? '' : plugin.status().lastError)
  const isOfSession = SIDES[hook] !== undefined || /^on(Open|Clos|Traffic)/.test(hook)
  return (bytes) => {
    const event = { session: isOfSession ? facts : null, bytes, request: null, params: {} }
    const told = observer.tell(event)
    return told instanceof Promise ? told.then(outcome) : outcome(told)
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

async function measure(
  plugin: Plugin,
  hook: HookName,
  { name, bytes }: Input,
  call: Call,
): Promise<Measured> {
  const { consumption } = plugin.sandbox!
  const run = async (count: number, forMs: number): Promise<{ calls: number; tookMs: number }> => {
    const startedAt = performance.now()
    let calls = 0
    do {
      const failure = call(bytes)
      const text = failure instanceof Promise ? await failure : failure
      if (text !== '') throw new Error(text)
      calls += 1
    } while (calls < count && performance.now() - startedAt < forMs)
    return { calls, tookMs: performance.now() - startedAt }
  }
  const rounds: number[] = []
  let calls = 0
  let failure = ''
  let fuelBefore = 0
  try {
    const warm = await run(WARM_CALLS, WARM_MS)
    fuelBefore = consumption.fuel
    const each = warm.tookMs / warm.calls
    const count = Math.max(1, Math.min(CALLS_MAX, Math.round(ROUND_MS / each)))
    for (let round = 0; round < ROUNDS; round++) {
      const done = await run(count, Number.POSITIVE_INFINITY)
      rounds.push((done.tookMs / done.calls) * 1000)
      calls += done.calls
    }
  } catch (thrown) {
    failure = thrown instanceof Error ? thrown.message : String(thrown)
  }
  const fuel = calls === 0 ? 0 : Math.round((consumption.fuel - fuelBefore) / calls)
  const { memoryBytes } = plugin.sandbox!
  const micros = median(rounds)
  return { hook, input: name, bytes: bytes.length, micros, fuel, memoryBytes, calls, failure }
}

/** Instances of one plugin, and what there is to be measured. */
export interface MeasureOptions {
  readonly spec: PluginSpec
  /** Its messages are measured; null: made ones of three sizes. */
  readonly file: TrialFile | null
}

function inputsOf(plugin: Plugin, hook: HookName, file: TrialFile | null): readonly Input[] {
  const side = SIDES[hook]
  if (side === undefined) return [{ name: 'parameters', bytes: new Uint8Array(0) }]
  const { steps } = plugin
  const step =
    hook === 'onTrafficFromClient' || hook === 'onTrafficFromServer'
      ? steps[hook]
      : steps.observers[hook === 'onTrafficToServer' ? hook : 'onTrafficToClient']
  const messages = step?.messages ?? null
  if (file === null) return madeInputs(side, messages)
  const tagOf = side === 'client' ? frontendTag : backendTag
  const tags = messages?.map((name) => tagOf(name) ?? -1) ?? null
  return fileInputs(file, side, tags === null ? null : new Set(tags))
}

/** Each hook has an instance of its own, so that none pays for what another has left. */
export async function measurePlugin({ spec, file }: MeasureOptions): Promise<readonly Measured[]> {
  const rows: Measured[] = []
  // Lines are made and thrown away: what they cost a gateway is part of what a hook costs.
  const log = pino({ level: 'info' }, { write: () => undefined })
  const start = async (): Promise<Plugin> => {
    const plugin = createWasmPlugin(spec, {
      log,
      meter: createMeter(),
      dev: true,
      runFolder: () => {
        throw new Error('a WebAssembly plugin needs no folder')
      },
    })
    await plugin.start()
    return plugin
  }
  const first = await start()
  const hooks = HOOKS.map(({ name }) => name).filter((name) => first.manifest?.hooks.includes(name))
  await first.stop()
  for (const hook of hooks) {
    const plugin = await start()
    try {
      const call = callOf(plugin, hook, session(file))
      if (call === null) continue
      for (const input of inputsOf(plugin, hook, file)) {
        rows.push(await measure(plugin, hook, input, call))
      }
    } finally {
      await plugin.stop()
    }
  }
  return rows
}
