/**
 * Reads what a PostgreSQL server sends, one message at a time and strictly: an unknown type, a
 * length that cannot be, or a payload with bytes missing or left over is an error.
 */

/** Nothing a test reads is longer; a longer length means that framing was lost. */
const LENGTH_MAX = 256 * 1024 * 1024

export interface Column {
  readonly name: string
  readonly type: number
  /** 0 text, 1 binary. */
  readonly format: number
}

export interface ErrorFields {
  readonly severity: string
  /** SQLSTATE. */
  readonly code: string
  readonly message: string
  readonly detail: string | null
  readonly hint: string | null
  /** All fields by their letter. */
  readonly all: Readonly<Record<string, string>>
}

interface Plain<Name extends string> {
  readonly name: Name
}
type Copy<Name extends string> = Plain<Name> & {
  readonly format: number
  readonly columnFormats: readonly number[]
}

export type BackendBody =
  | (Plain<'Authentication'> & { readonly code: number; readonly payload: Uint8Array })
  | (Plain<'BackendKeyData'> & { readonly pid: number; readonly secret: Uint8Array })
  | (Plain<'ParameterStatus'> & { readonly parameter: string; readonly value: string })
  | (Plain<'NegotiateProtocolVersion'> & {
      readonly minor: number
      readonly unknown: readonly string[]
    })
  | (Plain<'ReadyForQuery'> & { readonly status: string })
  | (Plain<'RowDescription'> & { readonly columns: readonly Column[] })
  | (Plain<'DataRow'> & {
      /** As text; null is SQL's null. */
      readonly values: readonly (string | null)[]
      readonly cells: readonly (Uint8Array | null)[]
    })
  | (Plain<'CommandComplete'> & { readonly tag: string })
  | (Plain<'ErrorResponse'> & ErrorFields)
  | (Plain<'NoticeResponse'> & ErrorFields)
  | (Plain<'NotificationResponse'> & {
      readonly pid: number
      readonly channel: string
      readonly payload: string
    })
  | (Plain<'ParameterDescription'> & { readonly types: readonly number[] })
  | (Plain<'FunctionCallResponse'> & { readonly cell: Uint8Array | null })
  | (Plain<'CopyData'> & { readonly payload: Uint8Array })
  | Copy<'CopyInResponse'>
  | Copy<'CopyOutResponse'>
  | Copy<'CopyBothResponse'>
  | Plain<'ParseComplete'>
  | Plain<'BindComplete'>
  | Plain<'CloseComplete'>
  | Plain<'NoData'>
  | Plain<'PortalSuspended'>
  | Plain<'EmptyQueryResponse'>
  | Plain<'CopyDone'>

/** A message; `bytes` is all of it, with type and length, as it came. */
export type BackendMessage = BackendBody & { readonly type: string; readonly bytes: Uint8Array }
export type BackendName = BackendBody['name']

/** The length of the message that `bytes` begin with, or null where its header is not whole. */
export function messageLength(bytes: Uint8Array): number | null {
  const type = bytes[0]
  if (type === undefined) return null
  const letter = String.fromCharCode(type)
  if (!(letter in DECODERS)) {
    throw new Error(`a backend message of unknown type ${JSON.stringify(letter)}`)
  }
  if (bytes.length < 5) return null
  const length = view(bytes).getInt32(1)
  if (length < 4 || length > LENGTH_MAX) {
    throw new Error(`a backend message ${letter} of impossible length ${length}`)
  }
  return length + 1
}

/** Decodes one whole message, as measured by `messageLength`. */
export function decode(bytes: Uint8Array): BackendMessage {
  const type = String.fromCharCode(bytes[0] ?? 0)
  const decoder = DECODERS[type]
  if (decoder === undefined) throw new Error(`a backend message of unknown type ${type}`)
  const reader = new Reader(bytes, 5)
  const body = decoder(reader)
  if (reader.left !== 0) {
    throw new Error(`${body.name}: ${reader.left} bytes left over behind its last field`)
  }
  return { ...body, type, bytes }
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

const text = new TextDecoder('utf-8', { fatal: true })

/** Takes fields from a message, front to back, and never past its end. */
class Reader {
  readonly #bytes: Uint8Array
  #offset: number

  constructor(bytes: Uint8Array, offset: number) {
    this.#bytes = bytes
    this.#offset = offset
  }

  get left(): number {
    return this.#bytes.length - this.#offset
  }

  take(length: number): Uint8Array {
    if (length < 0 || length > this.left) {
      throw new Error(`a field of ${length} bytes where ${this.left} are left of the message`)
    }
    const taken = this.#bytes.slice(this.#offset, this.#offset + length)
    this.#offset += length
    return taken
  }

  int8 = (): number => view(this.take(1)).getUint8(0)
  int16 = (): number => view(this.take(2)).getInt16(0)
  int32 = (): number => view(this.take(4)).getInt32(0)
  rest = (): Uint8Array => this.take(this.left)

  cstring = (): string => {
    const end = this.#bytes.indexOf(0, this.#offset)
    if (end === -1) throw new Error('a text without its closing zero')
    const value = text.decode(this.take(end - this.#offset))
    this.#offset++
    return value
  }

  /** A value with its length before it; -1 is null. */
  cell = (): Uint8Array | null => {
    const length = this.int32()
    return length === -1 ? null : this.take(length)
  }

  /** As many of a thing as the count before it says. */
  list<Thing>(one: () => Thing, count = this.int16()): Thing[] {
    if (count < 0) throw new Error(`a list of ${count} things`)
    return Array.from({ length: count }, one)
  }
}

function columnOf(reader: Reader): Column {
  const name = reader.cstring()
  reader.take(6) // table and column number
  const type = reader.int32()
  reader.take(6) // size and modifier of the type
  return { name, type, format: reader.int16() }
}

function errorFields(reader: Reader): ErrorFields {
  const all: Record<string, string> = {}
  for (let letter = reader.int8(); letter !== 0; letter = reader.int8()) {
    all[String.fromCharCode(letter)] = reader.cstring()
  }
  const { S: severity, C: code, M: sentence, D: detail = null, H: hint = null } = all
  if (severity === undefined || code === undefined || sentence === undefined) {
    throw new Error(`an error without severity, code or message: ${JSON.stringify(all)}`)
  }
  return { severity, code, message: sentence, detail, hint, all }
}

function dataRow(reader: Reader): BackendBody {
  const cells = reader.list(reader.cell)
  // Binary values need not be text: then `values` holds what can be shown of them.
  const lenient = new TextDecoder()
  return { name: 'DataRow', cells, values: cells.map((cell) => cell && lenient.decode(cell)) }
}

function copyResponse<Name extends string>(name: Name, reader: Reader): Copy<Name> {
  return { name, format: reader.int8(), columnFormats: reader.list(reader.int16) }
}

const DECODERS: Readonly<Record<string, (reader: Reader) => BackendBody>> = {
  R: (r) => ({ name: 'Authentication', code: r.int32(), payload: r.rest() }),
  K: (r) => ({ name: 'BackendKeyData', pid: r.int32(), secret: r.rest() }),
  S: (r) => ({ name: 'ParameterStatus', parameter: r.cstring(), value: r.cstring() }),
  v: (r) => ({
    name: 'NegotiateProtocolVersion',
    minor: r.int32(),
    unknown: r.list(r.cstring, r.int32()),
  }),
  Z: (r) => ({ name: 'ReadyForQuery', status: String.fromCharCode(r.int8()) }),
  T: (r) => ({ name: 'RowDescription', columns: r.list(() => columnOf(r)) }),
  D: dataRow,
  C: (r) => ({ name: 'CommandComplete', tag: r.cstring() }),
  E: (r) => ({ name: 'ErrorResponse', ...errorFields(r) }),
  N: (r) => ({ name: 'NoticeResponse', ...errorFields(r) }),
  A: (r) => ({
    name: 'NotificationResponse',
    pid: r.int32(),
    channel: r.cstring(),
    payload: r.cstring(),
  }),
  t: (r) => ({ name: 'ParameterDescription', types: r.list(r.int32) }),
  V: (r) => ({ name: 'FunctionCallResponse', cell: r.cell() }),
  d: (r) => ({ name: 'CopyData', payload: r.rest() }),
  G: (r) => copyResponse('CopyInResponse', r),
  H: (r) => copyResponse('CopyOutResponse', r),
  W: (r) => copyResponse('CopyBothResponse', r),
  '1': () => ({ name: 'ParseComplete' }),
  '2': () => ({ name: 'BindComplete' }),
  '3': () => ({ name: 'CloseComplete' }),
  n: () => ({ name: 'NoData' }),
  s: () => ({ name: 'PortalSuspended' }),
  I: () => ({ name: 'EmptyQueryResponse' }),
  c: () => ({ name: 'CopyDone' }),
}
