/** What plugins add to a result for the plugins behind them, and when it would be a lie. */
import type { Carried } from '../../hooks/step.ts'
import { sameBytes, toStruct } from './plain.ts'
import type { Struct, Value } from './struct.ts'

/** Keys of the hooks themselves, and those by which a result steers: these never travel. */
const OWN_KEYS: ReadonlySet<string> = new Set([
  'client',
  'server',
  'error',
  'request',
  'response',
  '__signals__',
  '__terminal__',
  '__outputs__',
])

/** What the SDK's helpers parse out of the bytes, on either side: true of those bytes only. */
const PARSED_KEYS: ReadonlySet<string> = new Set([
  'startupMessage',
  'sslRequest',
  'saslInitialResponse',
  'cancelRequest',
  'saslResponse',
  'gssResponse',
  'query',
  'parse',
  'bind',
  'describe',
  'execute',
  'sync',
  'terminate',
  'close',
  'copyData',
  'copyDone',
  'copyFail',
  'flush',
  'passwordMessage',
  'authenticationOk',
  'authenticationCleartextPassword',
  'authenticationMD5Password',
  'authenticationGSS',
  'authenticationSASL',
  'authenticationSASLContinue',
  'authenticationSASLFinal',
  'backendKeyData',
  'bindComplete',
  'closeComplete',
  'commandComplete',
  'copyInResponse',
  'copyOutResponse',
  'copyBothResponse',
  'rowDescription',
  'dataRow',
  'emptyQueryResponse',
  'errorResponse',
  'functionCallResponse',
  'noData',
  'noticeResponse',
  'notificationResponse',
  'parameterDescription',
  'parameterStatus',
  'parseComplete',
  'portalSuspended',
  'readyForQuery',
])

/** The fields that go with `bytes` to the plugin: what earlier ones added, where it still holds. */
export function fieldsFor(bytes: Uint8Array, carried: Carried): Struct {
  if (carried.fields === null) return {}
  const fields = toStruct(carried.fields)
  if (carried.about !== null && sameBytes(carried.about, bytes)) return fields
  return Object.fromEntries(Object.entries(fields).filter(([key]) => !PARSED_KEYS.has(key)))
}

/** Keeps what a result added. `bytes` are those that go on from this step. */
export function carry(result: Struct, bytes: Uint8Array, carried: Carried): void {
  // Without a prototype no key is special.
  const added: Record<string, Value> = Object.create(null)
  let isEmpty = true
  for (const key in result) {
    if (OWN_KEYS.has(key)) continue
    added[key] = result[key] ?? null
    isEmpty = false
  }
  carried.fields = isEmpty ? null : added
  // A copy: the bytes are only borrowed, and the next step compares long after.
  carried.about = isEmpty ? null : bytes.slice()
}
