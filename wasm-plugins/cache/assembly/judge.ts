/**
 * What a text of SQL means for what is in memory: whether its result may be kept, whether it writes,
 * and whether it changes the session. Where the text leaves a doubt, it writes and is not kept.
 */
import { beginsWith, lengthOf, lower, part, ptrOf, Slice, slice } from '../../sdk/assembly/slice'
import { Statements } from '../../sdk/assembly/sql/statements'
import {
  from, hasOpenQuote, inside, isAmbiguous, isCut, next, open, to, token, Token, word,
} from '../../sdk/assembly/sql/tokens'
import { Word } from '../../sdk/assembly/sql/words'
import { Reason } from './counts'
import { ALL } from './databases'
import { Call, callOf } from './functions'

/** Its result may be kept and told to others. */
export const KEEPS: i32 = 1
/** It may change what others read. */
export const WRITES: i32 = 2
/** It changes settings of the session, which become part of the key. */
export const SETS: i32 = 4
/** It gives the session what no key can tell. */
export const TAINTS: i32 = 8
/** It may end a transaction, or begin one. */
export const ENDS: i32 = 16
/** Names of prepared statements go. */
export const FORGETS: i32 = 32
/** The session is as after its login. */
export const RENEWS: i32 = 64
/** What it changes goes beyond its database: roles and settings of sessions to come. */
export const REACHES: i32 = 128

/** What is said of the text judged last. */
export class Judged {
  static flags: i32 = 0
  /** Why its result is not kept. */
  static reason: Reason = Reason.Form
  /** Of a result that is kept: the tables it was read from. Of a write: those it wrote. */
  static tables: u64 = 0
}

/** What the tokens of the whole text say. */
class Seen {
  static unknown: bool = false
  static volatile: bool = false
  static sets: bool = false
  static locks: bool = false
  static temporary: bool = false
}

const statements = new Statements()
let byTable: bool = false

/** Whether a write makes only results of its own tables stale. */
export function judgeByTable(on: bool): void {
  byTable = on
}

/** Judges a text of one or several statements. */
export function judge(sql: Slice): void {
  Judged.flags = 0
  Judged.reason = Reason.Form
  Judged.tables = 0
  readTokens(sql)
  const isDoubtful = isAmbiguous || isCut || hasOpenQuote
  const end = ptrOf(sql) + lengthOf(sql)
  let count = 0
  let at = ptrOf(sql)
  while (at < end) {
    // One at a time, for judging it may read its tokens again.
    statements.open(slice(at, <i32>(end - at)))
    if (!statements.next()) break
    at = ptrOf(statements.sql) + lengthOf(statements.sql)
    count++
    if (!statements.isWhole) doubt()
    judgeOne()
  }
  if (isDoubtful) doubt()
  if (count != 1) Judged.flags &= ~KEEPS
  // In a transaction of its own a SET may be undone.
  if ((Judged.flags & SETS) != 0 && (Judged.flags & ENDS) != 0) Judged.flags |= TAINTS
  if ((Judged.flags & WRITES) != 0) Judged.flags &= ~KEEPS
}

/** Nothing is certain: it may write anything, and set anything. */
function doubt(): void {
  Judged.flags = (Judged.flags & ~KEEPS) | WRITES | TAINTS
  Judged.tables = ALL
  Judged.reason = Reason.Form
}

function no(reason: Reason, flags: i32 = 0): void {
  Judged.reason = reason
  Judged.flags |= flags
}

function writes(tables: u64 = ALL, flags: i32 = 0): void {
  Judged.reason = Reason.Write
  Judged.flags |= WRITES | flags
  Judged.tables |= tables
}

function judgeOne(): void {
  if (Seen.sets) no(Reason.Session, SETS)
  switch (statements.kind) {
    case Word.Select:
    case Word.Values:
    case Word.Table:
      return judgeReading()
    case Word.Insert:
    case Word.Update:
    case Word.Delete:
    case Word.Merge:
    case Word.Truncate:
      return writes(Seen.unknown ? ALL : written())
    case Word.Copy:
      if (statements.isCopyIn || !statements.isReadOnly || Seen.unknown) return writes()
      return no(Reason.Command)
    case Word.Begin:
    case Word.Start:
    case Word.Savepoint:
    case Word.Release:
      return no(Reason.Command, ENDS)
    case Word.Commit:
    case Word.End:
    case Word.Rollback:
    case Word.Abort:
      return judgeEnd()
    case Word.Prepare:
      // Without a statement it is PREPARE TRANSACTION.
      if (statements.inner == Word.None) return no(Reason.Command, ENDS)
      return no(Reason.Command, Seen.sets ? TAINTS : 0)
    case Word.Explain:
    case Word.Declare:
      if (!statements.isReadOnly || Seen.unknown) return writes()
      return no(Reason.Command)
    case Word.Fetch:
    case Word.Move:
    case Word.Close:
    case Word.Show:
    case Word.Listen:
    case Word.Unlisten:
    case Word.Notify:
    case Word.Lock:
    case Word.Checkpoint:
      return no(Reason.Command)
    default:
      judgeCommand()
  }
}

function judgeCommand(): void {
  switch (statements.kind) {
    case Word.Set:
      return judgeSet()
    case Word.Reset:
      return no(Reason.Command, SETS)
    case Word.Discard:
      return no(Reason.Command, FORGETS | (secondIs(Word.All) ? RENEWS : 0))
    case Word.Deallocate:
      return no(Reason.Command, FORGETS)
    case Word.Execute:
      return writes()
    case Word.Do:
    case Word.Call:
    case Word.Load:
      return writes(ALL, TAINTS)
    case Word.Create:
      return writes(ALL, Seen.temporary ? TAINTS : 0)
    case Word.Alter:
    case Word.Drop:
    case Word.Grant:
    case Word.Revoke:
    case Word.Reassign:
      return writes(ALL, REACHES)
    case Word.Other:
      return writes(ALL, TAINTS)
    default:
      writes()
  }
}

function judgeReading(): void {
  if (!statements.isReadOnly) return writes(ALL, Seen.temporary ? TAINTS : 0)
  if (Seen.unknown) {
    writes()
    Judged.reason = Reason.Function
  } else if (Seen.sets) return
  else if (Seen.volatile) no(Reason.Volatile)
  else if (Seen.locks) no(Reason.Lock)
  else if (readsCatalog()) no(Reason.Catalog)
  else {
    Judged.flags |= KEEPS
    Judged.tables |= byTable ? tables() : 0
  }
}

/** COMMIT PREPARED and ROLLBACK PREPARED end a transaction of another session. */
function judgeEnd(): void {
  if (secondIs(Word.Prepared)) return writes(ALL, ENDS)
  no(Reason.Command, ENDS)
}

function judgeSet(): void {
  openPresent()
  next()
  next()
  // SET LOCAL and SET TRANSACTION end with the transaction, in which nothing is kept.
  if (word == Word.Local || word == Word.Transaction || spells('constraints')) {
    return no(Reason.Command)
  }
  if (word == Word.Session) next()
  no(Reason.Command, isHarmless() ? 0 : SETS)
}

/** Settings that no result depends on. */
function isHarmless(): bool {
  return spells('application_name') || spells('statement_timeout') || spells('lock_timeout')
    || spells('idle_in_transaction_session_timeout') || spells('client_min_messages')
}

function spells(name: string): bool {
  if (token != Token.Word || <i32>(to - from) != name.length) return false
  for (let at = 0; at < name.length; at++) {
    if (<i32>lower(load<u8>(from + at)) != name.charCodeAt(at)) return false
  }
  return true
}

/** Begins with the present statement's own tokens again. */
function openPresent(): void {
  open(ptrOf(statements.sql), lengthOf(statements.sql))
}

function secondIs(wanted: Word): bool {
  openPresent()
  next()
  next()
  return word == wanted
}

function readsCatalog(): bool {
  if (statements.hasMoreTables) return true
  for (let at = 0; at < statements.tables; at++) {
    const name = statements.table(at)
    if (beginsWith(name, 'pg_') || beginsWith(name, 'information_schema.')) return true
    // With the database before it.
    if (indexOfText(name, '.pg_') >= 0 || indexOfText(name, '.information_schema.') >= 0) return true
  }
  return false
}

function indexOfText(run: Slice, text: string): i32 {
  for (let at = 0; at + text.length <= lengthOf(run); at++) {
    if (beginsWith(part(run, at), text)) return at
  }
  return -1
}

/** A bit for each table, by the last part of its name: its schema may be left out elsewhere. */
function bitOf(name: Slice): u64 {
  let hash: u32 = 0x811c_9dc5
  for (let at = 0; at < lengthOf(name); at++) {
    const byte = load<u8>(ptrOf(name) + at)
    hash = byte == 0x2e ? 0x811c_9dc5 : (hash ^ byte) * 0x0100_0193
  }
  return (<u64>1) << ((hash ^ (hash >> 16)) & 63)
}

function tables(): u64 {
  let bits: u64 = 0
  for (let at = 0; at < statements.tables; at++) bits |= bitOf(statements.table(at))
  return bits
}

function written(): u64 {
  if (!byTable || statements.hasMoreTables || statements.tables == 0) return ALL
  let bits: u64 = 0
  for (let at = 0; at < statements.tables; at++) {
    if (statements.isWritten(at)) bits |= bitOf(statements.table(at))
  }
  return bits == 0 ? ALL : bits
}

/** What the tokens before the present one were, as far as a call is told by it. */
const enum Before {
  Other,
  Name,
  Dot,
}

function readTokens(sql: Slice): void {
  Seen.unknown = false
  Seen.volatile = false
  Seen.sets = false
  Seen.locks = false
  Seen.temporary = false
  open(ptrOf(sql), lengthOf(sql))
  let before = Before.Other
  let namePtr: usize = 0
  let nameLength = 0
  let isForeign = false
  let isNaming = false
  let previous = Word.None
  while (next() != Token.End) {
    switch (token) {
      case Token.Word:
        isForeign = before == Before.Dot && !isText(namePtr, nameLength, 'pg_catalog')
        isNaming = before == Before.Other && names(previous)
        if (before != Before.Dot) readWord(previous)
        namePtr = from
        nameLength = <i32>(to - from)
        before = Before.Name
        break
      case Token.Quoted:
      case Token.UnicodeQuoted:
        isForeign = true
        isNaming = before == Before.Other && names(previous)
        namePtr = inside
        nameLength = <i32>(to - inside) - 1
        before = Before.Name
        if (hasText(namePtr, nameLength, 'pg_temp')) Seen.temporary = true
        break
      case Token.Dot:
        before = before == Before.Name ? Before.Dot : Before.Other
        break
      case Token.Open:
        if (before == Before.Name && !isNaming) note(callOf(namePtr, nameLength, isForeign))
        before = Before.Other
        break
      default:
        if (token >= Token.String && token <= Token.Dollar) readLiteral()
        before = Before.Other
    }
    previous = word
  }
}

/** Behind these a name with parentheses gives names to columns, and is no call. */
function names(previous: Word): bool {
  return previous == Word.With || previous == Word.Recursive || previous == Word.As
}

function note(call: Call): void {
  switch (call) {
    case Call.Unknown:
      Seen.unknown = true
      break
    case Call.Volatile:
      Seen.volatile = true
      break
    case Call.Setting:
      Seen.sets = true
      break
    default:
  }
}

/** Words that are functions without parentheses, and some that say more than their place. */
function readWord(previous: Word): void {
  if (previous == Word.For) {
    if (word == Word.Update || word == Word.Key || spells('share') || spells('no')) {
      Seen.locks = true
    }
    return
  }
  if (word == Word.Temp || word == Word.Temporary) Seen.temporary = true
  const first = lower(load<u8>(from))
  if (first == 0x63 && to - from > 11) {
    if (hasText(from, 8, 'current_')) Seen.volatile = true
  } else if (first == 0x6c) {
    if (spells('localtime') || spells('localtimestamp')) Seen.volatile = true
  } else if (first == 0x73) {
    if (spells('session_user') || spells('system_user')) Seen.volatile = true
  } else if (first == 0x75) {
    if (spells('user')) Seen.volatile = true
  } else if (first == 0x74) {
    if (spells('tablesample')) Seen.volatile = true
  } else if (first == 0x70) {
    if (hasText(from, <i32>(to - from), 'pg_temp')) Seen.temporary = true
  }
}

/** 'now', 'today' and such are times of their own, whatever type the literal becomes. */
function readLiteral(): void {
  const ptr = inside
  const length = <i32>(to - inside)
  const isPlain = token == Token.String || token == Token.Dollar
  if (!isPlain && length > 0 && hasByte(ptr, length, 0x5c)) Seen.volatile = true
  if (tellsTime(ptr, length)) Seen.volatile = true
}

function hasByte(ptr: usize, length: i32, byte: u8): bool {
  for (let at = 0; at < length; at++) if (load<u8>(ptr + at) == byte) return true
  return false
}

/** True for bytes with one of the words by which PostgreSQL means the present. */
export function tellsTime(ptr: usize, length: i32): bool {
  for (let at = 0; at + 3 <= length; at++) {
    const byte = lower(load<u8>(ptr + at))
    if (byte != 0x6e && byte != 0x74 && byte != 0x79) continue
    if (at > 0 && isLetter(load<u8>(ptr + at - 1))) continue
    if (isWordAt(ptr + at, length - at, 'now')) return true
    if (isWordAt(ptr + at, length - at, 'today')) return true
    if (isWordAt(ptr + at, length - at, 'tomorrow')) return true
    if (isWordAt(ptr + at, length - at, 'yesterday')) return true
  }
  return false
}

function isWordAt(ptr: usize, left: i32, text: string): bool {
  if (!hasText(ptr, left, text)) return false
  return left == text.length || !isLetter(load<u8>(ptr + text.length))
}

function isLetter(byte: u8): bool {
  const letter = lower(byte)
  return (letter >= 0x61 && letter <= 0x7a) || letter >= 0x80
}

/** True where the bytes begin with a text in any case. */
function hasText(ptr: usize, length: i32, text: string): bool {
  if (length < text.length) return false
  for (let at = 0; at < text.length; at++) {
    if (<i32>lower(load<u8>(ptr + at)) != text.charCodeAt(at)) return false
  }
  return true
}

function isText(ptr: usize, length: i32, text: string): bool {
  return length == text.length && hasText(ptr, length, text)
}
