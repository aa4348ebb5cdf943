/**
 * The tables of the present statement and the names that WITH gives to queries. A name is kept in
 * one form, however it was written: its parts with dots between, each in quotes only where it
 * needs them, `shop."My Orders"`. So equal bytes are equal names, and people can read them.
 */
import { Bytes } from '../bytes'
import { slice, Slice } from '../slice'
import { appendName } from './decode'
import { next, token, Token } from './tokens'

/** Tables listed of one statement; further ones are only known to be more. */
const TABLES_MAX = 64
const QUERIES_MAX = 64
/** What a statement does with a table. */
export const READ: i32 = 1
/** It changes rows or the table itself, whatever it may also read of it. */
export const WRITTEN: i32 = 2

/** Names one behind another. */
const text = new Bytes()
const starts = new StaticArray<i32>(TABLES_MAX)
const lengths = new StaticArray<i32>(TABLES_MAX)
const accesses = new StaticArray<i32>(TABLES_MAX)
export let tables: i32 = 0
/** True where there were more than could be listed. */
export let more: bool = false

const queryText = new Bytes()
const queryStarts = new StaticArray<i32>(QUERIES_MAX)
const queryLengths = new StaticArray<i32>(QUERIES_MAX)
const queryDepths = new StaticArray<i32>(QUERIES_MAX)
/** False while the query's own text is being read: there its name is still a table's. */
const queryActive = new StaticArray<bool>(QUERIES_MAX)
let queries: i32 = 0

/** The name being read, and its number of parts. */
const name = new Bytes()
let parts: i32 = 0

export function clearNames(): void {
  text.clear()
  queryText.clear()
  tables = 0
  queries = 0
  more = false
}

/** True for a name that is the same without quotes. */
function isPlain(ptr: usize, length: i32): bool {
  for (let at = 0; at < length; at++) {
    const byte = load<u8>(ptr + at)
    const letter = (byte >= 0x61 && byte <= 0x7a) || byte == 0x5f || byte >= 0x80
    const inner = (byte >= 0x30 && byte <= 0x39) || byte == 0x24
    if (!letter && (at == 0 || !inner)) return false
  }
  return length > 0
}

/** Appends a part of a name, in quotes where it needs them. */
export function appendPart(into: Bytes, ptr: usize, length: i32): void {
  if (isPlain(ptr, length)) {
    into.raw(ptr, length)
    return
  }
  into.byte(0x22)
  for (let at = 0; at < length; at++) {
    const byte = load<u8>(ptr + at)
    if (byte == 0x22) into.byte(0x22)
    into.byte(byte)
  }
  into.byte(0x22)
}

const decodedPart = new Bytes()

function addPart(): void {
  appendName(decodedPart.clear())
  appendPart(name, decodedPart.ptr, decodedPart.length)
  parts++
}

/** True for a token that is a name: in quotes or not. */
export function isName(): bool {
  return token == Token.Word || token == Token.Quoted || token == Token.UnicodeQuoted
}

/** Reads a name with its schema, from the present token on; the token behind it is present then. */
export function readName(): void {
  name.clear()
  parts = 0
  addPart()
  while (next() == Token.Dot) {
    next()
    if (!isName()) return
    name.byte(0x2e)
    addPart()
  }
}

function isSame(other: Bytes, start: i32, length: i32): bool {
  return length == name.length && memory.compare(other.ptr + start, name.ptr, length) == 0
}

/** True where the name that was read last is one that WITH gave. */
export function isQuery(): bool {
  if (parts != 1) return false
  for (let at = 0; at < queries; at++) {
    if (queryActive[at] && isSame(queryText, queryStarts[at], queryLengths[at])) return true
  }
  return false
}

/** The name that was read last; good until the next is read. */
export function lastName(): Slice {
  return name.slice
}

/** Lists the name that was read last, once, with what is done to it. Its position, or -1. */
export function addTable(access: i32): i32 {
  for (let at = 0; at < tables; at++) {
    if (!isSame(text, starts[at], lengths[at])) continue
    accesses[at] |= access
    return at
  }
  if (tables == TABLES_MAX) {
    more = true
    return -1
  }
  starts[tables] = text.length
  lengths[tables] = name.length
  accesses[tables] = access
  text.raw(name.ptr, name.length)
  return tables++
}

/** Adds to what is done to a listed table. */
export function markTable(at: i32, access: i32): void {
  if (at >= 0) accesses[at] |= access
}

/** The name of a listed table; good until the next statement is read. */
export function tableAt(at: i32): Slice {
  return slice(text.ptr + starts[at], lengths[at])
}

/** What the statement does with it: READ, WRITTEN, or both. */
export function accessAt(at: i32): i32 {
  return accesses[at]
}

/**
 * Notes the name that was read last as a query's, at this depth and below. Returns its number for
 * `activate`, or -1: too many, so that it will be taken for a table, which tells more, not less.
 */
export function addQuery(depth: i32): i32 {
  if (queries == QUERIES_MAX) return -1
  queryStarts[queries] = queryText.length
  queryLengths[queries] = name.length
  queryDepths[queries] = depth
  queryActive[queries] = false
  queryText.raw(name.ptr, name.length)
  return queries++
}

/** From now on the name means the query. */
export function activate(query: i32): void {
  if (query >= 0) queryActive[query] = true
}

/** Forgets the names of queries at this depth and below it. */
export function dropQueries(depth: i32): void {
  while (queries > 0 && queryDepths[queries - 1] >= depth) queries--
}
