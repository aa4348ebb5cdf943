/**
 * What PostgreSQL's types are to masking: which hold text, and what a value of zero is in each, in
 * text and in binary. Source: pg_type.dat and the types' send and receive functions.
 */
import { NONE, ptrOf, Slice, slice } from '../../sdk/assembly/sdk'

/** How a type is treated. */
export const enum Class {
  /** Its text and its binary form are the same bytes, any of them. */
  Text,
  /** `"char"`: one byte. */
  Letter,
  Json,
  Jsonb,
  /** Arrays of text: their text form may be searched, and nothing else. */
  TextArray,
  /** Has a zero in ZEROS. */
  Zeroed,
  Array,
  /** Made by users: citext, enums, composites and such. */
  User,
  /** Only NULL fits it. */
  Other,
}

export function classOf(type: u32, typeSize: i32): Class {
  switch (type) {
    case 25: // text
    case 1043: // varchar
    case 1042: // bpchar
    case 19: // name
    case 705: // unknown
    case 2275: // cstring
      return Class.Text
    case 18:
      return Class.Letter
    case 114:
      return Class.Json
    case 3802:
      return Class.Jsonb
    case 1009: // text[]
    case 1015: // varchar[]
    case 1014: // bpchar[]
    case 1003: // name[]
    case 199: // json[]
      return Class.TextArray
    default:
      if (zeroAt(type) >= 0) return Class.Zeroed
      if (isArray(type)) return Class.Array
      return type >= 16_384 && typeSize == -1 ? Class.User : Class.Other
  }
}

/** Arrays of types with a number of their own. */
function isArray(type: u32): bool {
  switch (type) {
    case 1000: // bool
    case 1001: // bytea
    case 1005: // int2
    case 1007: // int4
    case 1016: // int8
    case 1021: // float4
    case 1022: // float8
    case 1028: // oid
    case 1231: // numeric
    case 1115: // timestamp
    case 1182: // date
    case 1183: // time
    case 1185: // timestamptz
    case 1187: // interval
    case 1270: // timetz
    case 2951: // uuid
    case 3807: // jsonb
      return true
    default:
      return false
  }
}

/** Type, how many bytes of zeros it is in binary, and what it is in text. */
const ZEROS: StaticArray<u32> = [
  16, 1, 17, 0, 20, 8, 21, 2, 23, 4, 26, 4, 700, 4, 701, 8, 790, 8, 1082, 4, 1083, 8, 1114, 8,
  1184, 8, 1186, 16, 1266, 12, 1700, 8, 2950, 16, 829, 6,
]
const TEXTS: StaticArray<string> = [
  'f', '\\x', '0', '0', '0', '0', '0', '0', '$0.00', '2000-01-01', '00:00:00',
  '2000-01-01 00:00:00', '2000-01-01 00:00:00+00', '00:00:00', '00:00:00+00', '0',
  '00000000-0000-0000-0000-000000000000', '00:00:00:00:00:00',
]

function zeroAt(type: u32): i32 {
  for (let at = 0; at < ZEROS.length; at += 2) if (ZEROS[at] == type) return at / 2
  return -1
}

const TEXT_BYTES_MAX = 64
const place = memory.data(TEXT_BYTES_MAX)
/** Sixteen bytes, all zero. */
const nothing = memory.data(16)

function ascii(text: string): Slice {
  for (let at = 0; at < text.length; at++) store<u8>(place + at, <u8>text.charCodeAt(at))
  return slice(place, text.length)
}

/**
 * The value of zero of a type, good until the next is asked for; NONE where only NULL fits.
 * `value` is the one whose place it takes: an array keeps the type of its elements.
 */
export function zeroOf(type: u32, kind: Class, isBinary: bool, value: Slice): Slice {
  switch (kind) {
    case Class.Text:
      return slice(nothing, 0)
    case Class.Letter:
      return ascii('*')
    case Class.Json:
      return ascii('null')
    case Class.Jsonb:
      return isBinary ? ascii('\x01null') : ascii('null')
    case Class.TextArray:
    case Class.Array:
      return isBinary ? emptyArray(value) : ascii('{}')
    case Class.Zeroed: {
      const at = zeroAt(type)
      return isBinary ? slice(nothing, ZEROS[at * 2 + 1]) : ascii(TEXTS[at])
    }
    default:
      return NONE
  }
}

/** No dimensions, no flags, and the element type of the value. */
function emptyArray(value: Slice): Slice {
  if (<i32>(value & 0xffff_ffff) < 12) return NONE
  store<u64>(place, 0)
  store<u32>(place, load<u32>(ptrOf(value), 8), 8)
  return slice(place, 12)
}
