/**
 * PostgreSQL's messages as a test file writes them, `Query: select 1`, as the bytes of the wire,
 * and back. What has no form of its own here is written and shown as the bytes of its body.
 */
import { message } from '../protocols/postgres/messages.ts'
import { BACKEND, FRONTEND } from '../protocols/postgres/tags.ts'
import {
  BodyReader,
  BodyWriter,
  below,
  bytesOf,
  Flaw,
  isMap,
  nearestHint,
  type Readable,
  type ReadableMap,
  readableBytes,
  spelledBytes,
} from './bytes.ts'
import {
  cell,
  counted,
  type Field,
  format,
  formatOfAll,
  int16,
  int32,
  letter,
  notice,
  record,
  rest,
  text,
  type,
} from './fields.ts'

export type Side = 'client' | 'server'

const target = record({ kind: letter('SP'), name: text('') })
const copying = record({ format: formatOfAll, columns: counted(format) })

/** What the bodies are made of, by name; null: the message has none. */
const FORMS: Readonly<Record<Side, Readonly<Record<string, Field | null>>>> = {
  client: {
    Query: text(),
    Parse: record({ name: text(''), query: text(), types: counted(type) }, 'query'),
    Bind: record({
      portal: text(''),
      statement: text(''),
      formats: counted(format),
      values: counted(cell),
      resultFormats: counted(format),
    }),
    Describe: target,
    Close: target,
    Execute: record({ portal: text(''), rows: int32('0') }, 'portal'),
    Sync: null,
    Flush: null,
    Terminate: null,
    CopyData: rest,
    CopyDone: null,
    CopyFail: text(''),
    PasswordMessage: text(''),
    FunctionCall: rest,
  },
  server: {
    BackendKeyData: record({ process: int32('1'), secret: int32('1') }),
    ParameterStatus: record({ name: text(), value: text('') }),
    ReadyForQuery: letter('ITE'),
    RowDescription: counted(
      record(
        {
          name: text(),
          table: int32('0'),
          column: int16('0'),
          type,
          size: int16('-1'),
          modifier: int32('-1'),
          format,
        },
        'name',
      ),
    ),
    DataRow: counted(cell),
    CommandComplete: text(),
    EmptyQueryResponse: null,
    ErrorResponse: notice('ERROR'),
    NoticeResponse: notice('NOTICE'),
    NotificationResponse: record({ process: int32('1'), channel: text(), payload: text('') }),
    ParseComplete: null,
    BindComplete: null,
    CloseComplete: null,
    NoData: null,
    PortalSuspended: null,
    ParameterDescription: counted(type),
    CopyInResponse: copying,
    CopyOutResponse: copying,
    CopyData: rest,
    CopyDone: null,
  },
}
const TAGS: Readonly<Record<Side, Readonly<Record<string, number>>>> = {
  client: FRONTEND,
  server: BACKEND,
}

/** Packets without a first byte, and what stands in the place of their version. */
const REQUESTS: Readonly<Record<string, number>> = { SSLRequest: 80877103, GSSENCRequest: 80877104 }
const CANCEL_REQUEST = 80877102
const VERSION_3 = 196608
const AUTHENTICATION_OK = Uint8Array.of(0, 0, 0, 0)
const HEADER_BYTES = 5

/** Every name that a message of this side may be written by. */
export function messageNames(side: Side): readonly string[] {
  const more =
    side === 'client' ? [...Object.keys(REQUESTS), 'CancelRequest'] : ['AuthenticationOk']
  return [...Object.keys(TAGS[side]), ...more]
}

function refuseName(name: string, side: Side): never {
  const hint = nearestHint(name, messageNames(side))
  throw new Flaw(`has "${name}", which is no message of a ${side}${hint}`)
}

/** The name and the body of one written message. */
export function nameAndBody(written: Readable, side: Side): readonly [string, Readable] {
  if (typeof written === 'string') {
    if (!messageNames(side).includes(written)) {
      const hint = nearestHint(written, messageNames(side))
      throw new Flaw(`must be a message of a ${side}${hint}`)
    }
    return [written, null]
  }
  const [name, ...others] = isMap(written) ? Object.keys(written) : []
  if (!isMap(written) || name === undefined || others.length > 0) {
    throw new Flaw('must be a message such as Sync or { Query: select 1 }, one name each')
  }
  if (!messageNames(side).includes(name)) refuseName(name, side)
  return [name, written[name] ?? null]
}

function untyped(code: number, body: Uint8Array): Uint8Array {
  const packet = Buffer.alloc(8 + body.length)
  packet.writeUInt32BE(packet.length, 0)
  packet.writeUInt32BE(code, 4)
  packet.set(body, 8)
  return new Uint8Array(packet)
}

function startup(parameters: Readable): Uint8Array {
  const body = new BodyWriter()
  const map = parameters ?? {}
  if (!isMap(map)) throw new Flaw('must be a map of parameters such as { user: ann }')
  for (const [name, value] of Object.entries(map)) {
    body.text(bytesOf(name))
    below(name, () => body.text(bytesOf(value)))
  }
  body.byte(0)
  return untyped(VERSION_3, body.taken())
}

const cancel = record({ process: int32('1'), secret: int32('1') })

/** `Describe: { statement: s1 }` says the same as its two fields. */
function targetOf(value: Readable): Readable {
  if (!isMap(value)) return value
  const [key, ...others] = Object.keys(value)
  if (others.length > 0 || (key !== 'statement' && key !== 'portal')) return value
  return { kind: key === 'statement' ? 'S' : 'P', name: value[key] ?? '' }
}

function bodyOf(field: Field, value: Readable): Uint8Array {
  const out = new BodyWriter()
  const spelled = isMap(value) && ('hex' in value || 'base64' in value) ? spelledBytes(value) : null
  if (spelled === null) field.write(field === target ? targetOf(value) : (value ?? undefined), out)
  else out.bytes(spelled)
  return out.taken()
}

function one(written: Readable, side: Side): Uint8Array {
  const spelled = isMap(written) ? spelledBytes(written) : null
  if (spelled !== null) return spelled
  const [name, body] = nameAndBody(written, side)
  return typeof written === 'string'
    ? made(name, body, side)
    : below(name, () => made(name, body, side))
}

function made(name: string, body: Readable, side: Side): Uint8Array {
  if (side === 'client') {
    const request = REQUESTS[name]
    if (request !== undefined) return untyped(request, new Uint8Array(0))
    if (name === 'CancelRequest') return untyped(CANCEL_REQUEST, bodyOf(cancel, body))
    if (name === 'StartupMessage') return startup(body)
  } else if (name === 'AuthenticationOk') return message(BACKEND.Authentication, AUTHENTICATION_OK)
  const tag = TAGS[side][name] ?? 0
  const field = Object.hasOwn(FORMS[side], name) ? FORMS[side][name] : rest
  if (field !== null && field !== undefined) return message(tag, bodyOf(field, body))
  if (body !== null) throw new Flaw('must be empty: this message has no body')
  return message(tag, new Uint8Array(0))
}

/** A message, or a list of them, as bytes: one piece for each. Throws a Flaw. */
export function messagesOf(written: unknown, side: Side): readonly Uint8Array[] {
  const value = written as Readable
  if (!Array.isArray(value)) return [one(value, side)]
  return value.map((item: Readable, place) => below(place, () => one(item, side)))
}

/** The message with this first byte, as people read it. */
function typed(tag: number, body: Uint8Array, side: Side): Readable {
  if (
    side === 'server' &&
    tag === BACKEND.Authentication &&
    Buffer.compare(AUTHENTICATION_OK, body) === 0
  ) {
    return 'AuthenticationOk'
  }
  const name = Object.keys(TAGS[side]).find((key) => TAGS[side][key] === tag)
  if (name === undefined) return { hex: Buffer.from(message(tag, body)).toString('hex') }
  const field = FORMS[side][name]
  if (field === null && body.length === 0) return name
  try {
    const from = new BodyReader(body)
    const value = field?.read(from)
    if (value !== undefined && from.isAtEnd)
      return { [name]: field === target ? shown(value) : value }
  } catch (thrown) {
    if (!(thrown instanceof RangeError)) throw thrown
  }
  return { [name]: { hex: Buffer.from(body).toString('hex') } }
}

function shown(value: Readable): Readable {
  if (!isMap(value)) return value
  return { [value['kind'] === 'S' ? 'statement' : 'portal']: value['name'] ?? '' }
}

/** A packet without a first byte, or null where the bytes are none. */
function packet(bytes: Uint8Array): { readonly shown: Readable; readonly length: number } | null {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const length = view.length >= 8 ? view.readUInt32BE(0) : 0
  if (length < 8 || length > view.length) return null
  const code = view.readUInt32BE(4)
  const request = Object.keys(REQUESTS).find((name) => REQUESTS[name] === code)
  if (request !== undefined) return { shown: request, length }
  const from = new BodyReader(view.subarray(8, length))
  try {
    if (code === CANCEL_REQUEST) return { shown: { CancelRequest: cancel.read(from) }, length }
    const parameters: Record<string, Readable> = {}
    for (let name = from.text(); name.length > 0; name = from.text()) {
      parameters[Buffer.from(name).toString()] = readableBytes(from.text())
    }
    return code === VERSION_3 ? { shown: { StartupMessage: parameters }, length } : null
  } catch (thrown) {
    if (thrown instanceof RangeError) return null
    throw thrown
  }
}

/** The messages that lie in the bytes; what is none comes last, as `{ hex }` or `{ text }`. */
export function readableMessages(bytes: Uint8Array, side: Side): readonly Readable[] {
  const found: Readable[] = []
  let left = bytes
  while (left.length > 0) {
    const known = side === 'client' && left[0] === 0 ? packet(left) : null
    if (known !== null) {
      found.push(known.shown)
      left = left.subarray(known.length)
      continue
    }
    const length =
      left.length < HEADER_BYTES
        ? 0
        : 1 + new DataView(left.buffer, left.byteOffset + 1).getUint32(0)
    if (length < HEADER_BYTES || length > left.length) break
    found.push(typed(left[0] ?? 0, left.subarray(HEADER_BYTES, length), side))
    left = left.subarray(length)
  }
  if (left.length > 0) found.push(readableRaw(left))
  return found
}

/** Bytes without messages in them. */
export function readableRaw(bytes: Uint8Array): ReadableMap {
  const value = readableBytes(bytes)
  return isMap(value) ? value : { text: value }
}
