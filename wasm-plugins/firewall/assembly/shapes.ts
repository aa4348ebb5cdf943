/**
 * One pass over the tokens of a statement for what its kind and tables do not tell: which functions
 * it calls, whether it locks rows, whether words in it change rows, and which shapes of injection
 * are in it. A shape counts points; three make a finding, so that none which honest statements have
 * makes one by itself.
 */
import { Bytes } from '../../sdk/assembly/bytes'
import {
  equals,
  isText,
  isTextIgnoringCase,
  lengthOf,
  ptrOf,
  slice,
  Slice,
} from '../../sdk/assembly/slice'
import { appendName, appendValue } from '../../sdk/assembly/sql/decode'
import { Scan } from '../../sdk/assembly/sql/scan'
import {
  from,
  isClosed,
  isLiteral,
  next,
  open,
  to,
  token,
  Token,
  word,
} from '../../sdk/assembly/sql/tokens'
import { Word } from '../../sdk/assembly/sql/words'
import { beginConditions, Constant, readCondition } from './conditions'
import { addPoints, clearFound, Found, Shape } from './found'
import { DELAYS, effectsOf, FOREIGN, TELLS } from './functions'
import { clearCalls, noteCall } from './calls'
import { isCatalog } from './catalogs'

let previous: Token = Token.End
let previousWord: Word = Word.None
let previousTo: usize = 0
let beforeWord: Word = Word.None
/** The name that was read last, decoded, and whether it is the present token's neighbour. */
const name = new Bytes()
let hasName: bool = false
/** What stands before the dot before it. */
const qualifier = new Bytes()
/** The word before all of the name. */
let leading: Word = Word.None
let isQualified: bool = false
let tokens: i32 = 0
let unions: i32 = 0
let nulls: i32 = 0
let listed: i32 = 0
/** True from SELECT behind UNION to its end, as long as only constants are listed. */
let inUnion: bool = false
let characters: i32 = 0
let catalogs: i32 = 0
let others: i32 = 0
let tellers: i32 = 0
let glued: i32 = 0

function clear(): void {
  clearFound()
  previous = Token.End
  previousWord = Word.None
  beforeWord = Word.None
  hasName = false
  isQualified = false
  isLanguage = false
  isRead = false
  isCompared = false
  isSeries = false
  tokens = 0
  unions = 0
  nulls = 0
  listed = 0
  inUnion = false
  characters = 0
  catalogs = 0
  others = 0
  tellers = 0
  glued = 0
  beginConditions()
  clearCalls()
}

/** Reads one statement; `standardStrings` as the SDK has it. */
export function readShapes(sql: Slice, standardStrings: bool): void {
  clear()
  const begins = ptrOf(sql)
  open(begins, lengthOf(sql), standardStrings)
  previousTo = begins
  while (next() != Token.End) {
    tokens++
    if (tokens == 2) Found.second = word
    else if (tokens == 3) Found.third = word
    readToken(standardStrings)
    remember()
  }
  note(readCondition())
  if (isLiteral(previous)) Found.endsInLiteral = true
  judge()
}

function remember(): void {
  beforeWord = previousWord
  // Behind a dot stands a name, whatever it spells.
  previousWord = previous == Token.Dot ? Word.None : word
  previous = token
  previousTo = to
}

function readToken(standardStrings: bool): void {
  note(readCondition())
  if (Scan.hasComment && from > previousTo) readGap()
  switch (token) {
    case Token.Word:
      return readWord()
    case Token.Quoted:
    case Token.UnicodeQuoted:
      return readName()
    case Token.Open:
      if (hasName) readCall()
      hasName = false
      return
    case Token.Dot:
      isQualified = hasName
      if (hasName) qualifier.clear().add(name.slice)
      hasName = false
      return
    case Token.Operator:
      hasName = false
      return readOperator()
    case Token.Other:
      hasName = false
      return readOther()
    case Token.String:
    case Token.Escaped:
      if ((token == Token.Escaped || !standardStrings) && hidesBackslash()) Found.doubtful = true
    // falls through
    default:
      hasName = false
      if (!isLiteral(token)) return
      if (token == Token.Number) readNumber()
      if (!isClosed) Found.unreadable = true
      Found.last = Word.None
      Found.lastText = slice(from, <i32>(to - from))
      if (inUnion) listed++
      if (isLanguage) readLanguage()
  }
}

/** True behind the word LANGUAGE. */
let isLanguage: bool = false
/** READ has stood before the present word. */
let isRead: bool = false

function readLanguage(): void {
  isLanguage = false
  appendValue(language.clear())
  const length = language.length
  if (length == 0) return
  const last = load<u8>(language.ptr + length - 1) | 0x20
  if (last == 0x75 || isTextIgnoringCase(language.slice, 'c')) Found.isNative = true
  if (isTextIgnoringCase(language.slice, 'internal')) Found.isNative = true
}

const language = new Bytes()

/** The number that was read last, and the token behind it, where they may be half of `58 = 58`. */
let number: Slice = 0
let isCompared: bool = false

function readNumber(): void {
  const length = <i32>(to - from)
  const present = slice(from, length)
  // People compare no number of several digits with itself.
  if (isCompared && length > 1 && equals(number, present)) addPoints(Shape.Tautology, 3)
  if (length > 6 && isSeries) addPoints(Shape.Delay, 2)
  isCompared = false
  number = present
}

/** True behind generate_series, by whose size a query is made slow. */
let isSeries: bool = false

/** What stands between two tokens, once there was a comment. */
function readGap(): void {
  const length = <i32>(from - previousTo)
  // A comment stands where others write a blank: `UNION/**\/SELECT`.
  if (length == 4 && load<u32>(previousTo) == EMPTY_COMMENT) glued++
  // What only MySQL would run.
  for (let ptr = previousTo; ptr + 2 < from; ptr++) {
    if (load<u16>(ptr) == 0x2a2f && load<u8>(ptr, 2) == 0x21) return addPoints(Shape.Foreign, 3)
  }
}

/** Four bytes: a comment with nothing in it. */
const EMPTY_COMMENT: u32 = 0x2f2a_2a2f

/** The second byte of a letter in some encodings is a backslash, which escapes here. */
function hidesBackslash(): bool {
  for (let ptr = from + 1; ptr < to; ptr++) {
    if (load<u8>(ptr) == 0x5c && load<u8>(ptr - 1) >= 0x80) return true
  }
  return false
}

function readOther(): void {
  if (from > previousTo || load<u8>(from - 1) < 0x80) Found.unreadable = true
  else Found.doubtful = true
}

function readOperator(): void {
  const byte = load<u8>(from)
  isCompared = previous == Token.Number && to - from == 1 && byte == 0x3d
  if (from == previousTo && tokens > 1 && load<u8>(from - 1) >= 0x80) Found.doubtful = true
  // @@version, and # as a comment of MySQL, behind which nothing stands.
  if (to - from == 2 && byte == 0x40 && load<u8>(from, 1) == 0x40) {
    if (previous != Token.Word || previousWord != Word.None) addPoints(Shape.Foreign, 2)
  }
  if (to - from == 1 && byte == 0x23 && isLiteral(previous)) addPoints(Shape.Foreign, 1)
}

function readName(): void {
  if (!isClosed) Found.unreadable = true
  appendName(name.clear())
  takeName(Word.None)
}

/** A name in whatever quotes: of a function, if a parenthesis follows, or of a catalog. */
function takeName(spelled: Word): void {
  hasName = true
  noteName(spelled)
  if (isQuoting(name.slice)) Found.setsQuoting = true
  if (tokens == 2 && isText(name.slice, 'system')) Found.isSystem = true
  if (tokens == 2 && isText(name.slice, 'analyse')) Found.isAnalyse = true
  if (isCatalog(name.slice)) catalogs++
  if (!isQualified) {
    qualifier.clear()
    leading = previousWord
  }
  isQualified = false
}

/** Settings, and SET NAMES, by which texts are read otherwise. */
function isQuoting(run: Slice): bool {
  const length = lengthOf(run)
  if (length == 27) return isTextIgnoringCase(run, 'standard_conforming_strings')
  if (length == 15) return isTextIgnoringCase(run, 'client_encoding')
  if (length == 10) return isText(run, 'set_config')
  return length == 5 && tokens < 4 && isText(run, 'names')
}

function noteName(spelled: Word): void {
  Found.last = spelled
  Found.lastText = slice(from, <i32>(to - from))
  if (isLanguage) readLanguage()
  if (inUnion && spelled == Word.None) others++
}

function readWord(): void {
  const isPart = previous == Token.Dot
  if (isPart || word == Word.None) {
    appendName(name.clear())
    takeName(Word.None)
    readForeignWord()
    return
  }
  hasName = false
  Found.last = word
  Found.lastText = slice(from, <i32>(to - from))
  isLanguage = word == Word.Language
  readKeyword()
}

/** Words that the SDK takes for names. */
function readForeignWord(): void {
  const length = <i32>(to - from)
  const run = name.slice
  if (length == 5 && isText(run, 'write')) Found.readWrite = Found.readWrite || isRead
  else if (length == 5 && isText(run, 'share') && previousWord == Word.For) Found.locks = true
  else if (length == 2 && isText(run, 'no') && previousWord == Word.For) Found.locks = true
  else if (length == 7 && isText(run, 'waitfor')) addPoints(Shape.Foreign, 3)
  else if (length == 7 && isText(run, 'outfile')) addPoints(Shape.Foreign, 3)
  else if (length == 8 && isText(run, 'dumpfile')) addPoints(Shape.Foreign, 3)
  else if (length == 4 && (isText(run, 'exec') || isText(run, 'dual'))) addPoints(Shape.Foreign, 1)
  isRead = length == 4 && isText(run, 'read')
}

function readKeyword(): void {
  switch (word) {
    case Word.Into:
      if (previousWord == Word.Insert || previousWord == Word.Merge) Found.changes = true
      return
    case Word.From:
      if (previousWord == Word.Delete) Found.changes = true
      inUnion = false
      return
    case Word.Update:
      if (previousWord == Word.For) Found.locks = true
      else if (previousWord != Word.As) Found.changes = true
      return
    case Word.Key:
      if (previousWord == Word.For) Found.locks = true
      // PRIMARY KEY as a name stands nowhere else.
      return
    case Word.Prepared:
      Found.prepared = true
      return
    case Word.Transaction:
      if (previousWord == Word.Prepare) Found.prepared = true
      return
    case Word.Select:
      // `5821=(SELECT`: an answer that is asked for bit by bit.
      if (isCompared && previous == Token.Open && lengthOf(number) > 1) {
        addPoints(Shape.Tautology, 2)
      }
      isCompared = false
      if (isUnion(previousWord) || isUnion(beforeWord)) {
        unions++
        inUnion = true
        listed = 0
        nulls = 0
        others = 0
      }
      return
    case Word.Null:
      if (inUnion) nulls++
      return
    default:
  }
}

function isUnion(before: Word): bool {
  return before == Word.Union || before == Word.Intersect || before == Word.Except
}

function readCall(): void {
  // It is no column.
  if (inUnion) others--
  noteCall(qualifier.slice, name.slice, leading)
  const found = effectsOf(name.slice)
  Found.effects |= found
  isSeries = isText(name.slice, 'generate_series')
  if (found & DELAYS) addPoints(Shape.Delay, 3)
  if (found & FOREIGN) addPoints(Shape.Foreign, 3)
  if (found & TELLS) tellers++
  if (isText(name.slice, 'chr')) characters++
}

function note(found: Constant): void {
  switch (found) {
    case Constant.Odd:
      return addPoints(Shape.Tautology, 2)
    case Constant.Always:
      return addPoints(Shape.Tautology, 3)
    case Constant.Whole:
      Found.wholeWhere = true
      return
    default:
  }
}

/** What only the whole statement tells. */
function judge(): void {
  if (unions > 0) {
    if (nulls > 0 && (nulls > 1 || listed == 0) && others == 0) addPoints(Shape.Union, 2)
    else if (listed + nulls >= 2 && others == 0) addPoints(Shape.Union, 1)
    if (tellers > 0) addPoints(Shape.Union, 2)
    if (catalogs > 0) addPoints(Shape.Catalog, 1)
  }
  if (catalogs > 0 && unions > 0 && nulls > 0) addPoints(Shape.Catalog, 2)
  if (catalogs > 2) addPoints(Shape.Catalog, 1)
  if (characters >= 3) addPoints(Shape.Disguise, 3)
  if (glued >= 2) addPoints(Shape.Disguise, 2)
}

/** True where a comment was in what was read last. */
export function hadComment(): bool {
  return Scan.hasComment
}
