/**
 * Cuts SQL into tokens as PostgreSQL does: comments nest, strings and dollar quotes hide what is
 * in them, quoted names are names. Never reads beyond the end, whatever the text is.
 */
import { Word, wordAt } from './words'

export const enum Token {
  End,
  /** A name or keyword without quotes. */
  Word,
  /** A name in double quotes. */
  Quoted,
  /** A string, number or parameter. */
  Literal,
  Open,
  Close,
  Comma,
  Semicolon,
  Dot,
  Other,
}

let end: usize = 0
let at: usize = 0

/** The present token: what it is, where it lies, which word it is. */
export let token: Token = Token.End
export let from: usize = 0
export let to: usize = 0
export let word: Word = Word.None

export function open(ptr: usize, length: i32): void {
  at = ptr
  end = ptr + length
}

/** Goes back to where a token began, and reads it again. */
export function again(where: usize): void {
  at = where
  next()
}

// @ts-ignore: decorator
@inline
function byteAt(ptr: usize): u8 {
  return ptr < end ? load<u8>(ptr) : 0
}

// @ts-ignore: decorator
@inline
function isSpace(byte: u8): bool {
  return byte == 0x20 || (byte >= 9 && byte <= 13)
}

// @ts-ignore: decorator
@inline
function isDigit(byte: u8): bool {
  return byte >= 0x30 && byte <= 0x39
}

// @ts-ignore: decorator
@inline
function beginsName(byte: u8): bool {
  const letter = byte | 0x20
  return (letter >= 0x61 && letter <= 0x7a) || byte == 0x5f || byte >= 0x80
}

// @ts-ignore: decorator
@inline
function isNewline(byte: u8): bool {
  return byte == 10 || byte == 13
}

function skipLine(): void {
  while (at < end && !isNewline(load<u8>(at))) at++
}

function skipBlock(): void {
  let depth = 0
  while (at < end) {
    const two = (u32(load<u8>(at)) << 8) | byteAt(at + 1)
    if (two == 0x2f2a) {
      depth++
      at += 2
    } else if (two == 0x2a2f) {
      depth--
      at += 2
      if (depth == 0) return
    } else at++
  }
}

function skipBlank(): void {
  while (at < end) {
    const byte = load<u8>(at)
    if (isSpace(byte)) at++
    else if (byte == 0x2d && byteAt(at + 1) == 0x2d) skipLine()
    else if (byte == 0x2f && byteAt(at + 1) == 0x2a) skipBlock()
    else return
  }
}

/**
 * From behind an opening quote to behind the closing one; a doubled quote is none. False where
 * there is no closing one: then the rest of the text has been skipped.
 */
function skipQuoted(quote: u8, escapes: bool): bool {
  while (at < end) {
    const byte = load<u8>(at++)
    if (escapes && byte == 0x5c) at++
    else if (byte == quote) {
      if (byteAt(at) != quote) return true
      at++
    }
  }
  at = min(at, end)
  return false
}

/** A quoted name. One that does not end is none: behind its quote may stand anything. */
function readQuoted(): void {
  token = skipQuoted(0x22, false) ? Token.Quoted : Token.Other
}

/** A string goes on in the next line: what follows is read by the same rules for backslashes. */
function continues(): bool {
  const before = at
  let newline = false
  while (at < end) {
    const byte = load<u8>(at)
    if (isSpace(byte)) {
      newline = newline || isNewline(byte)
      at++
    } else if (byte == 0x2d && byteAt(at + 1) == 0x2d) skipLine()
    else break
  }
  if (newline && byteAt(at) == 0x27) {
    at++
    return true
  }
  at = before
  return false
}

function skipString(escapes: bool): void {
  do skipQuoted(0x27, escapes)
  while (escapes && continues())
}

/** A dollar quote, a parameter, or a lone dollar sign. */
function readDollar(): void {
  if (isDigit(byteAt(at))) {
    while (isDigit(byteAt(at))) at++
    token = Token.Literal
    return
  }
  const tag = at
  if (beginsName(byteAt(at))) while (beginsName(byteAt(at)) || isDigit(byteAt(at))) at++
  if (byteAt(at) != 0x24 || at >= end) {
    at = tag
    token = Token.Other
    return
  }
  const length = at - tag
  at++
  token = Token.Literal
  while (at < end) {
    if (load<u8>(at++) != 0x24) continue
    if (at + length < end && load<u8>(at + length) == 0x24 && !memory.compare(at, tag, length)) {
      at += length + 1
      return
    }
  }
}

function readNumber(): void {
  while (isDigit(byteAt(at)) || byteAt(at) == 0x2e) at++
  if ((byteAt(at) | 0x20) == 0x65) {
    const sign = byteAt(at + 1)
    const digits = at + (sign == 0x2b || sign == 0x2d ? 2 : 1)
    if (isDigit(byteAt(digits))) {
      at = digits
      while (isDigit(byteAt(at))) at++
    }
  }
  token = Token.Literal
}

/** A name, or a string with a letter before its quote. */
function readName(): void {
  while (at < end) {
    const byte = load<u8>(at)
    if (!beginsName(byte) && !isDigit(byte) && byte != 0x24) break
    at++
  }
  const next = byteAt(at)
  const letter = load<u8>(from) | 0x20
  if (at - from == 1) {
    if (next == 0x27 && (letter == 0x65 || letter == 0x62 || letter == 0x78 || letter == 0x6e)) {
      at++
      skipString(letter == 0x65)
      token = Token.Literal
      return
    }
    const quote = byteAt(at + 1)
    if (letter == 0x75 && next == 0x26 && (quote == 0x27 || quote == 0x22)) {
      at += 2
      if (quote == 0x22) return readQuoted()
      skipQuoted(quote, false)
      token = Token.Literal
      return
    }
  }
  token = Token.Word
  word = wordAt(from, i32(at - from))
}

/** Reads the next token. */
export function next(): Token {
  skipBlank()
  from = at
  word = Word.None
  if (at >= end) token = Token.End
  else readToken(load<u8>(at))
  to = at
  return token
}

function readToken(byte: u8): void {
  if (beginsName(byte)) return readName()
  if (isDigit(byte) || (byte == 0x2e && isDigit(byteAt(at + 1)))) return readNumber()
  at++
  switch (byte) {
    case 0x27:
      skipString(false)
      token = Token.Literal
      return
    case 0x22:
      return readQuoted()
    case 0x24:
      return readDollar()
    case 0x28:
      token = Token.Open
      return
    case 0x29:
      token = Token.Close
      return
    case 0x2c:
      token = Token.Comma
      return
    case 0x3b:
      token = Token.Semicolon
      return
    case 0x2e:
      token = Token.Dot
      return
    default:
      token = Token.Other
  }
}
