/**
 * Follows what is sent to the server: what of it writes, what changes the session, which prepared
 * statements there are, and whose reply is to be taken down.
 */
import { Bind, Execute, Parse, Query, Target } from '../../sdk/assembly/postgres/frontend'
import { Frontend, Messages } from '../../sdk/assembly/postgres/messages'
import { lengthOf, ptrOf, Slice } from '../../sdk/assembly/slice'
import { nowMs } from '../../sdk/assembly/host'
import { Connection, Head, IDLE, IN_TRANSACTION } from './connections'
import { counts, Reason } from './counts'
import { ALL, emptyAll, moment } from './databases'
import { hash, high, low, secretHigh, secretLow } from './hash'
import {
  ENDS, FORGETS, judge, Judged, KEEPS, REACHES, RENEWS, SETS, TAINTS, WRITES,
} from './judge'
import { Prepared } from './prepared'
import { takeRecording } from './recordings'
import { tellsTime } from '../../shared/assembly/seen'

const messages = new Messages()
const query = new Query()
const parse = new Parse()
const bind = new Bind()
const target = new Target()
const execute = new Execute()

/** The messages of a unit as octal digits: Parse, Bind, Describe, Execute, Sync; and Query. */
const PARSE: i32 = 1
const BIND: i32 = 2
const DESCRIBE: i32 = 3
const EXECUTE: i32 = 4
const SYNC: i32 = 5
const QUERY: i32 = 6
/** What a unit with anything else is. */
const ODD: i32 = -1
const PARSED: i32 = 0o1245
const PARSED_DESCRIBED: i32 = 0o12345
const BOUND: i32 = 0o245
const BOUND_DESCRIBED: i32 = 0o2345

/** Larger ones are not looked up: they come once. */
export const UNIT_BYTES_MAX: i32 = 65_536

/** Where a Bind of the portal without a name tells its statement. */
const BIND_NAME: usize = 6

/** What the present unit is made of. */
class Unit {
  static shape: i32 = 0
  static flags: i32 = 0
  static reason: Reason = Reason.Form
  static tables: u64 = 0
  /** How many statements it runs. */
  static runs: i32 = 0
  /** The statement with a name that it binds. */
  static statement: Prepared | null = null
}

function add(digit: i32): void {
  if (Unit.shape == ODD || Unit.shape > 0o7777) Unit.shape = ODD
  else Unit.shape = (Unit.shape << 3) | digit
}

function odd(): void {
  Unit.shape = ODD
}

function run(flags: i32, reason: Reason, tables: u64): void {
  Unit.runs++
  Unit.flags |= flags
  Unit.reason = reason
  Unit.tables |= tables
}

/** Takes note of whole messages that have gone to the server. */
export function sent(connection: Connection, ptr: usize, length: i32): void {
  if (!connection.isPlaced) connection.place()
  const wasQuiet = connection.isQuiet
  const isBehind = connection.status == IN_TRANSACTION && connection.owed == 0
    && !connection.isUnsynced
  Unit.shape = 0
  Unit.flags = 0
  Unit.tables = 0
  Unit.runs = 0
  Unit.statement = null
  messages.open(ptr, length)
  while (messages.next()) read(connection)
  if (Unit.runs > 0) conclude(connection, ptr, length, wasQuiet, isBehind)
}

function read(connection: Connection): void {
  const ptr = messages.ptr
  const length = messages.length
  switch (messages.type) {
    case Frontend.QUERY:
      connection.owed++
      connection.isExtended = false
      add(QUERY)
      if (!query.read(ptr, length)) return run(WRITES | TAINTS, Reason.Form, ALL)
      judge(query.sql)
      return run(Judged.flags, Judged.reason, Judged.tables)
    case Frontend.PARSE:
      connection.isUnsynced = true
      return readParse(connection, ptr, length)
    case Frontend.BIND:
      connection.isUnsynced = true
      return readBind(connection, ptr, length)
    case Frontend.DESCRIBE:
      connection.isUnsynced = true
      if (!target.read(Frontend.DESCRIBE, ptr, length)) return odd()
      return target.isStatement || lengthOf(target.name) > 0 ? odd() : add(DESCRIBE)
    case Frontend.EXECUTE:
      connection.isUnsynced = true
      if (!execute.read(ptr, length)) return odd()
      return execute.rowsMax != 0 || lengthOf(execute.portal) > 0 ? odd() : add(EXECUTE)
    case Frontend.CLOSE:
      connection.isUnsynced = true
      odd()
      if (target.read(Frontend.CLOSE, ptr, length) && target.isStatement) {
        if (lengthOf(target.name) == 0) connection.isUnnamedStale = false
        const closed = connection.statement(target.name)
        if (closed != null) connection.dropStatement(closed)
      }
      return
    case Frontend.SYNC:
      connection.isUnsynced = false
      connection.isExtended = true
      if (connection.copies) connection.copies = false
      else connection.owed++
      return add(SYNC)
    case Frontend.FUNCTION_CALL:
      connection.owed++
      odd()
      return run(WRITES, Reason.Function, ALL)
    default:
      odd()
  }
}

function readParse(connection: Connection, ptr: usize, length: i32): void {
  if (!parse.read(ptr, length)) return odd()
  const isUnnamed = lengthOf(parse.name) == 0
  if (isUnnamed) {
    connection.isUnnamedStale = false
    add(PARSE)
  } else odd()
  const known = connection.statement(parse.name)
  const statement = known == null ? connection.addStatement() : known
  if (statement == null) return
  if (known != null && !isUnnamed) {
    // The server refuses it, unless the one before had failed too: which it has is not known.
    statement.flags = WRITES
    statement.reason = Reason.Form
    statement.tables = ALL
    return
  }
  judge(parse.sql)
  statement.flags = Judged.flags
  statement.reason = Judged.reason
  statement.tables = Judged.tables
  const from = ptrOf(parse.sql)
  hash(secretHigh, secretLow, from, <i32>(ptr + length - from))
  statement.low = low
  statement.high = high
}

function readBind(connection: Connection, ptr: usize, length: i32): void {
  if (!bind.read(ptr, length)) {
    odd()
    return run(WRITES | TAINTS, Reason.Form, ALL)
  }
  const statement = connection.statement(bind.statement)
  const isParsed = Unit.shape == PARSE
  const isUnnamed = lengthOf(bind.statement) == 0
  // The key of what is parsed here is that of the whole unit, else that of the statement's name.
  if (lengthOf(bind.portal) > 0 || isParsed != isUnnamed || statement == null) odd()
  else add(BIND)
  if (statement == null) return run(WRITES, Reason.Form, ALL)
  if (!isUnnamed) Unit.statement = statement
  let flags = statement.flags
  let reason = statement.reason
  if ((flags & KEEPS) != 0 && length <= UNIT_BYTES_MAX && tellsTimeOf(bind.encodedValues)) {
    flags &= ~KEEPS
    reason = Reason.Volatile
  }
  run(flags, reason, statement.tables)
}

function tellsTimeOf(run: Slice): bool {
  return tellsTime(ptrOf(run), lengthOf(run))
}

/** True for a unit that is answered as a whole, and whose key is known. */
function isWhole(): bool {
  switch (Unit.shape) {
    case QUERY:
    case PARSED:
    case PARSED_DESCRIBED:
    case BOUND:
    case BOUND_DESCRIBED:
      return Unit.runs == 1
    default:
      return false
  }
}

/**
 * The key of a unit: of the session, of its statement where that is not in it, and of its bytes.
 * What stands before the statement's name, and the name, say nothing more.
 */
export function hashUnit(
  connection: Connection,
  statement: Prepared | null,
  ptr: usize,
  length: i32,
): void {
  if (statement == null) return hash(connection.domainLow, connection.domainHigh, ptr, length)
  const keyLow = connection.domainLow ^ statement.low
  const end = ptr + length
  let from = ptr + BIND_NAME
  while (from < end && load<u8>(from) != 0) from++
  hash(keyLow, connection.domainHigh ^ statement.high, from, <i32>(end - from))
}

function conclude(
  connection: Connection,
  ptr: usize,
  length: i32,
  wasQuiet: bool,
  isBehind: bool,
): void {
  const flags = Unit.flags
  if ((flags & FORGETS) != 0) connection.forgetStatements()
  if ((flags & TAINTS) != 0) connection.isTainted = true
  if ((flags & REACHES) != 0) {
    connection.reaches = true
    emptyAll()
  }
  if ((flags & WRITES) != 0) connection.writes(Unit.tables, isBehind)
  if ((flags & ENDS) != 0) connection.commits()
  if ((flags & (SETS | RENEWS)) != 0) return changeSettings(connection, ptr, length, wasQuiet)
  if ((flags & KEEPS) == 0 || (flags & (WRITES | ENDS)) != 0) return counts.bypass(Unit.reason)
  if (!isWhole() || length > UNIT_BYTES_MAX) return counts.bypass(Reason.Form)
  if (connection.isTainted || connection.isAlien) return counts.bypass(Reason.Session)
  if (connection.status != IDLE) return counts.bypass(Reason.Transaction)
  if (!wasQuiet) return counts.bypass(Reason.Pipeline)
  takeDown(connection, ptr, length)
}

/** Settings that succeed alone, outside of a transaction, become part of the key. */
function changeSettings(connection: Connection, ptr: usize, length: i32, wasQuiet: bool): void {
  counts.bypass(Reason.Command)
  const renews = (Unit.flags & RENEWS) != 0
  const isAlone = wasQuiet && isWhole() && (Unit.flags & (WRITES | ENDS | TAINTS)) == 0
  if (!isAlone || (renews && (Unit.flags & SETS) != 0)) {
    connection.isTainted = true
    return
  }
  connection.head = Head.Settings
  connection.hasFailed = false
  connection.renews = renews
  if (renews) hash(connection.baseLow, connection.baseHigh, 0, 0)
  else hashUnit(connection, Unit.statement, ptr, length)
  connection.pendingLow = low
  connection.pendingHigh = high
}

function takeDown(connection: Connection, ptr: usize, length: i32): void {
  const now = moment()
  if (!connection.database.isUntouched(now, Unit.tables)) return counts.bypass(Reason.Commit)
  const recording = takeRecording()
  if (recording == null) return counts.bypass(Reason.Pipeline)
  counts.misses++
  hashUnit(connection, Unit.statement, ptr, length)
  recording.low = low
  recording.high = high
  recording.at = now
  recording.sentAtMs = nowMs()
  recording.tables = Unit.tables
  const isParsed = Unit.shape == PARSED || Unit.shape == PARSED_DESCRIBED
  const isExtended = Unit.shape != QUERY
  recording.begin(isExtended, isParsed, Unit.shape != PARSED && Unit.shape != BOUND)
  connection.recording = recording
  connection.head = Head.Recording
  connection.hasFailed = false
}
