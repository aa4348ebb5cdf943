/**
 * What the words, calls and literals of a text say, whatever statements they belong to: functions
 * that are not known, times that mean the present, locks, temporary tables.
 */
import { lengthOf, lower, ptrOf, Slice } from '../../sdk/assembly/slice'
import { from, inside, next, open, to, token, Token, word } from '../../sdk/assembly/sql/tokens'
import { Word } from '../../sdk/assembly/sql/words'
import { Call, callOf } from './functions'

/** What the tokens of the whole text say. */
export class Seen {
  static unknown: bool = false
  static volatile: bool = false
  /** Of what is volatile, something is bound to this session or this server. */
  static bound: bool = false
  /** Of what is bound, something stays with the session. */
  static held: bool = false
  static sets: bool = false
  static locks: bool = false
  static temporary: bool = false
  /** Where a string ends depends on standard_conforming_strings. */
  static ambiguous: bool = false
}

/** True where the present token is this word, in any case. */
export function spells(name: string): bool {
  if (token != Token.Word || <i32>(to - from) != name.length) return false
  for (let at = 0; at < name.length; at++) {
    if (<i32>lower(load<u8>(from + at)) != name.charCodeAt(at)) return false
  }
  return true
}

/** What the tokens before the present one were, as far as a call is told by it. */
const enum Before {
  Other,
  Name,
  Dot,
}

/** Reads all tokens of a text into `Seen`. */
export function readTokens(sql: Slice): void {
  Seen.unknown = false
  Seen.volatile = false
  Seen.bound = false
  Seen.held = false
  Seen.sets = false
  Seen.locks = false
  Seen.temporary = false
  Seen.ambiguous = false
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
        isNaming = before != Before.Dot && names(previous)
        if (before != Before.Dot) readWord(previous)
        namePtr = from
        nameLength = <i32>(to - from)
        before = Before.Name
        break
      case Token.Quoted:
      case Token.UnicodeQuoted:
        isForeign = true
        isNaming = before != Before.Dot && names(previous)
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
    case Call.Held:
      Seen.held = true
    // falls through
    case Call.Bound:
      Seen.volatile = true
      Seen.bound = true
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
  if (token == Token.String && escapesQuote(ptr, length)) Seen.ambiguous = true
  if (tellsTime(ptr, length)) Seen.volatile = true
}

/** True where a quote would not end the string if backslashes escaped. */
function escapesQuote(ptr: usize, length: i32): bool {
  for (let at = 0; at + 1 < length; at++) {
    if (load<u8>(ptr + at) != 0x5c) continue
    if (load<u8>(ptr + ++at) == 0x27) return true
  }
  return false
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
