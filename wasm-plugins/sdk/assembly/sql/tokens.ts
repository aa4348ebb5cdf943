/**
 * Cuts SQL into tokens as PostgreSQL's scanner does (src/backend/parser/scan.l and its
 * base_yylex): comments nest, strings and dollar quotes hide what is in them, quoted names are
 * names, a string goes on in the next line. One text at a time: `open`, then `next` until End.
 * Never reads beyond the end, never recurses, and takes time by the length of the text only.
 *
 * Encodings that PostgreSQL takes from clients but not for databases (SJIS, BIG5, GBK, UHC, JOHAB,
 * GB18030) may hide a backslash in a letter; `Quoting` tells of them.
 */
import { beginsName, isDigit, isOperator } from './characters'
import { singleByte } from './decode'
import {
  byteAt,
  continuation,
  Scan,
  skipBlank,
  skipName,
  skipNumber,
  skipOperator,
  skipUnquoted,
} from './scan'
import { Word, wordAt, wordOf } from './words'

export const enum Token {
  End,
  /** A name or keyword without quotes; `word` says which keyword. */
  Word,
  /** A name in double quotes. */
  Quoted,
  /** A name as U&"…", with UESCAPE '…' where it follows. */
  UnicodeQuoted,
  /** '…', with backslashes as escapes where standard_conforming_strings is off; and N'…'. */
  String,
  /** E'…' */
  Escaped,
  /** U&'…', with UESCAPE '…' where it follows. */
  UnicodeString,
  /** B'…' */
  Bits,
  /** X'…' */
  Hex,
  /** $$…$$ or $tag$…$tag$ */
  Dollar,
  Number,
  /** $1 */
  Parameter,
  Operator,
  Open,
  Close,
  OpenBracket,
  CloseBracket,
  Comma,
  Semicolon,
  Dot,
  Colon,
  /** :: */
  Cast,
  Other,
}

let standard: bool = true
/** How many tokens may still be read. */
let left: i32 = 0

/** The present token: what it is, where it lies, which word it is. */
export let token: Token = Token.End
export let from: usize = 0
export let to: usize = 0
export let word: Word = Word.None
/** Where what is between the present token's quotes begins. */
export let inside: usize = 0
/** False where the present token has no end: the text was over before its quote. */
export let isClosed: bool = true
/** The byte that escapes in the present U& token. */
export let unicodeEscape: u8 = 0x5c

/**
 * The most tokens that are read of one text unless told otherwise: some 10 ms, well within the
 * 50 ms that a hook may take. What is longer is cut, which must be looked at: `isCut`.
 */
export const TOKENS_MAX: i32 = 250_000

/** True where there were more tokens than were to be read: what follows is unknown. */
export let isCut: bool = false
/** Where the token before the present one ends. */
export let behind: usize = 0
/** True once a string or a name in quotes was read that does not end. */
export let hasOpenQuote: bool = false
/** True once a '…' had a backslash in it, so that the setting decides where it ends. */
export let isAmbiguous: bool = false

/**
 * Begins with a text. `standardStrings` is standard_conforming_strings of the session: off, a
 * backslash escapes in '…' too.
 */
export function open(
  ptr: usize,
  length: i32,
  standardStrings: bool = true,
  tokensMax: i32 = TOKENS_MAX,
): void {
  left = tokensMax
  isCut = false
  Scan.signsTo = 0
  Scan.at = ptr
  Scan.end = ptr + max(length, 0)
  standard = standardStrings
  token = Token.End
  word = Word.None
  from = ptr
  to = ptr
  isClosed = true
  Scan.hasComment = false
  Scan.hasOpenComment = false
  hasOpenQuote = false
  behind = ptr
  isAmbiguous = false
}

/** Goes back to where a token began, and reads it again. */
export function again(where: usize): void {
  Scan.at = where
  next()
}

/** What `open` was told. */
export function standardStrings(): bool {
  return standard
}

/** The present word is a name here, though it spells a keyword. */
export function forgetWord(): void {
  word = Word.None
}

/** True for a literal that stands for a value. */
export function isLiteral(kind: Token): bool {
  return kind >= Token.String && kind <= Token.Number
}

/**
 * From behind an opening quote to behind the closing one. `doubled`: two quotes are one in it.
 * False where there is no closing one: then the rest of the text has been skipped.
 */
function skipQuoted(quote: u8, doubled: bool, escapes: bool): bool {
  while (Scan.at < Scan.end) {
    skipUnquoted(quote)
    if (Scan.at >= Scan.end) break
    const byte = load<u8>(Scan.at++)
    if (byte == quote) {
      if (!doubled || byteAt(Scan.at) != quote) return true
      Scan.at++
    } else if (byte == 0x5c && quote == 0x27) {
      if (token == Token.String) isAmbiguous = true
      if (escapes) Scan.at++
    }
  }
  Scan.at = min(Scan.at, Scan.end)
  return false
}

/** Reads a string with its continuations, from behind its first quote on. */
function readString(kind: Token, doubled: bool, escapes: bool): void {
  token = kind
  inside = Scan.at
  while (true) {
    isClosed = skipQuoted(0x27, doubled, escapes)
    if (!isClosed) return
    const more = continuation(Scan.at)
    if (more == 0) return
    Scan.at = more
  }
}

/** A quoted name. One that does not end is none: behind its quote may stand anything. */
function readQuoted(kind: Token): void {
  inside = Scan.at
  token = kind
  isClosed = skipQuoted(0x22, true, false)
  if (!isClosed) token = Token.Other
}

/** UESCAPE with its letter belongs to the U& token before it. */
function readUescape(): void {
  unicodeEscape = 0x5c
  if (!isClosed) return
  const kind = token
  const begins = from
  const content = inside
  const behind = Scan.at
  skipBlank()
  from = Scan.at
  if (Scan.at < Scan.end) skipName()
  if (spellsUescape()) {
    skipBlank()
    from = Scan.at
    const byte = byteAt(Scan.at)
    const escaped = (byte | 0x20) == 0x65 && byteAt(Scan.at + 1) == 0x27
    if (byte == 0x27 || byte == 0x24 || escaped) {
      readToken(byte)
      const letter = singleByte(Scan.at)
      if (letter != 0) {
        unicodeEscape = letter
        restore(kind, begins, content)
        return
      }
    }
  }
  Scan.at = behind
  restore(kind, begins, content)
}

function restore(kind: Token, begins: usize, content: usize): void {
  token = kind
  from = begins
  inside = content
  word = Word.None
  isClosed = true
}

function spellsUescape(): bool {
  return Scan.at - from == 7 && wordAt(from, 7) == Word.Uescape
}

/** A dollar quote, a parameter, or a lone dollar sign. */
function readDollar(): void {
  if (isDigit(byteAt(Scan.at))) {
    while (isDigit(byteAt(Scan.at))) Scan.at++
    token = Token.Parameter
    return
  }
  const tag = Scan.at
  if (beginsName(byteAt(Scan.at))) {
    while (beginsName(byteAt(Scan.at)) || isDigit(byteAt(Scan.at))) Scan.at++
  }
  if (byteAt(Scan.at) != 0x24) {
    Scan.at = tag
    token = Token.Other
    return
  }
  const length = Scan.at - tag
  Scan.at++
  token = Token.Dollar
  inside = Scan.at
  while (Scan.at < Scan.end) {
    if (load<u8>(Scan.at++) != 0x24) continue
    const behindTag = Scan.at + length
    if (behindTag >= Scan.end || load<u8>(behindTag) != 0x24) continue
    if (memory.compare(Scan.at, tag, length) != 0) continue
    Scan.at = behindTag + 1
    return
  }
  isClosed = false
}

/** A name, or a string with a letter before its quote. */
function readName(): void {
  skipName()
  token = Token.Word
  if (Scan.at - from == 1) {
    const next = byteAt(Scan.at)
    const letter = load<u8>(from) | 0x20
    if (next == 0x27 && isPrefix(letter)) {
      Scan.at++
      switch (letter) {
        case 0x65:
          return readString(Token.Escaped, true, true)
        case 0x62:
          return readString(Token.Bits, false, false)
        case 0x78:
          return readString(Token.Hex, false, false)
        default:
          return readString(Token.String, true, !standard)
      }
    }
    const quote = byteAt(Scan.at + 1)
    if (letter == 0x75 && next == 0x26 && (quote == 0x27 || quote == 0x22)) {
      Scan.at += 2
      if (quote == 0x22) readQuoted(Token.UnicodeQuoted)
      else readString(Token.UnicodeString, true, false)
      return readUescape()
    }
  }
  word = wordOf(from, i32(Scan.at - from), Scan.nameHash)
}

/** E, B, X and N before a quote. */
// @ts-ignore: decorator
@inline
function isPrefix(letter: u8): bool {
  return letter == 0x65 || letter == 0x62 || letter == 0x78 || letter == 0x6e
}

/** Reads the next token. */
export function next(): Token {
  behind = to
  skipBlank()
  from = Scan.at
  word = Word.None
  isClosed = true
  if (Scan.at >= Scan.end || isSpent()) token = Token.End
  else readToken(load<u8>(Scan.at))
  to = Scan.at
  if (!isClosed) hasOpenQuote = true
  return token
}

function isSpent(): bool {
  if (--left >= 0) return false
  isCut = true
  Scan.end = Scan.at
  return true
}

function readToken(byte: u8): void {
  if (beginsName(byte)) return readName()
  if (isDigit(byte) || (byte == 0x2e && isDigit(byteAt(Scan.at + 1)))) {
    token = Token.Number
    return skipNumber()
  }
  Scan.at++
  switch (byte) {
    case 0x27:
      return readString(Token.String, true, !standard)
    case 0x22:
      return readQuoted(Token.Quoted)
    case 0x24:
      return readDollar()
    case 0x3a:
      token = colon(byteAt(Scan.at))
      if (token != Token.Colon) Scan.at++
      return
    case 0x2e:
      token = byteAt(Scan.at) == 0x2e ? Token.Other : Token.Dot
      if (token == Token.Other) Scan.at++
      return
    default:
      token = punctuation(byte)
      if (token != Token.Operator) return
      Scan.at = from
      skipOperator()
  }
}

/** A colon by what stands behind it: ::, := or neither. */
function colon(behind: u8): Token {
  if (behind == 0x3a) return Token.Cast
  return behind == 0x3d ? Token.Operator : Token.Colon
}

function punctuation(byte: u8): Token {
  switch (byte) {
    case 0x28:
      return Token.Open
    case 0x29:
      return Token.Close
    case 0x2c:
      return Token.Comma
    case 0x3b:
      return Token.Semicolon
    case 0x5b:
      return Token.OpenBracket
    case 0x5d:
      return Token.CloseBracket
    default:
      return isOperator(byte) ? Token.Operator : Token.Other
  }
}
