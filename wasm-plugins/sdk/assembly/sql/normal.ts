/**
 * The normal form of SQL: the same for statements that differ in values, layout and letters only.
 *
 * - Tokens with one space between, none before `, ; ) ] . ::`, behind `( [ . ::` and between a name
 *   that is no keyword and `(`. Comments are left out, and semicolons at the end.
 * - Words in lower case; names in quotes only where they need them.
 * - Literals, numbers and parameters as `?`, a sign before a number with it; so are TRUE, FALSE and
 *   NULL, but not in IS NULL and NOT NULL.
 * - `?, ?` is `?`, and `(?), (?)` is `(?)`: lists of any length are one.
 *
 * It holds no value that a client has sent. The fingerprint is FNV-1a, 64 bits, of that form; both
 * stay as they are from version to version.
 */
import { Bytes } from '../bytes'
import { hashOf, lengthOf, lower, ptrOf, Slice } from '../slice'
import { appendName } from './decode'
import { appendPart } from './names'
import { from, isLiteral, next, open, to, Token, token, word } from './tokens'
import { Word } from './words'

/** What the token before means for the next one. */
const enum Before {
  /** Nothing has been written yet. */
  Start,
  /** No space belongs behind it. */
  Tight,
  Dot,
  Name,
  Keyword,
  Value,
  Operator,
  Comma,
  /** Behind a semicolon. */
  End,
  Other,
}

const decoded = new Bytes()
const form = new Bytes()
let before: Before = Before.Start
/** True behind IS and NOT, where NULL, TRUE and FALSE are no values. */
let isTested: bool = false
/** The length of what was written before a sign that may belong to a number; -1: there is none. */
let signAt: i32 = -1
let beforeSign: Before = Before.Start

/** Appends the normal form of one or several statements to `into`. */
export function normalise(sql: Slice, into: Bytes, standardStrings: bool = true): void {
  const begins = into.length
  // No text grows by more than half: a digit or a comma may get a space.
  into.reserve(begins + lengthOf(sql) + (lengthOf(sql) >> 1) + 64)
  open(ptrOf(sql), lengthOf(sql), standardStrings)
  before = Before.Start
  isTested = false
  signAt = -1
  while (next() != Token.End) append(into, begins)
  let length = into.length
  while (length > begins && isTail(load<u8>(into.ptr + length - 1))) length--
  into.length = length
}

/** The fingerprint of one or several statements. */
export function fingerprint(sql: Slice, standardStrings: bool = true): u64 {
  normalise(sql, form.clear(), standardStrings)
  return hashOf(form.slice)
}

function isTail(byte: u8): bool {
  return byte == 0x3b || byte == 0x20
}

function append(into: Bytes, begins: i32): void {
  const sign = signAt
  signAt = -1
  switch (token) {
    case Token.Word:
      return appendWord(into, begins)
    case Token.Quoted:
    case Token.UnicodeQuoted:
      space(into)
      appendName(decoded.clear())
      appendPart(into, decoded.ptr, decoded.length)
      return written(Before.Name)
    case Token.Open:
      if (before != Before.Name) space(into)
      into.byte(0x28)
      return written(Before.Tight)
    case Token.OpenBracket:
      if (before == Before.Operator || before == Before.Comma) space(into)
      into.byte(0x5b)
      return written(Before.Tight)
    case Token.Close:
      into.byte(0x29)
      foldRows(into, begins)
      return written(Before.Other)
    case Token.CloseBracket:
      into.byte(0x5d)
      return written(Before.Other)
    case Token.Comma:
      into.byte(0x2c)
      return written(Before.Comma)
    case Token.Semicolon:
      if (before == Before.Start || before == Before.End) return
      into.byte(0x3b)
      return written(Before.End)
    case Token.Dot:
      into.byte(0x2e)
      return written(Before.Dot)
    case Token.Cast:
      into.byte(0x3a).byte(0x3a)
      return written(Before.Tight)
    case Token.Operator:
      return appendOperator(into)
    default:
      appendRest(into, begins, sign)
  }
}

function appendRest(into: Bytes, begins: i32, sign: i32): void {
  if (isLiteral(token) || token == Token.Parameter) {
    if (sign >= 0) {
      into.length = sign
      before = beforeSign
    }
    return appendPlaceholder(into, begins)
  }
  // An unfinished name in quotes might be a value in truth.
  space(into)
  if (to - from == 1) into.byte(load<u8>(from))
  else into.byte(0x3f)
  written(Before.Other)
}

function written(what: Before): void {
  before = what
  isTested = false
}

function space(into: Bytes): void {
  if (before > Before.Dot) into.byte(0x20)
}

function appendWord(into: Bytes, begins: i32): void {
  const isValue = word == Word.True || word == Word.False || word == Word.Null
  const isPart = before == Before.Dot
  if (isValue && !isTested && !isPart) return appendPlaceholder(into, begins)
  space(into)
  for (let ptr = from; ptr < to; ptr++) into.byte(lower(load<u8>(ptr)))
  written(word == Word.None || isPart ? Before.Name : Before.Keyword)
  isTested = word == Word.Is || word == Word.Not
}

/** A sign belongs to the number behind it where a value may begin. */
function appendOperator(into: Bytes): void {
  const byte = load<u8>(from)
  const isSign = to - from == 1 && (byte == 0x2d || byte == 0x2b)
  const begins = before != Before.Name && before != Before.Value && before != Before.Other
  if (isSign && begins) {
    signAt = into.length
    beforeSign = before
  }
  space(into)
  into.raw(from, <i32>(to - from))
  written(Before.Operator)
}

function appendPlaceholder(into: Bytes, begins: i32): void {
  // `?, ?` becomes `?`.
  const length = into.length
  const isListed = before == Before.Comma && length - begins >= 2
  if (isListed && load<u8>(into.ptr + length - 2) == 0x3f) into.length = length - 1
  else {
    space(into)
    into.byte(0x3f)
  }
  written(Before.Value)
}

/** `(?), (?)` becomes `(?)`. */
function foldRows(into: Bytes, begins: i32): void {
  const length = into.length
  if (length - begins < 8) return
  const ptr = into.ptr + length - 8
  if (load<u64>(ptr) == ROWS) into.length = length - 5
}

/** `(?), (?)` as eight bytes, the first lowest. */
const ROWS: u64 = 0x293f_2820_2c29_3f28
