/**
 * Where a text of SQL may run: anywhere, because it only reads, or where writes are taken. What
 * leaves a doubt belongs to the writes.
 */
import { Seen, readTokens, spells } from '../../shared/assembly/seen'
import { lengthOf, ptrOf, Slice, slice } from '../../sdk/assembly/slice'
import { Purpose, Statements } from '../../sdk/assembly/sql/statements'
import { isCut, next, open, token, Token } from '../../sdk/assembly/sql/tokens'
import { Word } from '../../sdk/assembly/sql/words'

/** Why a text belongs to the writes; `Reads`: it does not. */
export const enum Reason {
  Reads,
  /** It changes rows, tables, or what cannot be seen. */
  Writes,
  /** It calls a function that is not known, or that belongs to the session or the server. */
  Function,
  /** It locks rows. */
  Locks,
  /** It begins a transaction that is not READ ONLY. */
  Transaction,
  /** It arranges something for its own session, which other servers know nothing of. */
  Session,
}

/** Longer texts are not read word by word, which must not take too long. */
const TEXT_BYTES_MAX: i32 = 1_048_576
/** Statements of one text; what has more belongs to the writes. */
const STATEMENTS_MAX: i32 = 1000

const statements = new Statements()
/** A READ ONLY transaction has begun in the present text. */
let isGuarded: bool = false

export function judge(sql: Slice): Reason {
  if (lengthOf(sql) > TEXT_BYTES_MAX) return Reason.Writes
  readTokens(sql)
  if (isCut || Seen.ambiguous) return Reason.Writes
  isGuarded = false
  let found = Reason.Reads
  let count = 0
  const end = ptrOf(sql) + lengthOf(sql)
  let at = ptrOf(sql)
  while (at < end) {
    // One at a time, for judging it may read its tokens again.
    statements.open(slice(at, <i32>(end - at)))
    if (!statements.next()) break
    if (++count > STATEMENTS_MAX || !statements.isWhole) return Reason.Writes
    at = ptrOf(statements.sql) + lengthOf(statements.sql)
    const reason = judgeOne()
    // What a session has arranged matters longest.
    if (reason > found) found = reason
  }
  return count == 0 ? Reason.Writes : found
}

function judgeOne(): Reason {
  switch (statements.kind) {
    case Word.Select:
    case Word.Values:
    case Word.Table:
      return judgeReading()
    case Word.Begin:
    case Word.Start:
      isGuarded = saysReadOnly()
      return isGuarded ? Reason.Reads : Reason.Transaction
    case Word.Commit:
    case Word.End:
    case Word.Rollback:
    case Word.Abort:
      return isGuarded ? Reason.Reads : Reason.Transaction
    case Word.Set:
      return saysFor('local') || saysFor('transaction') || saysFor('constraints')
        ? Reason.Writes
        : Reason.Session
    case Word.Declare:
      return says('hold') ? Reason.Session : Reason.Writes
    case Word.Load:
      return Reason.Session
    default:
      break
  }
  if (statements.purpose == Purpose.Arranging || Seen.temporary) return Reason.Session
  return Reason.Writes
}

function judgeReading(): Reason {
  if (Seen.temporary || Seen.sets || Seen.held) return Reason.Session
  if (!statements.isReadOnly) return Reason.Writes
  if (Seen.unknown || Seen.bound) return Reason.Function
  return Seen.locks ? Reason.Locks : Reason.Reads
}

/** True where the word is behind the verb of the present statement. */
function saysFor(name: string): bool {
  open(ptrOf(statements.sql), lengthOf(statements.sql))
  next()
  next()
  return spells(name)
}

/** True where the word is anywhere in the present statement. */
function says(name: string): bool {
  open(ptrOf(statements.sql), lengthOf(statements.sql))
  while (next() != Token.End) if (spells(name)) return true
  return false
}

/** READ ONLY among the words of a BEGIN or START TRANSACTION; the last one said counts. */
function saysReadOnly(): bool {
  let isReadOnly = false
  let isBehindRead = false
  open(ptrOf(statements.sql), lengthOf(statements.sql))
  while (next() != Token.End && token != Token.Semicolon) {
    if (isBehindRead) {
      if (spells('only')) isReadOnly = true
      else if (spells('write')) isReadOnly = false
    }
    isBehindRead = spells('read')
  }
  return isReadOnly
}
