/**
 * Reads one statement: its kind, what it changes within, and the tables it names. Looks ahead a few
 * tokens at most, so that its time grows with the length of the text and no faster.
 */
import { readAtomic, readCommand } from './commands'
import {
  advance,
  beginStatement,
  begun,
  bodies,
  clearFrame,
  Expected,
  frame,
  FRAMES_MAX,
  joins,
  lists,
  naming,
  Now,
  pop,
  push,
  starts,
  verbs,
} from './frames'
import { activate, addQuery, clearNames, readName } from './names'
import { again, from, next, token, Token, word } from './scanner'
import { isFollowedBy, isFollowedByName, readExpected, readTable } from './tables'
import { Word } from './words'

/** Reads up to the end of one statement; false where the text has ended. */
export function readStatement(): bool {
  clearNames()
  beginStatement()
  next()
  let empty = true
  while (token != Token.End && (token != Token.Semicolon || Now.depth > 0 || Now.atomic > 0)) {
    empty = false
    step()
  }
  if (!empty && Now.kind == Word.None) Now.kind = Word.Other
  return token != Token.End
}

/** Reads one token or one name, and leaves the token behind it as the present one. */
function step(): void {
  switch (token) {
    case Token.Word:
      if (Now.expected == Expected.Nothing || !readExpected()) readWord()
      return
    case Token.Quoted:
      if (Now.expected != Expected.Nothing) return readTable()
      begun()
      return advance()
    case Token.Open:
      push()
      return advance()
    case Token.Close:
      pop()
      return advance()
    case Token.Comma:
      return readComma()
    case Token.Semicolon:
      clearFrame(frame())
      Now.expected = Expected.Nothing
      return advance()
    default:
      Now.expected = Expected.Nothing
      begun()
      advance()
  }
}

function readComma(): void {
  const at = frame()
  Now.expected = <Expected>lists[at]
  const named = naming[at] && starts[at]
  advance()
  if (named) readQuery()
}

/** True for a verb that may begin what stands in parentheses, or what WITH is for. */
function beginsQuery(): bool {
  switch (word) {
    case Word.Select:
    case Word.Values:
      return true
    case Word.Insert:
    case Word.Merge:
      return isFollowedBy(Word.Into)
    case Word.Delete:
      return isFollowedBy(Word.From)
    case Word.Update:
    case Word.Table:
      return isFollowedBy(Word.Only) || isFollowedByName()
    default:
      return false
  }
}

function isVerb(): bool {
  const at = frame()
  if (!starts[at] || word == Word.None || word >= Word.Other) return false
  return Now.depth == 0 && !naming[at] ? true : beginsQuery()
}

/** SELECT begins a query wherever it stands, but where it is a privilege. */
function isSelect(): bool {
  const verb = verbs[frame()]
  return word == Word.Select && verb != Word.Grant && verb != Word.Revoke && verb != Word.Alter
}

/** Takes the present word as the verb of its frame. */
function readVerb(): void {
  const at = frame()
  const verb = word
  starts[at] = false
  naming[at] = false
  joins[at] = false
  lists[at] = Expected.Nothing
  verbs[at] = verb
  Now.expected = Expected.Nothing
  if (Now.kind == Word.None && Now.bodiesOpen == 0) Now.kind = verb
  else if (verb >= Word.Insert && verb <= Word.Merge) Now.within |= 1 << verb
  advance()
  switch (verb) {
    case Word.Update:
    case Word.Table:
    case Word.Copy:
    case Word.Cluster:
      Now.expected = Expected.Object
      return
    case Word.Truncate:
    case Word.Lock:
    case Word.Vacuum:
    case Word.Analyze:
      Now.expected = Expected.Object
      lists[at] = Expected.Object
      return
    case Word.Explain:
      while (word == Word.Analyze || word == Word.Verbose) advance()
      starts[at] = true
      return
    default:
  }
}

/** Reads a word that names no table. */
function readWord(): void {
  if (word == Word.With && isWith()) {
    starts[frame()] = true
    advance()
    Now.recursive = word == Word.Recursive
    if (Now.recursive) advance()
    return readQuery()
  }
  if (Now.atomic > 0 && readAtomic()) return
  if (isVerb() || isSelect()) return readVerb()
  const at = frame()
  const verb = <Word>verbs[at]
  if (endsList()) lists[at] = Expected.Nothing
  else if (readClause(at, verb) || readCommand(at, verb)) return
  begun()
  advance()
}

/** True for the clauses behind a list of tables. */
function endsList(): bool {
  switch (word) {
    case Word.Where:
    case Word.Group:
    case Word.Having:
    case Word.Order:
    case Word.Limit:
    case Word.Offset:
    case Word.Fetch:
    case Word.Window:
    case Word.Returning:
    case Word.Set:
    case Word.When:
    case Word.Values:
      return true
    default:
      return false
  }
}

/** The clauses of queries that name tables; true where it has read on by itself. */
function readClause(at: i32, verb: Word): bool {
  switch (word) {
    case Word.From:
      readFrom(at, verb)
      return false
    case Word.Join:
      if (verb == Word.None) return false
      Now.expected = Expected.Source
      joins[at] = true
      return false
    case Word.Into:
      if (verb == Word.Insert || verb == Word.Merge) Now.expected = Expected.Object
      else if (verb == Word.Select) Now.expected = Expected.Target
      return false
    case Word.Using:
      if (joins[at]) joins[at] = false
      else if (verb == Word.Delete || verb == Word.Merge) {
        Now.expected = Expected.Source
        lists[at] = verb == Word.Delete ? Expected.Source : Expected.Nothing
      }
      return false
    case Word.Union:
    case Word.Intersect:
    case Word.Except:
      lists[at] = Expected.Nothing
      starts[at] = true
      advance()
      return true
    case Word.All:
    case Word.Distinct:
      // Between UNION and what it unites.
      if (!starts[at] || verb == Word.None) return false
      advance()
      return true
    default:
      return false
  }
}

function readFrom(at: i32, verb: Word): void {
  const compares = Now.previous == Word.Distinct
    && (Now.beforePrevious == Word.Is || Now.beforePrevious == Word.Not)
  if (compares) return
  if (verb == Word.Delete) Now.expected = Expected.Object
  else if (verb == Word.Select || verb == Word.Update) {
    Now.expected = Expected.Source
    lists[at] = Expected.Source
  } else lists[at] = Expected.Nothing
}

/** Skips a list of names in parentheses, the opening one present; false where it is none. */
function skipNames(): bool {
  do {
    next()
    if (token != Token.Word && token != Token.Quoted) return false
    next()
  } while (token == Token.Comma)
  if (token != Token.Close) return false
  next()
  return true
}

/** Skips AS [NOT] [MATERIALIZED] up to the parenthesis behind it; false where there is none. */
function skipAs(): bool {
  if (word != Word.As) return false
  next()
  if (word == Word.Not) next()
  if (word == Word.Materialized) next()
  return token == Token.Open
}

/** True where WITH gives names to queries, and does not belong to TIME ZONE, ORDINALITY or such. */
function isWith(): bool {
  const mark = from
  next()
  if (word == Word.Recursive) next()
  let found = token == Token.Word || token == Token.Quoted
  if (found) {
    next()
    found = (token != Token.Open || skipNames()) && skipAs()
  }
  again(mark)
  return found
}

/** Reads the head of one query of WITH, from its name into the parentheses that hold its text. */
function readQuery(): void {
  if (token != Token.Word && token != Token.Quoted) return
  const outer = Now.depth
  readName()
  if (token == Token.Open && !skipNames()) return
  if (!skipAs()) return
  const query = addQuery(outer)
  if (Now.recursive) activate(query)
  push()
  if (Now.depth < FRAMES_MAX) {
    bodies[Now.depth] = query < 0 ? -1 : query + 1
    Now.bodiesOpen++
  }
  advance()
}
