/** What a plugin reports beside its result, and what comes of it by the operator's policies. */
import type { Policies } from '../../config/policies.ts'
import type { Route } from '../../hooks/verdict.ts'
import { type Level, type LogRecord, levelNamed } from './log.ts'
import { isStruct, type Struct, type Value } from './struct.ts'

/** What a plugin reports, for a policy of the same name to rule on. */
export interface Signal {
  readonly name: string
  readonly metadata: Struct
}

/** Log signals of one result that are written; what is to be ended is ended however many come. */
export const LOGS_MAX = 64

const NONE: readonly Signal[] = []

/** Signals that something can be done about; nothing comes of the first one. */
const KNOWN: readonly string[] = ['passthrough', 'terminate', 'log', 'route']

/** The named signals of a result. */
export function signalsOf(result: Struct): readonly Signal[] {
  const listed = result['__signals__']
  if (!Array.isArray(listed)) return NONE
  return listed.flatMap((signal: Value) => {
    if (!isStruct(signal)) return []
    const { name, metadata } = signal
    if (typeof name !== 'string' || name === '') return []
    return [{ name, metadata: isStruct(metadata) ? metadata : {} }]
  })
}

/** The names that nobody knows, for the log. */
export function unknownOf(signals: readonly Signal[]): readonly string[] {
  return signals.map(({ name }) => name).filter((name) => !KNOWN.includes(name))
}

function holds({ name, metadata }: Signal, policies: Policies): boolean {
  switch (name) {
    case 'terminate':
    case 'log': {
      const rule = policies[name]
      return rule === 'always' || (rule === 'signal' && metadata[name] === true)
    }
    case 'route':
      return policies.route !== 'never'
    default:
      return false
  }
}

/** What the signals of one result come to, beside what is logged. */
export interface Ruling {
  readonly isTerminated: boolean
  readonly route: Route | null
}

const PASSED: Ruling = { isTerminated: false, route: null }
const TERMINATED: Ruling = { isTerminated: true, route: null }

/** The ruling on a result of a hook that decides; without a known signal the standard one rules. */
export function rulingOf(result: Struct, policies: Policies): Ruling {
  const signals = signalsOf(result)
  if (signals === NONE) return ruledByStandard(policies)
  if (!signals.some(({ name }) => KNOWN.includes(name))) return ruledByStandard(policies)
  return ruledBy(signals, policies)
}

/** The ruling on these signals alone. */
export function ruledBy(signals: readonly Signal[], policies: Policies): Ruling {
  const ending = signals.filter(({ name }) => name === 'terminate')
  // Beside a signal that can end the chain those that cannot are not looked at, but for logs.
  if (ending.length > 0) {
    return ending.some((signal) => holds(signal, policies)) ? TERMINATED : PASSED
  }
  const route = routeOf(signals, policies)
  return route === null ? PASSED : { isTerminated: false, route }
}

function ruledByStandard(policies: Policies): Ruling {
  return policies.standard === 'terminate' && policies.terminate !== 'never' ? TERMINATED : PASSED
}

/** The block that a route signal names; a signal without one routes nowhere and is none. */
function routeOf(signals: readonly Signal[], policies: Policies): Route | null {
  for (const signal of signals) {
    const block = signal.metadata['block']
    const isRoute = signal.name === 'route' && holds(signal, policies)
    if (isRoute && typeof block === 'string' && block !== '') return { kind: 'route', block }
  }
  return null
}

// What zerolog, by which GatewayD writes them, calls its levels, where ours are named otherwise.
const OTHER_LEVELS: Readonly<Record<string, Level>> = { fatal: 'error', panic: 'error' }

/** What the log signals of a result ask to have logged. */
export function logsOf(signals: readonly Signal[], policies: Policies): readonly LogRecord[] {
  const held = signals.filter((signal) => signal.name === 'log' && holds(signal, policies))
  return held.slice(0, LOGS_MAX).flatMap((signal) => {
    const { log: _, level, message, ...fields } = signal.metadata
    if (level === 'disabled') return []
    return [
      {
        level: levelNamed(level) ?? OTHER_LEVELS[String(level)] ?? 'info',
        message: typeof message === 'string' ? message : '',
        fields: Object.keys(fields).length === 0 ? null : readable(fields),
      },
    ]
  })
}

/** Fields as a log can show them: bytes as the text that they most likely are. */
function readable(fields: Struct): Readonly<Record<string, unknown>> {
  const shown = (value: Value): unknown => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString()
    if (Array.isArray(value)) return value.map(shown)
    return isStruct(value) ? readable(value) : value
  }
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, shown(value)]))
}
