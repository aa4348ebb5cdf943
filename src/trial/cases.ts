/** Runs the cases of a test file, each on a new instance, and says what was not as expected. */
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { assembleDesk, assembleHooks } from '../chains.ts'
import { hookNamed, type ObservingHook } from '../hooks/hook.ts'
import type { ObserverDesk } from '../hooks/observers.ts'
import { HookTally } from '../hooks/tally.ts'
import { POSTGRES } from '../protocols/postgres/postgres.ts'
import { RAW } from '../protocols/raw.ts'
import type { ServiceHooks } from '../tcp/surroundings.ts'
import { type Readable, type ReadableMap, readableBytes } from './bytes.ts'
import { type Difference, differenceOf } from './compare.ts'
import { TrialConnection } from './connection.ts'
import type { Expectation, ExpectedVerdict } from './expectation.ts'
import type { Doing, HookCall, TrialCase, TrialFile, TrialStep } from './file.ts'
import { asReadable, type Happened, Happenings, type Noted } from './happenings.ts'
import { readableMessages, readableRaw, type Side } from './messages.ts'
import { type Subject, startSubject, TrialClock } from './subject.ts'

/** A step that was not as expected. */
export interface StepFailure {
  /** Counted from 1; 0: before the first. */
  readonly step: number
  readonly line: number
  /** What was done, in a few words. */
  readonly doing: string
  readonly differences: readonly Difference[]
  /** What went wrong beside that, as sentences. */
  readonly reasons: readonly string[]
}

export interface CaseOutcome {
  readonly name: string
  readonly line: number
  readonly steps: number
  readonly failures: readonly StepFailure[]
}

const OBSERVERS_QUEUED_MAX = 10_000
const OF_SESSIONS: ReadonlySet<string> = new Set(['onOpened', 'onTraffic', 'onClosing', 'onClosed'])

/** One case while it runs. */
interface Stage {
  readonly file: TrialFile
  readonly subject: Subject
  readonly clock: TrialClock
  readonly happenings: Happenings
  readonly hooks: ServiceHooks
  readonly desk: ObserverDesk
  readonly connectionOf: (name: string) => TrialConnection
}

/** All cases, one after the other. */
export async function runCases(file: TrialFile): Promise<readonly CaseOutcome[]> {
  const outcomes: CaseOutcome[] = []
  for (const one of file.cases) outcomes.push(await runCase(file, one))
  return outcomes
}

async function runCase(file: TrialFile, one: TrialCase): Promise<CaseOutcome> {
  const { name, line, steps, config } = one
  const happenings = new Happenings()
  const clock = new TrialClock(file.nowMs)
  let subject: Subject
  try {
    subject = await startSubject({ ...file, config }, happenings, clock)
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown
    if (thrown.code === 'PLUGIN_FILE') throw thrown
    const reasons = [`the plugin does not start: ${sentenceOf(thrown)}`]
    const failure = { step: 0, line, doing: 'start', differences: [], reasons }
    return { name, line, steps: steps.length, failures: [failure] }
  }
  try {
    const stage = stageOf(file, one, subject, happenings, clock)
    const failures: StepFailure[] = []
    for (const [at, step] of steps.entries()) {
      const failure = await runStep(stage, step, at + 1)
      if (failure !== null) failures.push(failure)
    }
    return { name, line, steps: steps.length, failures }
  } finally {
    await subject.plugin.stop()
  }
}

function stageOf(
  file: TrialFile,
  one: TrialCase,
  subject: Subject,
  happenings: Happenings,
  clock: TrialClock,
): Stage {
  const { plugin } = subject
  const registry = { plugins: [plugin], placed: [{ plugin, spec: plugin.spec }] }
  // What the tally would log are failures, and those are told by themselves.
  const tally = new HookTally(happenings.log.child({}, { level: 'silent' }))
  const desk = assembleDesk(registry, OBSERVERS_QUEUED_MAX, tally)
  const named = (block: string): string | undefined =>
    file.blocks.length === 0 || file.blocks.includes(block) ? block : undefined
  const protocol = file.protocol === 'raw' ? RAW : POSTGRES
  const hooks = assembleHooks(protocol, { named }, { registry, desk, tally })
  const connections = new Map<string, TrialConnection>()
  const connectionOf = (name: string): TrialConnection => {
    const known = connections.get(name)
    const facts = one.connections.get(name)
    if (known !== undefined) return known
    if (facts === undefined) throw new Error(`no connection ${name}`)
    const made = new TrialConnection({
      id: `test-${connections.size + 1}`,
      facts,
      protocol: file.protocol,
      hooks,
      happenings,
      blockFlaw: (block) => (named(block) === undefined ? `there is no block "${block}"` : null),
    })
    connections.set(name, made)
    return made
  }
  return { file, subject, clock, happenings, hooks, desk, connectionOf }
}

async function runStep(stage: Stage, step: TrialStep, number: number): Promise<StepFailure | null> {
  const { happenings, subject } = stage
  const connection = stage.connectionOf(step.on)
  const { doing, expect } = step
  const opens = doing.kind === 'call' && doing.hook === 'onOpening'
  if (doing.kind === 'send') await connection.begin(doing.messages[0] ?? null)
  else if (doing.kind === 'call' && !opens && OF_SESSIONS.has(doing.hook)) await connection.open()
  // A login that nobody spelled out is part of no step, but for what went wrong in it.
  const before = happenings.take()
  const kept = { kv: keptBy(subject), session: keptWith(connection, subject) }
  await act(stage, connection, doing)
  const happened = happenings.take()
  const changed = {
    kv: changesOf(kept.kv, keptBy(subject)),
    session: changesOf(kept.session, keptWith(connection, subject)),
  }
  const side = doing.kind === 'send' ? doing.side : 'client'
  const differences = compared(expect, happened, changed, {
    side,
    raw: stage.file.protocol === 'raw',
  })
  const reasons = [
    ...[...before.faults, ...failuresIn(before.verdicts)].map((why) => `before the step: ${why}`),
    ...happened.faults,
    ...(expect.verdicts?.some(({ kind }) => kind === 'failure')
      ? []
      : failuresIn(happened.verdicts)),
    ...notAsked(expect, happened, stage),
  ]
  if (differences.length === 0 && reasons.length === 0) return null
  return { step: number, line: step.line, doing: doingText(doing, stage), differences, reasons }
}

async function act(stage: Stage, connection: TrialConnection, doing: Doing): Promise<void> {
  switch (doing.kind) {
    case 'send':
      return connection.send(doing.side, doing.messages)
    case 'now':
      return stage.clock.set(doing.ms)
    case 'wait':
      return stage.clock.pass(doing.ms)
    case 'call':
      return call(stage, connection, doing)
  }
}

async function call(
  { subject, desk, happenings }: Stage,
  connection: TrialConnection,
  { hook, params }: HookCall,
): Promise<void> {
  const { steps, manifest } = subject.plugin
  if (manifest?.hooks.includes(hook) !== true) {
    happenings.fault(`the plugin has no ${hook}; it has ${manifest?.hooks.join(', ')}`)
    return
  }
  if (hook === 'onOpening') return connection.open()
  if (hook === 'onConfigLoaded' || hook === 'onRun') {
    await steps[hook]?.decide(params)
    return
  }
  if (hookNamed(hook)?.kind !== 'observes') return
  const observing = hook as ObservingHook
  if (OF_SESSIONS.has(hook)) connection.line?.tell(observing, params)
  else await desk.tell(observing, params)
  await desk.quiet()
}

function keptBy({ store }: Subject): ReadonlyMap<string, Uint8Array> {
  return new Map(store.entries())
}

function keptWith(
  { facts }: TrialConnection,
  { plugin }: Subject,
): ReadonlyMap<string, Uint8Array> {
  return new Map(facts.memory.get(plugin.name))
}

/** Keys with other values than before; those that are gone are `{ deleted: true }`. */
function changesOf(
  before: ReadonlyMap<string, Uint8Array>,
  after: ReadonlyMap<string, Uint8Array>,
): ReadableMap {
  const changes: Record<string, Readable> = {}
  for (const [key, value] of after) {
    const old = before.get(key)
    if (old === undefined || Buffer.compare(old, value) !== 0) changes[key] = readableBytes(value)
  }
  for (const key of before.keys()) if (!after.has(key)) changes[key] = { deleted: 'true' }
  return changes
}

function failuresIn(verdicts: readonly Noted[]): readonly string[] {
  return verdicts.flatMap(({ verdict }) => (verdict.kind === 'failure' ? [verdict.cause] : []))
}

/** Why a plugin that was to say something was not asked: the most frequent slip in a test. */
function notAsked({ verdicts }: Expectation, happened: Happened, stage: Stage): readonly string[] {
  if (verdicts === null || verdicts.length === 0 || happened.verdicts.length > 0) return []
  const { onTrafficFromClient, onTrafficFromServer } = stage.subject.plugin.steps
  const wanted = [
    ['onTrafficFromClient', onTrafficFromClient] as const,
    ['onTrafficFromServer', onTrafficFromServer] as const,
  ].flatMap(([hook, step]) =>
    step === undefined ? [] : [`${hook} of ${step.messages?.join(', ') ?? 'every message'}`],
  )
  const all = wanted.length === 0 ? 'no traffic that it decides about' : wanted.join(' and ')
  return [`the plugin was not asked; its manifest asks for ${all}`]
}

interface Reading {
  readonly side: Side
  readonly raw: boolean
}

function shown(bytes: Uint8Array, side: Side, { raw }: Reading): readonly Readable[] {
  if (bytes.length === 0) return []
  return raw ? [readableRaw(bytes)] : readableMessages(bytes, side)
}

function foundVerdict({ hook, verdict }: Noted, reading: Reading): ReadableMap {
  const side = hook === 'onTrafficFromServer' ? 'server' : 'client'
  switch (verdict.kind) {
    case 'replace':
      return { replace: shown(verdict.bytes, side, reading) }
    case 'respond':
      return { respond: shown(verdict.bytes, 'server', reading) }
    case 'close':
      return { close: shown(verdict.bytes ?? new Uint8Array(0), 'server', reading) }
    case 'deny': {
      const { kind: _kind, ...refusal } = verdict
      return { deny: asReadable(refusal) }
    }
    case 'route':
      return { route: verdict.block }
    case 'merge':
      return { merge: asReadable(verdict.changes) }
    case 'failure':
      return { failure: verdict.cause }
    case 'continue':
      return { continue: null }
  }
}

/** A verdict as files write it: its name alone where nothing is said of the rest. */
function asWritten(verdict: ReadableMap, expected: ExpectedVerdict | undefined): Readable {
  const [kind = ''] = Object.keys(verdict)
  const isBare = verdict[kind] === null || (expected?.kind === kind && expected.body === null)
  return isBare ? kind : verdict
}

function compared(
  expect: Expectation,
  happened: Happened,
  changed: { readonly kv: ReadableMap; readonly session: ReadableMap },
  reading: Reading,
): readonly Difference[] {
  const verdicts = happened.verdicts.map((noted, at) =>
    asWritten(foundVerdict(noted, reading), expect.verdicts?.[at]),
  )
  const expected =
    expect.verdicts?.map(({ kind, body }) => (body === null ? kind : { [kind]: body })) ?? null
  const lists: readonly (readonly [string, readonly Readable[] | null, readonly Readable[]])[] = [
    ['verdict', expected, verdicts],
    ['log', expect.log, happened.log],
    ['signals', expect.signals, happened.signals],
    ['toServer', expect.toServer, shown(happened.toServer, 'client', reading)],
    ['toClient', expect.toClient, shown(happened.toClient, 'server', reading)],
  ]
  const maps: readonly (readonly [string, Expectation['kv'], ReadableMap])[] = [
    ['metrics', expect.metrics, happened.metrics],
    ['kv', expect.kv, changed.kv],
    ['session', expect.session, changed.session],
  ]
  return [
    ...lists.map(([what, wanted, found]) =>
      wanted === null ? null : differenceOf(what, wanted, found),
    ),
    ...maps.map(([what, wanted, found]) => {
      if (wanted === null) return null
      if (wanted !== 'none') return differenceOf(what, wanted, found)
      return Object.keys(found).length === 0 ? null : { what, expected: {}, found }
    }),
  ].filter((difference) => difference !== null)
}

const DOING_CHARS_MAX = 60

function doingText(doing: Doing, { file }: Stage): string {
  switch (doing.kind) {
    case 'send': {
      const bytes = new Uint8Array(Buffer.concat(doing.messages))
      const names = shown(bytes, doing.side, {
        side: doing.side,
        raw: file.protocol === 'raw',
      }).map((one) => (typeof one === 'string' ? one : Object.keys(one ?? {})[0]))
      const text = `${doing.side} ${names.join(', ')}`
      return text.length > DOING_CHARS_MAX ? `${text.slice(0, DOING_CHARS_MAX)}…` : text
    }
    case 'call':
      return `hook ${doing.hook}`
    case 'now':
    case 'wait':
      return doing.kind
  }
}
