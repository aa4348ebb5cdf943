/** Messages that the gateway itself makes or reads. Source: PostgreSQL, "Message Formats". */
import type { Refused } from '../protocol.ts'
import { HEADER_BYTES, LENGTH_MIN, lengthAt } from './reader.ts'
import { BACKEND, FRONTEND } from './tags.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()
/** Chunks up to this length may take the short cut. */
const SHORT_BYTES_MAX = 16_384

/** A typed message around a body. */
export function message(tag: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + body.length)
  const length = body.length + LENGTH_MIN
  bytes[0] = tag
  bytes[1] = length >>> 24
  bytes[2] = length >>> 16
  bytes[3] = length >>> 8
  bytes[4] = length
  bytes.set(body, HEADER_BYTES)
  return bytes
}

/** Text for a field of a message, which a zero byte would end early. */
function text(value: string): string {
  return value.replaceAll('\0', '')
}

type Severity = 'ERROR' | 'FATAL' | 'WARNING'

function noticeFields(severity: Severity, refused: Refused): Uint8Array {
  const code = /^[0-9A-Z]{5}$/.test(refused.code) ? refused.code : 'XX000'
  let fields = `S${severity}\0V${severity}\0C${code}\0M${text(refused.message)}\0`
  if (refused.detail) fields += `D${text(refused.detail)}\0`
  if (refused.hint) fields += `H${text(refused.hint)}\0`
  return encoder.encode(`${fields}\0`)
}

/** ErrorResponse; FATAL tells the client that the session is over. */
export function errorResponse(refused: Refused, severity: 'ERROR' | 'FATAL' = 'ERROR'): Uint8Array {
  return message(BACKEND.ErrorResponse, noticeFields(severity, refused))
}

/** NoticeResponse of severity WARNING. */
export function warning(refused: Refused): Uint8Array {
  return message(BACKEND.NoticeResponse, noticeFields('WARNING', refused))
}

/** ReadyForQuery; `status` is ASCII I, T or E. */
export function readyForQuery(status: number): Uint8Array {
  return message(BACKEND.ReadyForQuery, Uint8Array.of(status))
}

/** A Query that surely fails with a syntax error naming the marker, in every transaction state. */
export function failingQuery(marker: string): Uint8Array {
  return message(FRONTEND.Query, encoder.encode(`${marker}\0`))
}

/**
 * A Parse that surely fails with a syntax error naming the marker. It names a statement, so that
 * the unnamed one survives as it would have.
 */
export function failingParse(marker: string): Uint8Array {
  return message(FRONTEND.Parse, encoder.encode(`${marker}\0${marker}\0\0\0`))
}

/** CopyFail: the server ends the copy with an error that repeats the marker. */
export function copyFail(marker: string): Uint8Array {
  return message(FRONTEND.CopyFail, encoder.encode(`${marker}\0`))
}

/** Sync, which has no body. */
export const SYNC = message(FRONTEND.Sync, new Uint8Array(0))

/** The message text (field M) of an ErrorResponse, "" where there is none. */
export function errorText(bytes: Uint8Array): string {
  return errorField(bytes, 'M')
}

/** A field of an ErrorResponse, "" where there is none. */
export function errorField(bytes: Uint8Array, field: string): string {
  const wanted = field.charCodeAt(0)
  let at = HEADER_BYTES
  while (at < bytes.length && bytes[at] !== 0) {
    const end = bytes.indexOf(0, at + 1)
    if (end < 0) return ''
    if (bytes[at] === wanted) return decoder.decode(bytes.subarray(at + 1, end))
    at = end + 1
  }
  return ''
}

/** An ErrorResponse with more fields, where it does not have them. */
export function withFields(
  bytes: Uint8Array,
  fields: Readonly<Record<string, string>>,
): Uint8Array {
  const added = Object.entries(fields)
    .filter(([field]) => errorField(bytes, field) === '')
    .map(([field, value]) => `${field}${text(value)}\0`)
    .join('')
  const body = bytes.subarray(HEADER_BYTES, bytes.length - 1)
  return message(bytes[0]!, Buffer.concat([body, encoder.encode(`${added}\0`)]))
}

/** Calls `visit` with each whole message; the reason why the bytes are no such run, or null. */
export function walk(
  bytes: Uint8Array,
  tags: Uint8Array,
  visit: (tag: number, from: number, to: number) => void,
): string | null {
  let at = 0
  while (at < bytes.length) {
    if (bytes.length - at < HEADER_BYTES) return 'the last message ends within its header'
    const tag = bytes[at]!
    if (tags[tag] !== 1) return `byte ${at} is no message type (0x${tag.toString(16)})`
    const length = lengthAt(bytes, at)
    const to = at + 1 + length
    if (length < LENGTH_MIN)
      return `the message at byte ${at} declares an invalid length of ${length}`
    if (to > bytes.length) return `the message at byte ${at} is cut: ${length} bytes declared`
    visit(tag, at, to)
    at = to
  }
  return null
}

/** True where the bytes are whole messages of these types, and few enough to look at twice. */
export function areWhole(bytes: Uint8Array, tags: Uint8Array): boolean {
  const end = bytes.length
  if (end > SHORT_BYTES_MAX) return false
  let at = 0
  while (at < end) {
    if (end - at < HEADER_BYTES || tags[bytes[at]!] !== 1) return false
    const length = lengthAt(bytes, at)
    if (length < LENGTH_MIN) return false
    at += 1 + length
  }
  return at === end && end > 0
}
