/**
 * From a text to the summaries of its statements. Texts that differ in values only are read once:
 * what is kept is found by their normal form.
 */
import { Blobs, NOTHING } from '../../shared/assembly/blobs'
import { keyed } from '../../shared/assembly/secret'
import { Table } from '../../shared/assembly/table'
import { normalise } from '../../sdk/assembly/sql/normal'
import { Quoting } from '../../sdk/assembly/sql/quoting'
import { isCut } from '../../sdk/assembly/sql/tokens'
import {
  Bytes,
  indexOf,
  lengthOf,
  part,
  ptrOf,
  Slice,
  slice,
  Statements,
} from '../../sdk/assembly/sdk'
import { isKnown, Summary } from './summary'

/** Longer texts are read each time that they come. */
const KEPT_BYTES_MAX: i32 = 16_384
const TEXTS_MAX: i32 = 16_384
const LISTS_BYTES_MAX: i32 = 4_194_304
/** Of a text so much is told in normal form; kinds and tables are read to its end. */
const FORM_BYTES_MAX: i32 = 131_072
/** Statements of one text that are told; further ones are counted. */
export const LINES_MAX: i32 = 1000
/** More than there are words. */
export const KINDS: i32 = 256
/** A text as it is kept: how many statements, the first one's summary, the list of more. */
const COUNT: usize = 0
const FIRST: usize = 4
const LIST: usize = 8
const KEPT_TEXT_BYTES: i32 = 16
const KIND: u64 = 0x7e47
const BACKSLASH: u8 = 0x5c

export const quoting = new Quoting()
const texts = new Table(TEXTS_MAX, KEPT_TEXT_BYTES)
const lists = new Blobs(LISTS_BYTES_MAX)
const statements = new Statements()
const form = new Bytes()
const summary = new Summary()
const heads = new Bytes()
const list = new Bytes()
/** Of each statement: its kind, where its head ends, where its text begins, and its length. */
const found = new StaticArray<i32>(LINES_MAX * 4)

/** What the last text has said. */
export class Said {
  static count: i32 = 0
  static first: i32 = NOTHING
  /** The numbers of all summaries where there are several; good until the next text. */
  static list: Slice = 0
  /** Statements behind those that are told. */
  static more: i32 = 0
  /** How many of them there are of each kind. */
  static moreOf: StaticArray<i32> = new StaticArray<i32>(KINDS)
}

/** Reads a text; where no backslash is in it, it does not matter how the session reads strings. */
export function readText(sql: Slice): void {
  const isStandard = indexOf(sql, BACKSLASH) < 0 || quoting.load().standardStrings
  Said.more = 0
  if (lengthOf(sql) > KEPT_BYTES_MAX) return readWhole(sql, isStandard)
  normalise(sql, form.clear(), isStandard)
  const key = form.isCut ? 0 : keyed(KIND, form.slice)
  if (key != 0 && isFound(key)) return
  const forgotten = summary.forgotten
  readWhole(sql, isStandard)
  if (key != 0 && Said.more == 0 && summary.forgotten == forgotten) keep(key)
}

function isFound(key: u64): bool {
  const place = texts.find(key)
  if (place == 0) return false
  const count = load<i32>(place, COUNT)
  const first = load<i32>(place, FIRST)
  if (count > 0 && !isKnown(first)) return false
  Said.count = count
  Said.first = first
  if (count <= 1) return true
  Said.list = lists.at(load<i32>(place, LIST))
  return lengthOf(Said.list) == count * 4
}

function keep(key: u64): void {
  const listed = Said.count > 1 ? lists.intern(Said.list) : 0
  const place = texts.put(key)
  if (place == 0) return
  store<i32>(place, Said.count, COUNT)
  store<i32>(place, Said.first, FIRST)
  store<i32>(place, listed, LIST)
}

function readWhole(sql: Slice, isStandard: bool): void {
  const count = walk(sql, isStandard)
  const isRestUnread = isCut
  const end = ptrOf(sql) + min(lengthOf(sql), FORM_BYTES_MAX)
  list.clear()
  let head = 0
  for (let at = 0; at < count; at++) {
    const from = ptrOf(sql) + found[at * 4 + 2]
    const length = found[at * 4 + 3]
    const read = from >= end ? 0 : min(length, <i32>(end - from))
    const isUnread = read < length || (isRestUnread && at == count - 1)
    const kept = part(heads.slice, head, found[at * 4 + 1])
    const id = summary.of(found[at * 4], kept, slice(from, read), isUnread, isStandard)
    head = found[at * 4 + 1]
    if (at == 0) Said.first = id
    list.int32(<i32>bswap<u32>(id))
  }
  Said.count = list.isCut ? 0 : count
  Said.list = list.slice
}

/** Goes over all statements of a text; how many are to be told. */
function walk(sql: Slice, isStandard: bool): i32 {
  statements.open(sql, isStandard)
  heads.clear()
  let count = 0
  while (statements.next()) {
    if (count == LINES_MAX) {
      if (Said.more++ == 0) Said.moreOf.fill(0)
      Said.moreOf[statements.kind]++
      continue
    }
    const text = statements.sql
    summary.head(statements, heads)
    found[count * 4] = statements.kind
    found[count * 4 + 1] = heads.length
    found[count * 4 + 2] = <i32>(ptrOf(text) - ptrOf(sql))
    found[count * 4 + 3] = lengthOf(text)
    count++
  }
  return count
}
