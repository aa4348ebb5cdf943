/**
 * The statements of a text, one after the other, each with what is to be known of it:
 *
 *     statements.open(query.sql)
 *     while (statements.next()) if (statements.kind == Word.Truncate) …
 *
 * The text is all there is to go by. What a function, a trigger, a rule or a DO block does, which
 * tables a view stands for, and to which schema a bare name leads, is not in it.
 */
import { lengthOf, NONE, ptrOf, Slice, slice } from '../slice'
import { Now, Place } from './frames'
import { accessAt, more, READ, tableAt, tables, WRITTEN } from './names'
import { readStatement } from './statement'
import { Scan } from './scan'
import { isAmbiguous, open } from './tokens'
import { spelled, Word } from './words'

/** What statements are for, by their kind. */
export const enum Purpose {
  /** SELECT, VALUES, TABLE, SHOW, FETCH and such: they change nothing by themselves. */
  Reading,
  /** INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY … FROM, SELECT … INTO. */
  Writing,
  /** CREATE, ALTER, DROP, GRANT, COMMENT and such. */
  Defining,
  /** BEGIN, COMMIT, ROLLBACK, SAVEPOINT, PREPARE TRANSACTION and such. */
  Transacting,
  /** SET, RESET, DISCARD, LISTEN, PREPARE, DEALLOCATE: the session, no rows. */
  Arranging,
  /** DO, CALL, EXECUTE, LOAD: code that the text does not show. */
  Running,
  /** VACUUM, ANALYZE, REINDEX, CLUSTER, LOCK, CHECKPOINT, REFRESH. */
  Maintaining,
  /** NOTIFY and what is no command of PostgreSQL. */
  Other,
}

@final
export class Statements {
  /** How many statements there have been, the present one among them. */
  count: i32 = 0
  private isOver: bool = true

  /** `standardStrings` is standard_conforming_strings of the session; `Quoting` keeps it. */
  open(sql: Slice, standardStrings: bool = true): this {
    open(ptrOf(sql), lengthOf(sql), standardStrings)
    this.count = 0
    this.isOver = false
    return this
  }

  /** Reads the next statement that is not empty; false where there is none. */
  next(): bool {
    while (!this.isOver) {
      this.isOver = !readStatement()
      if (Now.kind == Word.None) continue
      this.count++
      return true
    }
    return false
  }

  /** Its text without blanks, comments and semicolons around it. */
  get sql(): Slice {
    return slice(Now.from, <i32>(Now.to - Now.from))
  }

  /** Its verb; of WITH that of the statement behind it. Word.Other: no command of PostgreSQL. */
  get kind(): Word {
    return Now.kind
  }

  /** The verb in upper case, `OTHER` for what is no command. */
  get kindName(): Slice {
    return spelled(Now.kind)
  }

  /** Of EXPLAIN, PREPARE, DECLARE, COPY and CREATE … AS the verb of what they are for, or None. */
  get inner(): Word {
    return Now.inner
  }

  /** True for EXPLAIN ANALYZE, which runs what it explains. */
  get isRun(): bool {
    return Now.isRun
  }

  /** True where a statement within changes rows with this verb: WITH d AS (DELETE …) SELECT …. */
  isWithin(verb: Word): bool {
    return verb >= Word.Insert && verb <= Word.Merge && (Now.within & (1 << verb)) != 0
  }

  /** How many UPDATE and DELETE in it have no WHERE. Whether a WHERE means anything is not told. */
  get unbounded(): i32 {
    return Now.unbounded
  }

  /** True for COPY … FROM. */
  get isCopyIn(): bool {
    return Now.isCopyIn
  }

  /** Where COPY reads from or writes to. */
  get copyPlace(): Place {
    return Now.copyPlace
  }

  /** How many tables it names, each once, at most 64; then `hasMoreTables`. */
  get tables(): i32 {
    return tables
  }

  get hasMoreTables(): bool {
    return more
  }

  /** Name of table `at`: `t`, `shop.orders`, `"S"."My T"`; quotes only where they are needed. */
  table(at: i32): Slice {
    return <u32>at < <u32>tables ? tableAt(at) : NONE
  }

  isRead(at: i32): bool {
    return <u32>at < <u32>tables && (accessAt(at) & READ) != 0
  }

  /** True where it changes the rows of table `at` or the table itself. */
  isWritten(at: i32): bool {
    return <u32>at < <u32>tables && (accessAt(at) & WRITTEN) != 0
  }

  /** False where a string, a name in quotes or a comment has no end: the server refuses it. */
  get isWhole(): bool {
    return Now.isWhole
  }

  /** True where there was a comment so far in the text. */
  get hasComment(): bool {
    return Scan.hasComment
  }

  /**
   * True where a '…' so far in the text holds a backslash: then it means one thing with
   * standard_conforming_strings and another without.
   */
  get isAmbiguous(): bool {
    return isAmbiguous
  }

  get purpose(): Purpose {
    return purposeOf(Now.kind)
  }

  /**
   * True for a statement that by its text changes no rows, no tables and no session, and calls no
   * hidden code but functions. EXPLAIN without ANALYZE is one; PREPARE is by what it prepares.
   */
  get isReadOnly(): bool {
    if (Now.isInto) return false
    switch (Now.kind) {
      case Word.Explain:
        return !Now.isRun || (Now.within == 0 && purposeOf(Now.inner) == Purpose.Reading)
      case Word.Prepare:
        return Now.within == 0 && purposeOf(Now.inner) == Purpose.Reading
      case Word.Copy:
        return Now.within == 0 && !Now.isCopyIn && Now.copyPlace == Place.Client
      default:
        return Now.within == 0 && this.purpose == Purpose.Reading
    }
  }
}

/** What statements with this verb are for. */
export function purposeOf(verb: Word): Purpose {
  switch (verb) {
    case Word.Copy:
      return Now.isCopyIn || Now.within != 0 ? Purpose.Writing : Purpose.Reading
    case Word.Select:
      return Now.isInto ? Purpose.Writing : Purpose.Reading
    case Word.Values:
    case Word.Table:
    case Word.Show:
    case Word.Fetch:
    case Word.Move:
    case Word.Close:
    case Word.Declare:
    case Word.Explain:
      return Purpose.Reading
    case Word.Insert:
    case Word.Update:
    case Word.Delete:
    case Word.Merge:
    case Word.Truncate:
      return Purpose.Writing
    default:
      return purposeOfCommand(verb)
  }
}

function purposeOfCommand(verb: Word): Purpose {
  switch (verb) {
    case Word.Create:
    case Word.Alter:
    case Word.Drop:
    case Word.Grant:
    case Word.Revoke:
    case Word.Comment:
    case Word.Security:
    case Word.Import:
    case Word.Reassign:
      return Purpose.Defining
    case Word.Begin:
    case Word.Start:
    case Word.Commit:
    case Word.End:
    case Word.Rollback:
    case Word.Abort:
    case Word.Savepoint:
    case Word.Release:
      return Purpose.Transacting
    case Word.Prepare:
      return Now.inner == Word.None ? Purpose.Transacting : Purpose.Arranging
    case Word.Set:
    case Word.Reset:
    case Word.Discard:
    case Word.Listen:
    case Word.Unlisten:
    case Word.Deallocate:
      return Purpose.Arranging
    case Word.Do:
    case Word.Call:
    case Word.Execute:
    case Word.Load:
      return Purpose.Running
    case Word.Vacuum:
    case Word.Analyze:
    case Word.Reindex:
    case Word.Cluster:
    case Word.Lock:
    case Word.Checkpoint:
    case Word.Refresh:
      return Purpose.Maintaining
    default:
      return Purpose.Other
  }
}
