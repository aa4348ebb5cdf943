/** What the bodies of messages are made of: fields, each written from a value and read back. */
import {
  type BodyReader,
  type BodyWriter,
  below,
  bytesOf,
  Flaw,
  isMap,
  nearestHint,
  onlyKeys,
  plainText,
  type Readable,
  type ReadableMap,
  readableBytes,
} from './bytes.ts'

/** A part of a body. A value that is left out is undefined. */
export interface Field {
  write(value: Readable | undefined, out: BodyWriter): void
  read(from: BodyReader): Readable
}

/** A whole number from a text, within the bounds of its bytes. */
function numberOf(value: Readable | undefined, bits: number): number {
  const text = typeof value === 'string' ? value.trim() : ''
  const number = text === '' ? Number.NaN : Number(text)
  const most = 2 ** bits
  if (Number.isSafeInteger(number) && number >= -most / 2 && number < most) return number
  throw new Flaw(`must be a whole number of ${bits} bits`)
}

/** A text that a zero byte ends. */
export function text(standard?: string): Field {
  return {
    write: (value, out) => out.text(bytesOf(value ?? standard)),
    read: (from) => readableBytes(from.text()),
  }
}

/** Everything up to the end of the message. */
export const rest: Field = {
  write: (value, out) => out.bytes(bytesOf(value ?? '')),
  read: (from) => readableBytes(from.rest()),
}

export function int32(standard?: string): Field {
  return {
    write: (value, out) => out.int32(numberOf(value ?? standard, 32)),
    read: (from) => String(from.int32()),
  }
}

export function int16(standard?: string): Field {
  return {
    write: (value, out) => out.int16(numberOf(value ?? standard, 16)),
    read: (from) => String(from.int16()),
  }
}

const int8: Field = {
  write: (value, out) => out.byte(numberOf(value, 8)),
  read: (from) => String(from.byte()),
}

/** One letter out of several. */
export function letter(known: string): Field {
  return {
    write: (value, out) => {
      const written = plainText(value)
      if (written.length !== 1 || !known.includes(written)) {
        throw new Flaw(`must be one of ${[...known].join(', ')}`)
      }
      out.byte(written.charCodeAt(0))
    },
    read: (from) => String.fromCharCode(from.byte()),
  }
}

/** A list with the number of its items, in two bytes, before it. */
export function counted(item: Field): Field {
  return {
    write: (value, out) => {
      const items = value === undefined || value === null ? [] : value
      if (!Array.isArray(items)) throw new Flaw('must be a list')
      out.int16(items.length)
      for (const [place, one] of items.entries()) below(place, () => item.write(one, out))
    },
    read: (from) => Array.from({ length: from.int16() }, () => item.read(from)),
  }
}

/** A value of a row or a parameter: text, bytes, or null. */
export const cell: Field = {
  write: (value, out) => {
    if (value === null || value === undefined) return out.int32(-1)
    const bytes = bytesOf(value)
    out.int32(bytes.length)
    out.bytes(bytes)
  },
  read: (from) => {
    const length = from.int32()
    return length === -1 ? null : readableBytes(from.take(length))
  },
}

/** Names of numbers that people know by name; any number will do as well. */
function named(numbers: Readonly<Record<string, number>>, number: Field, standard: string): Field {
  const names = new Map(Object.entries(numbers).map(([name, value]) => [String(value), name]))
  return {
    write: (value, out) => {
      const written = plainText(value ?? standard)
      const known = Object.hasOwn(numbers, written) ? String(numbers[written]) : written
      if (Number.isNaN(Number(known))) {
        const hint = nearestHint(written, Object.keys(numbers))
        throw new Flaw(`must be a number or one of ${Object.keys(numbers).join(', ')}${hint}`)
      }
      number.write(known, out)
    },
    read: (from) => {
      const value = number.read(from)
      return typeof value === 'string' ? (names.get(value) ?? value) : value
    },
  }
}

/** Whether values are text or binary. */
export const format = named({ text: 0, binary: 1 }, int16(), 'text')

/** The same in one byte, for all columns of a copy. */
export const formatOfAll = named({ text: 0, binary: 1 }, int8, 'text')

/** Types that PostgreSQL always gives these numbers. Source: pg_type.dat. */
const TYPES = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  json: 114,
  float4: 700,
  float8: 701,
  varchar: 1043,
  date: 1082,
  timestamp: 1114,
  timestamptz: 1184,
  numeric: 1700,
  uuid: 2950,
  jsonb: 3802,
} as const
export const type = named(TYPES, int32(), 'text')

/** Fields one after the other, by name; a plain text stands for a map with the key `brief`. */
export function record(fields: Readonly<Record<string, Field>>, brief?: string): Field {
  const known = Object.keys(fields)
  return {
    write: (value, out) => {
      const isBrief = brief !== undefined && typeof value === 'string'
      const map = isBrief ? { [brief]: value } : (value ?? {})
      if (!isMap(map)) throw new Flaw(`must be a map with ${known.join(', ')}`)
      onlyKeys(map, known)
      for (const [key, field] of Object.entries(fields)) {
        const write = () => field.write(Object.hasOwn(map, key) ? map[key] : undefined, out)
        if (isBrief) write()
        else below(key, write)
      }
    },
    read: (from) => {
      const map: Record<string, Readable> = {}
      for (const [key, field] of Object.entries(fields)) map[key] = field.read(from)
      return map
    },
  }
}

/** The fields of an error or a notice, by the letters that stand for them. */
const NOTICE_LETTERS = {
  severity: 'S',
  code: 'C',
  message: 'M',
  detail: 'D',
  hint: 'H',
  position: 'P',
  where: 'W',
  schema: 's',
  table: 't',
  column: 'c',
  dataType: 'd',
  constraint: 'n',
  file: 'F',
  line: 'L',
  routine: 'R',
} as const
const NOTICE_NAMES = new Map<string, string>(
  Object.entries(NOTICE_LETTERS).map(([name, letter]) => [letter, name]),
)
const SQLSTATE = /^[0-9A-Z]{5}$/

function writeNotice(fields: ReadableMap, severity: string, out: BodyWriter): void {
  onlyKeys(fields, Object.keys(NOTICE_LETTERS))
  const all = { severity, code: severity === 'ERROR' ? 'XX000' : '00000', message: '', ...fields }
  below('code', () => checkCode(all.code))
  const add = (tag: string, value: Readable): void => {
    out.byte(tag.charCodeAt(0))
    out.text(bytesOf(value))
  }
  for (const [name, tag] of Object.entries(NOTICE_LETTERS)) {
    const value = new Map<string, Readable>(Object.entries(all)).get(name)
    if (value === undefined || value === null) continue
    below(name, () => add(tag, value))
    // The same in English, which every server since 9.6 adds.
    if (tag === 'S') add('V', value)
  }
  out.byte(0)
}

/** A SQLSTATE; YAML takes some for numbers, and then their zeros are kept as written. */
export function checkCode(code: Readable | undefined): void {
  if (typeof code === 'string' && SQLSTATE.test(code)) return
  throw new Flaw('must be a SQLSTATE of five capital letters and digits')
}

/** The body of an ErrorResponse or a NoticeResponse; a plain text is its message. */
export function notice(severity: 'ERROR' | 'NOTICE'): Field {
  return {
    write: (value, out) => {
      const map = typeof value === 'string' ? { message: value } : (value ?? {})
      if (!isMap(map)) throw new Flaw('must be a map such as { code: 42501, message: no }')
      writeNotice(map, severity, out)
    },
    read: (from) => {
      const map: Record<string, Readable> = {}
      for (let tag = from.byte(); tag !== 0; tag = from.byte()) {
        const value = readableBytes(from.text())
        const letterOf = String.fromCharCode(tag)
        if (letterOf !== 'V') map[NOTICE_NAMES.get(letterOf) ?? letterOf] = value
      }
      return map
    },
  }
}
