/**
 * From what a plugin returned to what happens: pure, and complete. The rules and their order are
 * GatewayD's documented ones; what its documents leave open is decided here, in the comments.
 */
import type {
  Close,
  Deny,
  FromClientVerdict,
  FromServerVerdict,
  OpeningVerdict,
  Respond,
  Route,
  SettingsVerdict,
} from '../../hooks/verdict.ts'
import { CONTINUE } from '../../hooks/verdict.ts'
import { type Level, type LogRecord, levelNamed } from './log.ts'
import { sameBytes, sameValue } from './plain.ts'
import { isStruct, type Struct, type Value } from './struct.ts'

/** What a plugin reports beside its result, for a policy to rule on. */
export interface Signal {
  readonly name: string
  readonly metadata: Struct
}

/** Signals of one result that are looked at. */
export const SIGNALS_MAX = 64

/** Characters of a plugin's own words in our sentences. */
const QUOTED_MAX = 500

/** Keys by which a result steers; they never travel on. */
const CONTROL_KEYS = ['__signals__', '__terminal__', '__outputs__']

/** The refusal of a terminate signal that comes without an answer. */
const TERMINATED: Deny = {
  kind: 'deny',
  code: '42000',
  message: 'Request terminated',
  detail: 'Policy terminated the request',
}

/** The named signals of a result. */
export function signalsOf(result: Struct): readonly Signal[] {
  const listed = result['__signals__']
  if (!Array.isArray(listed)) return []
  return listed.slice(0, SIGNALS_MAX).flatMap((signal: Value) => {
    if (!isStruct(signal)) return []
    const { name, metadata } = signal
    if (typeof name !== 'string' || name === '') return []
    return [{ name, metadata: isStruct(metadata) ? metadata : {} }]
  })
}

/** The built-in policies: which signals hold. A policy file will rule here one day. */
function holds(signal: Signal): boolean {
  if (signal.name === 'terminate') return signal.metadata['terminate'] === true
  if (signal.name === 'log') return signal.metadata['log'] === true
  return signal.name === 'route'
}

function has(signals: readonly Signal[], name: string): boolean {
  return signals.some((signal) => signal.name === name && holds(signal))
}

// What zerolog, by which GatewayD writes them, calls its levels, where ours are named otherwise.
const OTHER_LEVELS: Readonly<Record<string, Level>> = { fatal: 'error', panic: 'error' }

/** What the log signals of a result ask to have logged. */
export function logsOf(signals: readonly Signal[]): readonly LogRecord[] {
  return signals.flatMap((signal) => {
    if (signal.name !== 'log' || !holds(signal)) return []
    const { log: _, level, message, ...fields } = signal.metadata
    if (level === 'disabled') return []
    return [
      {
        level: levelNamed(level) ?? OTHER_LEVELS[String(level)] ?? 'info',
        message: typeof message === 'string' ? message : '',
        fields: Object.keys(fields).length === 0 ? null : fields,
      },
    ]
  })
}

function bytesAt(result: Struct, key: string): Uint8Array | null {
  const value = result[key]
  return value instanceof Uint8Array ? value : null
}

/** The plugin's own complaint, or null. `error` of any other type is none. */
function complaintOf(result: Struct): string | null {
  const error = result['error']
  return typeof error === 'string' && error !== '' ? error.slice(0, QUOTED_MAX) : null
}

function isFrontendTerminate(bytes: Uint8Array, at: number): boolean {
  const wanted = [0x58, 0, 0, 0, 4]
  return bytes.length - at === 5 && wanted.every((byte, index) => bytes[at + index] === byte)
}

/**
 * Where a frontend Terminate ends the messages, as GatewayD's auth plugin sends it behind a
 * refusal; null where there is none. Follows the messages, for their content may end like that too.
 */
function terminateAt(bytes: Uint8Array): number | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  while (bytes.length - at > 5) {
    const length = view.getUint32(at + 1)
    if (length < 4) return null
    at += 1 + length
  }
  return isFrontendTerminate(bytes, at) ? at : null
}

function closeWith(bytes: Uint8Array | null): Close {
  return bytes === null || bytes.length === 0 ? { kind: 'close' } : { kind: 'close', bytes }
}

/** Respond, or close after the response where a frontend Terminate asks for that. */
function respondOrClose(response: Uint8Array): Respond | Close {
  const end = terminateAt(response)
  if (end === null) return { kind: 'respond', bytes: response }
  return closeWith(response.subarray(0, end))
}

/** The block that a route signal names; a signal without one routes nowhere and is none. */
function routeOf(signals: readonly Signal[]): Route | null {
  for (const signal of signals) {
    const block = signal.metadata['block']
    if (signal.name === 'route' && holds(signal) && typeof block === 'string' && block !== '') {
      return { kind: 'route', block }
    }
  }
  return null
}

/** onTrafficFromClient. `request` is what the plugin was given. */
export function fromClientVerdict(result: Struct, request: Uint8Array): FromClientVerdict {
  const complaint = complaintOf(result)
  if (complaint !== null) return { kind: 'failure', cause: `it reports: ${complaint}` }
  const signals = signalsOf(result)
  const isTerminated = has(signals, 'terminate')
  const response = bytesAt(result, 'response')
  if (isTerminated || result['__terminal__'] === true) {
    if (response !== null) return respondOrClose(response)
    return isTerminated ? TERMINATED : { kind: 'close' }
  }
  const route = routeOf(signals)
  if (route !== null) return route
  const changed = bytesAt(result, 'request')
  if (changed === null || sameBytes(changed, request)) return CONTINUE
  return { kind: 'replace', bytes: changed }
}

/**
 * onTrafficFromServer. `response` is what the plugin was given. A terminate signal ends the chain
 * in GatewayD, and the response stands; here the steps behind still see it, which is safer.
 */
export function fromServerVerdict(result: Struct, response: Uint8Array): FromServerVerdict {
  const complaint = complaintOf(result)
  if (complaint !== null) return { kind: 'failure', cause: `it reports: ${complaint}` }
  const isTerminated = has(signalsOf(result), 'terminate')
  const changed = bytesAt(result, 'response')
  if (changed === null) {
    if (isTerminated) return TERMINATED
    return result['__terminal__'] === true ? { kind: 'close' } : CONTINUE
  }
  if (sameBytes(changed, response)) return CONTINUE
  const end = terminateAt(changed)
  if (end !== null) return closeWith(changed.subarray(0, end))
  return { kind: 'replace', bytes: changed }
}

/** onOpening: nothing was asked yet, so terminate is close, and a response its last words. */
export function openingVerdict(result: Struct): OpeningVerdict {
  const complaint = complaintOf(result)
  if (complaint !== null) return { kind: 'failure', cause: `it reports: ${complaint}` }
  const signals = signalsOf(result)
  if (has(signals, 'terminate') || result['__terminal__'] === true) {
    const response = bytesAt(result, 'response')
    const end = response === null ? null : terminateAt(response)
    return closeWith(end === null ? response : (response?.subarray(0, end) ?? null))
  }
  return routeOf(signals) ?? CONTINUE
}

/** onConfigLoaded and onRun: the keys that came back with other values. */
export function settingsVerdict(result: Struct, params: Struct): SettingsVerdict {
  const complaint = complaintOf(result)
  // onRun is given an `error` of ours where resolving failed; a plugin that returns it is content.
  if (complaint !== null && !sameValue(result['error'], params['error'])) {
    return { kind: 'failure', cause: `it reports: ${complaint}` }
  }
  const changes: Record<string, unknown> = Object.create(null)
  for (const [key, value] of Object.entries(result)) {
    if (key === 'error' || CONTROL_KEYS.includes(key)) continue
    if (!sameValue(value, params[key])) changes[key] = value
  }
  return Object.keys(changes).length === 0 ? CONTINUE : { kind: 'merge', changes }
}

/** Why an observer's result is a failure: it complains, or it decides what is not its to decide. */
export function observerComplaint(result: Struct, params: Struct): string | null {
  const complaint = complaintOf(result)
  // onClosing and onClosed are given the session's error, which comes back.
  if (complaint !== null && !sameValue(result['error'], params['error'])) {
    return `it reports: ${complaint}`
  }
  const signals = signalsOf(result)
  const isVerdict = has(signals, 'terminate') || routeOf(signals) !== null
  return isVerdict || result['__terminal__'] === true
    ? 'it returned a verdict, which this hook does not take'
    : null
}
