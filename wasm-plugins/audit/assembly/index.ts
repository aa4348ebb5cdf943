/**
 * The audit plugin: one log line a statement, with its kind, its tables and its user, and a count
 * by kind. Never a literal: what a statement says about rows stays out of the log.
 */
import {
  answer,
  Bytes,
  config,
  connection,
  CONTINUE,
  INFO,
  log,
  metric,
  outputText,
  postern_alloc,
} from '../../abi/assembly/postern'
import { Now } from './frames'
import { more, writeTables } from './names'
import { open } from './scanner'
import { readStatement } from './statement'
import { lengthOf, lettersOf, Word } from './words'

export { postern_alloc }

/** Lines of one message; further statements are counted, and how many there were is told. */
const LINES_MAX = 1000
const NO_LINES = -1

const line = new Bytes()
const user = new Bytes()
let level: i32 = INFO
let configured: bool = false

export function describe(): i32 {
  outputText(
    `{"abi":1,"name":"audit","version":"0.1.0",` +
      `"description":"Logs and counts statements by kind and table, never their literals",` +
      `"authors":["The Postern Authors"],"license":"Apache-2.0","tags":["audit"],` +
      `"hooks":[{"name":"onTrafficFromClient","unit":"message","messages":["Query","Parse"]}],` +
      `"metrics":[{"name":"statements_total","type":"counter","help":"Statements by kind",` +
      `"labels":["kind"]}],` +
      `"config":{"type":"object","additionalProperties":false,"properties":{"level":{` +
      `"type":"string","enum":["trace","debug","info","warn","error","off"],"default":"info",` +
      `"description":"The level of the lines; off: only count"}}}}`,
  )
  return 0
}

/** The level by the first letter of its name; no two begin alike. */
function levelNamed(letter: u8): i32 {
  switch (letter) {
    case 0x74:
      return 0
    case 0x64:
      return 1
    case 0x77:
      return 3
    case 0x65:
      return 4
    case 0x6f:
      return NO_LINES
    default:
      return INFO
  }
}

function configure(): void {
  configured = true
  if (config('level') && answer.length > 0) level = levelNamed(load<u8>(answer.ptr))
}

/** The place behind the first zero byte from `ptr` on, or `end`. */
function behindZero(ptr: usize, end: usize): usize {
  while (ptr < end && load<u8>(ptr) != 0) ptr++
  return min(ptr + 1, end)
}

const USER_KEY = memory.data<u8>([0x22, 0x75, 0x73, 0x65, 0x72, 0x22, 0x3a, 0x22])
const USER_KEY_BYTES = 8

/**
 * Takes the user from the connection's JSON, escaped as it stands there. Within a JSON string a
 * quote has a backslash before it, so the key with its quotes is found nowhere but as a key.
 */
function readUser(): void {
  user.clear()
  if (!connection()) return
  const end = answer.ptr + answer.length
  for (let ptr = answer.ptr; ptr + USER_KEY_BYTES < end; ptr++) {
    if (load<u8>(ptr) != 0x22 || memory.compare(ptr, USER_KEY, USER_KEY_BYTES) != 0) continue
    const from = ptr + USER_KEY_BYTES
    let to = from
    while (to < end && load<u8>(to) != 0x22) to += load<u8>(to) == 0x5c ? 2 : 1
    if (to < end) user.raw(from, i32(to - from))
    return
  }
}

function writeWithin(): void {
  line.text(',"within":[')
  let first = true
  for (let verb: i32 = Word.Insert; verb <= Word.Merge; verb++) {
    if ((Now.within & (1 << verb)) == 0) continue
    if (!first) line.byte(0x2c)
    first = false
    line.byte(0x22).raw(lettersOf(verb), lengthOf(verb)).byte(0x22)
  }
  line.byte(0x5d)
}

function writeUser(): void {
  if (user.length > 0) line.text(',"user":"').raw(user.ptr, user.length).byte(0x22)
  line.byte(0x7d)
}

function writeStatement(): void {
  line.clear().text('{"message":"statement","kind":"')
  line.raw(lettersOf(Now.kind), lengthOf(Now.kind)).text('","tables":')
  writeTables(line)
  if (more) line.text(',"more":true')
  if (Now.within != 0) writeWithin()
  writeUser()
  log(level, line)
}

function writeUnlisted(count: i32): void {
  line.clear().text('{"message":"statements counted, not listed","count":').number(count)
  writeUser()
  log(level, line)
}

/** Reads one whole message of PostgreSQL's protocol. */
export function on_traffic_from_client(ptr: usize, len: i32): i32 {
  if (!configured) configure()
  const end = ptr + len
  let from = min(ptr + 5, end)
  const tag = len > 5 ? load<u8>(ptr) : 0
  if (tag == 0x50) from = behindZero(from, end)
  else if (tag != 0x51) return CONTINUE
  let to = behindZero(from, end)
  if (to > from && load<u8>(to - 1) == 0) to--
  open(from, i32(to - from))
  if (level != NO_LINES) readUser()
  let lines = 0
  for (let going = true; going; ) {
    going = readStatement()
    if (Now.kind == Word.None) continue
    metric(0, 1, lettersOf(Now.kind), lengthOf(Now.kind))
    if (level != NO_LINES && ++lines <= LINES_MAX) writeStatement()
  }
  if (lines > LINES_MAX) writeUnlisted(lines - LINES_MAX)
  return CONTINUE
}
