/** The tables of the present statement and the names that WITH gives to queries. */
import { Bytes } from '../../abi/assembly/postern'
import { from, next, to, token, Token } from './scanner'
import { lower } from './words'

/** Tables listed of one statement; further ones are only known to be more. */
const TABLES_MAX = 64
const QUERIES_MAX = 64
/** Bytes of one part of a name that are told; PostgreSQL itself takes no more than 63. */
const PART_BYTES_MAX = 255

/** Names one behind another, as they are told: folded where they bear no quotes. */
const text = new Bytes()
const starts = new StaticArray<i32>(TABLES_MAX)
const lengths = new StaticArray<i32>(TABLES_MAX)
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

/** True for a quoted name that would be the same without its quotes. */
function isPlain(ptr: usize, length: i32): bool {
  for (let at = 0; at < length; at++) {
    const byte = load<u8>(ptr + at)
    const letter = (byte >= 0x61 && byte <= 0x7a) || byte == 0x5f
    if (!letter && (at == 0 || byte < 0x30 || byte > 0x39)) return false
  }
  return length > 0
}

function addPart(): void {
  const length = min(i32(to - from), PART_BYTES_MAX)
  if (token == Token.Word) {
    for (let at = 0; at < length; at++) name.byte(lower(load<u8>(from + at)))
  } else if (load<u8>(from) == 0x22 && isPlain(from + 1, length - 2)) {
    name.raw(from + 1, length - 2)
  } else name.raw(from, length)
  parts++
}

/** Reads a name with its schema, from the present token on; the token behind it is present then. */
export function readName(): void {
  name.clear()
  parts = 0
  addPart()
  while (next() == Token.Dot) {
    next()
    if (token != Token.Word && token != Token.Quoted) return
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

/** Lists the name that was read last, once. */
export function addTable(): void {
  for (let at = 0; at < tables; at++) if (isSame(text, starts[at], lengths[at])) return
  if (tables == TABLES_MAX) {
    more = true
    return
  }
  starts[tables] = text.length
  lengths[tables++] = name.length
  text.raw(name.ptr, name.length)
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

/** The listed tables as a JSON array. */
export function writeTables(line: Bytes): void {
  line.byte(0x5b)
  for (let at = 0; at < tables; at++) {
    if (at > 0) line.byte(0x2c)
    line.byte(0x22).json(text.ptr + starts[at], lengths[at]).byte(0x22)
  }
  line.byte(0x5d)
}
