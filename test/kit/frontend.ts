/**
 * Builds what a PostgreSQL client sends, byte for byte, for tests that cut, join and pipeline it.
 * Written from PostgreSQL's documentation of the protocol, and apart from the gateway's own codec,
 * so that one can prove the other.
 */

const text = new TextEncoder()

/** Protocol 3.0; 3.2 is `196610`. */
export const PROTOCOL_3_0 = 196_608
export const PROTOCOL_3_2 = 196_610
const CANCEL_REQUEST = 80_877_102
const SSL_REQUEST = 80_877_103
const GSS_REQUEST = 80_877_104

/** One byte array of several. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((total, part) => total + part.length, 0))
  let offset = 0
  for (const part of parts) {
    joined.set(part, offset)
    offset += part.length
  }
  return joined
}

/** A text and its closing zero. */
export function cstring(value: string): Uint8Array {
  return concat(text.encode(value), new Uint8Array(1))
}

/** A big-endian number of two bytes. */
export function int16(value: number): Uint8Array {
  const bytes = new Uint8Array(2)
  new DataView(bytes.buffer).setInt16(0, value)
  return bytes
}

/** A big-endian number of four bytes. */
export function int32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setInt32(0, value)
  return bytes
}

/** Any message with a type byte; its length is added. */
export function message(type: string, ...payload: readonly Uint8Array[]): Uint8Array {
  const body = concat(...payload)
  return concat(text.encode(type), int32(body.length + 4), body)
}

/** A message of the opening, which has a length but no type byte. */
export function untyped(code: number, ...payload: readonly Uint8Array[]): Uint8Array {
  const body = concat(int32(code), ...payload)
  return concat(int32(body.length + 4), body)
}

export interface Startup {
  readonly user: string
  readonly database?: string
  /** Further parameters, such as `application_name`. */
  readonly params?: Readonly<Record<string, string>>
  /** Default `PROTOCOL_3_0`. */
  readonly protocol?: number
}

export function startup({ user, database, params, protocol }: Startup): Uint8Array {
  const all = { user, ...(database === undefined ? {} : { database }), ...params }
  const pairs = Object.entries(all).map(([key, value]) => concat(cstring(key), cstring(value)))
  return untyped(protocol ?? PROTOCOL_3_0, ...pairs, new Uint8Array(1))
}

export const sslRequest = (): Uint8Array => untyped(SSL_REQUEST)
export const gssRequest = (): Uint8Array => untyped(GSS_REQUEST)

export function cancelRequest(pid: number, secret: Uint8Array): Uint8Array {
  return untyped(CANCEL_REQUEST, int32(pid), secret)
}

export const query = (sql: string): Uint8Array => message('Q', cstring(sql))
export const sync = (): Uint8Array => message('S')
export const flush = (): Uint8Array => message('H')
export const terminate = (): Uint8Array => message('X')
export const copyData = (bytes: Uint8Array | string): Uint8Array =>
  message('d', typeof bytes === 'string' ? text.encode(bytes) : bytes)
export const copyDone = (): Uint8Array => message('c')
export const copyFail = (reason: string): Uint8Array => message('f', cstring(reason))
export const passwordMessage = (password: string): Uint8Array => message('p', cstring(password))

/** The first SASL answer: the mechanism and its first words. */
export function saslInitial(mechanism: string, first: string): Uint8Array {
  const bytes = text.encode(first)
  return message('p', cstring(mechanism), int32(bytes.length), bytes)
}

export const saslResponse = (answer: string): Uint8Array => message('p', text.encode(answer))

export interface Parse {
  readonly sql: string
  /** Default: the unnamed statement. */
  readonly name?: string
  /** Type numbers of the parameters; default none, and the server finds out. */
  readonly types?: readonly number[]
}

export function parse({ sql, name = '', types = [] }: Parse): Uint8Array {
  return message('P', cstring(name), cstring(sql), int16(types.length), ...types.map(int32))
}

export interface Bind {
  readonly statement?: string
  readonly portal?: string
  /** Texts, or bytes as they are; null is SQL's null. */
  readonly values?: readonly (string | Uint8Array | null)[]
  /** 0 text, 1 binary. Default: all text. */
  readonly formats?: readonly number[]
  readonly resultFormats?: readonly number[]
}

export function bind(options: Bind = {}): Uint8Array {
  const { statement = '', portal = '', values = [], formats = [], resultFormats = [] } = options
  return message(
    'B',
    cstring(portal),
    cstring(statement),
    int16(formats.length),
    ...formats.map(int16),
    int16(values.length),
    ...values.map(bindValue),
    int16(resultFormats.length),
    ...resultFormats.map(int16),
  )
}

function bindValue(value: string | Uint8Array | null): Uint8Array {
  if (value === null) return int32(-1)
  const bytes = typeof value === 'string' ? text.encode(value) : value
  return concat(int32(bytes.length), bytes)
}

/** What Describe and Close speak of. */
export type Target = 'statement' | 'portal'
const TARGET_BYTES = { statement: 'S', portal: 'P' } as const

export function describe(target: Target = 'portal', name = ''): Uint8Array {
  return message('D', text.encode(TARGET_BYTES[target]), cstring(name))
}

export function close(target: Target = 'statement', name = ''): Uint8Array {
  return message('C', text.encode(TARGET_BYTES[target]), cstring(name))
}

/** `rowsMax` 0: all rows. */
export function execute(portal = '', rowsMax = 0): Uint8Array {
  return message('E', cstring(portal), int32(rowsMax))
}

/** Parse, Bind, Describe, Execute and Sync of one statement, as drivers send it. */
export function extendedQuery(sql: string, values: readonly (string | null)[] = []): Uint8Array {
  return concat(parse({ sql }), bind({ values }), describe(), execute(), sync())
}
