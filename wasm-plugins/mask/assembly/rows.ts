/** Masks one row by its plan. */
import { Bytes, part, ptrOf, Slice, slice, lengthOf } from '../../sdk/assembly/sdk'
import { beginMessage, endMessage, putValue, touched } from './output'
import { COLUMN_BYTES, columnsOf, Deed, lastOf, PLAN_HEAD_BYTES } from './plans'
import { How, ruleAt } from './rules'
import { Class, zeroOf } from './types'
import { cover, coverPartly } from './values'

/** Type, length and number of columns. */
const HEAD_BYTES: usize = 7
const STAR: u8 = 0x2a
/** Takes the place of a digit of JSON, where a star would end a number. */
const JSON_STAR: u8 = 0x39
/** Rows longer than this get no value longer than the one before, whatever it would be. */
const GROWING_BYTES_MAX: i32 = 8_388_608

/** What stands for a text that is masked whole, and the same as JSON and as jsonb in binary. */
export const text = new Bytes()
const jsonText = new Bytes()
const jsonbText = new Bytes()

export class Ways {
  /** True where numbers and dates become zeros, false where they become NULL. */
  static zeroes: bool = false
  /** True where types made by users are masked as text. */
  static userTypesAreText: bool = false
}

/** Takes the text of the configuration. */
export function setText(): void {
  jsonText.clear().byte(0x22).json(text.ptr, text.length).byte(0x22)
  jsonbText.clear().byte(1).add(jsonText.slice)
}

/**
 * Masks the row at `ptr`; false where it does not have the plan's columns or is cut: then nothing
 * of it may be shown.
 */
export function maskRow(ptr: usize, length: i32, plan: usize): bool {
  if (length < <i32>HEAD_BYTES) return false
  if (<i32>bswap<u16>(load<u16>(ptr, 5)) != columnsOf(plan)) return false
  const last = lastOf(plan)
  if (last == 0) return true
  const end = ptr + length
  let at = ptr + HEAD_BYTES
  let column = plan + PLAN_HEAD_BYTES
  const behind = column + last * COLUMN_BYTES
  beginMessage(ptr)
  while (column < behind) {
    if (at + 4 > end) return false
    const size = <i32>bswap<u32>(load<u32>(at))
    const next = at + 4 + max(size, 0)
    if (size < -1 || next > end || next < at) return false
    if (size > 0 && load<u8>(column) != Deed.Pass) {
      if (load<u8>(column) == Deed.Search) search(at + 4, size, column)
      else mask(at, size, column, length)
    } else if (size == 0 && load<u8>(column) == Deed.Mask) mask(at, size, column, length)
    at = next
    column += COLUMN_BYTES
  }
  endMessage(end)
  return true
}

function search(ptr: usize, length: i32, column: usize): void {
  const kind = load<u8>(column, 2)
  const isJson = kind == Class.Json || kind == Class.Jsonb
  if (cover(ptr, length, load<u8>(column, 1), isJson ? JSON_STAR : STAR)) touched()
}

function mask(at: usize, length: i32, column: usize, rowLength: i32): void {
  const rule = ruleAt(load<u8>(column, 1))
  rule.masked++
  const isBinary = load<u8>(column, 3) == 1
  let kind = <Class>load<u8>(column, 2)
  if (kind == Class.User && Ways.userTypesAreText) kind = Class.Text
  if (rule.how == How.Null) return putValue(at, length, 0, -1)
  if (kind == Class.Text && rule.how == How.Partial) {
    coverPartly(at + 4, length)
    return touched()
  }
  const value = slice(at + 4, length)
  const instead = standIn(kind, load<u32>(column, 4), isBinary, value)
  const isTooLong = rowLength > GROWING_BYTES_MAX && lengthOf(instead) > length
  if (instead == 0 || isTooLong) putValue(at, length, 0, -1)
  else putValue(at, length, ptrOf(instead), lengthOf(instead))
}

/** What takes the place of a value; NONE for NULL. */
function standIn(kind: Class, type: u32, isBinary: bool, value: Slice): Slice {
  switch (kind) {
    case Class.Text:
      return text.length == 0 ? part(value, 0, 0) : text.slice
    case Class.Json:
      return jsonText.slice
    case Class.Jsonb:
      return isBinary ? jsonbText.slice : jsonText.slice
    default:
      return Ways.zeroes ? zeroOf(type, kind, isBinary, value) : 0
  }
}

/** Every value of the row becomes NULL: what they are is not known. */
export function emptyRow(ptr: usize, length: i32): void {
  const end = ptr + length
  const columns = length < <i32>HEAD_BYTES ? 0 : <i32>bswap<u16>(load<u16>(ptr, 5))
  beginMessage(ptr)
  let at = ptr + HEAD_BYTES
  for (let column = 0; column < columns && at + 4 <= end; column++) {
    const size = <i32>bswap<u32>(load<u32>(at))
    const next = at + 4 + max(size, 0)
    if (next > end || next < at) break
    if (size >= 0) putValue(at, size, 0, -1)
    at = next
  }
  endMessage(end)
}
