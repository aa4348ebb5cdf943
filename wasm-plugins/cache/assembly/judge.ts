/**
 * What a text of SQL means for what is in memory: whether its result may be kept, whether it
 * writes, and whether it changes the session. Where it leaves a doubt, it writes and is not kept.
 */
import { beginsWith, lengthOf, part, ptrOf, Slice, slice } from '../../sdk/assembly/slice'
import { Statements } from '../../sdk/assembly/sql/statements'
import { hasOpenQuote, isCut, next, open, word } from '../../sdk/assembly/sql/tokens'
import { Word } from '../../sdk/assembly/sql/words'
import { Reason } from './counts'
import { ALL } from './databases'
import { readTokens, Seen, spells } from '../../shared/assembly/seen'

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

/** Longer texts are not read word by word, which must not take too long. */
const TEXT_BYTES_MAX: i32 = 1_048_576
/** Statements of one text; what has more is not looked at. */
const STATEMENTS_MAX: i32 = 1000

/** What is said of the text judged last. */
export class Judged {
  static flags: i32 = 0
  /** Why its result is not kept. */
  static reason: Reason = Reason.Form
  /** Of a result that is kept: the tables it was read from. Of a write: those it wrote. */
  static tables: u64 = 0
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
  if (lengthOf(sql) > TEXT_BYTES_MAX) return judgeLarge(sql)
  readTokens(sql)
  if (isCut) return doubt()
  // The server refuses what has no end; where a quote ends depends on a setting.
  const isOdd = hasOpenQuote || Seen.ambiguous
  const end = ptrOf(sql) + lengthOf(sql)
  let count = 0
  let at = ptrOf(sql)
  while (at < end) {
    // One at a time, for judging it may read its tokens again.
    statements.open(slice(at, <i32>(end - at)))
    if (!statements.next()) break
    if (++count > STATEMENTS_MAX) return doubt()
    at = ptrOf(statements.sql) + lengthOf(statements.sql)
    judgeOne()
  }
  if (isOdd) writes()
  if (count != 1) Judged.flags &= ~KEEPS
  // In a transaction of its own a SET may be undone.
  if ((Judged.flags & SETS) != 0 && (Judged.flags & ENDS) != 0) Judged.flags |= TAINTS
  if ((Judged.flags & WRITES) != 0) Judged.flags &= ~KEEPS
}

/** What is so large is one write of many rows, or it is not looked at. */
function judgeLarge(sql: Slice): void {
  statements.open(sql)
  if (!statements.next() || isCut) return doubt()
  switch (statements.kind) {
    case Word.Insert:
    case Word.Update:
    case Word.Delete:
    case Word.Merge: {
      const rest = ptrOf(statements.sql) + lengthOf(statements.sql)
      statements.open(slice(rest, <i32>(ptrOf(sql) + lengthOf(sql) - rest)))
      return statements.next() ? doubt() : writes()
    }
    default:
      doubt()
  }
}

/** Nothing is certain: it may do anything. */
function doubt(): void {
  Judged.flags = WRITES | TAINTS | ENDS | FORGETS | REACHES
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
    if (indexOfText(name, '.pg_') >= 0) return true
    if (indexOfText(name, '.information_schema.') >= 0) return true
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
