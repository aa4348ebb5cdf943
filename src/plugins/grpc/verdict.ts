/**
 * From what a plugin returned to what happens: pure, and complete. The rules and their order are
 * GatewayD's documented ones; what its documents leave open is decided here, in the comments.
 */
import { BUILT_IN_POLICIES } from '../../config/policies.ts'
import type {
  Close,
  Deny,
  FromClientVerdict,
  FromServerVerdict,
  OpeningVerdict,
  Respond,
  SettingsVerdict,
} from '../../hooks/verdict.ts'
import { CONTINUE } from '../../hooks/verdict.ts'
import { sameBytes, sameValue } from './plain.ts'
import { ruledBy, rulingOf, signalsOf } from './signals.ts'
import type { Struct } from './struct.ts'

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

/** onTrafficFromClient. `request` is what the plugin was given. */
export function fromClientVerdict(
  result: Struct,
  request: Uint8Array,
  policies = BUILT_IN_POLICIES,
): FromClientVerdict {
  const complaint = complaintOf(result)
  if (complaint !== null) return { kind: 'failure', cause: `it reports: ${complaint}` }
  const { isTerminated, route } = rulingOf(result, policies)
  const response = bytesAt(result, 'response')
  if (isTerminated || result['__terminal__'] === true) {
    if (response !== null) return respondOrClose(response)
    return isTerminated ? TERMINATED : { kind: 'close' }
  }
  if (route !== null) return route
  const changed = bytesAt(result, 'request')
  if (changed === null || sameBytes(changed, request)) return CONTINUE
  return { kind: 'replace', bytes: changed }
}

/**
 * onTrafficFromServer. `response` is what the plugin was given. A terminate signal ends the chain
 * in GatewayD, and the response stands; here the steps behind still see it, which is safer.
 */
export function fromServerVerdict(
  result: Struct,
  response: Uint8Array,
  policies = BUILT_IN_POLICIES,
): FromServerVerdict {
  const complaint = complaintOf(result)
  if (complaint !== null) return { kind: 'failure', cause: `it reports: ${complaint}` }
  const { isTerminated } = rulingOf(result, policies)
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
export function openingVerdict(result: Struct, policies = BUILT_IN_POLICIES): OpeningVerdict {
  const complaint = complaintOf(result)
  if (complaint !== null) return { kind: 'failure', cause: `it reports: ${complaint}` }
  const { isTerminated, route } = rulingOf(result, policies)
  if (isTerminated || result['__terminal__'] === true) {
    const response = bytesAt(result, 'response')
    const end = response === null ? null : terminateAt(response)
    return closeWith(end === null ? response : (response?.subarray(0, end) ?? null))
  }
  return route ?? CONTINUE
}

/** onConfigLoaded and onRun: the keys that came back changed. Terminate ends the chain. */
export function settingsVerdict(
  result: Struct,
  params: Struct,
  policies = BUILT_IN_POLICIES,
): SettingsVerdict {
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
  const isLast = rulingOf(result, policies).isTerminated || result['__terminal__'] === true
  if (isLast) return { kind: 'merge', changes, isLast }
  return Object.keys(changes).length === 0 ? CONTINUE : { kind: 'merge', changes }
}

/** Why an observer's result is a failure: it complains, or it decides what is not its to decide. */
export function observerComplaint(
  result: Struct,
  params: Struct,
  policies = BUILT_IN_POLICIES,
): string | null {
  const complaint = complaintOf(result)
  // onClosing and onClosed are given the session's error, which comes back.
  if (complaint !== null && !sameValue(result['error'], params['error'])) {
    return `it reports: ${complaint}`
  }
  // Without a signal it said nothing, whatever stands for that elsewhere.
  const { isTerminated, route } = ruledBy(signalsOf(result), policies)
  return isTerminated || route !== null || result['__terminal__'] === true
    ? 'it returned a verdict, which this hook does not take'
    : null
}
