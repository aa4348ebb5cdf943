/**
 * Where the scanner is in its text, and what it can pass over without telling what it was. Reading
 * beyond the end gives zeros.
 */
import {
  CONTINUING,
  hashedWith,
  isDigit,
  isHex,
  isNewline,
  isOperator,
  isSpace,
  isUncommon,
  WORD_SEED,
} from './characters'

/** The place in the text. */
export class Scan {
  static at: usize = 0
  static end: usize = 0
  /** The hash of the name that was passed last. */
  static nameHash: u32 = 0
  /** True once a comment was passed since the text was opened; once one that does not end. */
  static hasComment: bool = false
  static hasOpenComment: bool = false
  /** A run of signs that are an operator each: known, so that none is looked at twice. */
  static signsFrom: usize = 0
  static signsTo: usize = 0
}

// @ts-ignore: decorator
@inline
export function byteAt(ptr: usize): u8 {
  return ptr < Scan.end ? load<u8>(ptr) : 0
}

export function skipLine(): void {
  Scan.hasComment = true
  while (Scan.at < Scan.end && !isNewline(load<u8>(Scan.at))) Scan.at++
}

export function skipBlock(): void {
  Scan.hasComment = true
  let depth = 0
  while (Scan.at < Scan.end) {
    const byte = load<u8>(Scan.at)
    if (byte == 0x2f && byteAt(Scan.at + 1) == 0x2a) {
      depth++
      Scan.at += 2
    } else if (byte == 0x2a && byteAt(Scan.at + 1) == 0x2f) {
      depth--
      Scan.at += 2
      if (depth == 0) return
    } else Scan.at++
  }
  Scan.at = min(Scan.at, Scan.end)
  Scan.hasOpenComment = true
}

export function skipBlank(): void {
  const end = Scan.end
  let at = Scan.at
  while (at < end) {
    const byte = load<u8>(at)
    if (isSpace(byte)) {
      at++
      continue
    }
    if (byte != 0x2d && byte != 0x2f) break
    Scan.at = at
    if (byte == 0x2d && byteAt(at + 1) == 0x2d) skipLine()
    else if (byte == 0x2f && byteAt(at + 1) == 0x2a) skipBlock()
    else return
    at = Scan.at
  }
  Scan.at = at
}

/**
 * A string goes on behind blanks with a newline in them: where its next piece begins, or 0. `ptr`
 * is behind a closing quote.
 */
export function continuation(ptr: usize): usize {
  let newline = false
  while (ptr < Scan.end) {
    const byte = load<u8>(ptr)
    if (isSpace(byte)) {
      newline = newline || isNewline(byte)
      ptr++
    } else if (byte == 0x2d && byteAt(ptr + 1) == 0x2d) {
      while (ptr < Scan.end && !isNewline(load<u8>(ptr))) ptr++
    } else break
  }
  return newline && byteAt(ptr) == 0x27 ? ptr + 1 : 0
}

export function skipName(): void {
  const end = Scan.end
  let at = Scan.at
  let hash = WORD_SEED
  while (at < end) {
    const byte = load<u8>(at)
    if (load<u8>(CONTINUING + byte) == 0) break
    hash = hashedWith(hash, byte)
    at++
  }
  Scan.at = at
  Scan.nameHash = hash
}

export function skipDigits(): void {
  let at = Scan.at
  while (true) {
    const byte = byteAt(at)
    if (!isDigit(byte) && (byte != 0x5f || !isDigit(byteAt(at + 1)))) break
    at++
  }
  Scan.at = at
}

export function skipNumber(): void {
  const letter = byteAt(Scan.at + 1) | 0x20
  if (byteAt(Scan.at) == 0x30 && (letter == 0x78 || letter == 0x6f || letter == 0x62)) {
    const first = byteAt(Scan.at + 2) == 0x5f ? byteAt(Scan.at + 3) : byteAt(Scan.at + 2)
    if (letter == 0x78 ? isHex(first) : isDigit(first)) {
      Scan.at += 2
      if (letter != 0x78) return skipDigits()
      while (isHex(byteAt(Scan.at)) || byteAt(Scan.at) == 0x5f) Scan.at++
      return
    }
  }
  skipDigits()
  // Two dots are a range, as in loops of PL/pgSQL.
  if (byteAt(Scan.at) == 0x2e && byteAt(Scan.at + 1) != 0x2e) {
    Scan.at++
    if (isDigit(byteAt(Scan.at))) skipDigits()
  }
  if ((byteAt(Scan.at) | 0x20) == 0x65) {
    const sign = byteAt(Scan.at + 1)
    const digits = Scan.at + (sign == 0x2b || sign == 0x2d ? 2 : 1)
    if (isDigit(byteAt(digits))) {
      Scan.at = digits
      skipDigits()
    }
  }
}

/**
 * From an operator's first byte to behind it: it ends where a comment begins, and before a sign
 * that SQL takes for one of its own.
 */
export function skipOperator(): void {
  const from = Scan.at
  if (from >= Scan.signsFrom && from < Scan.signsTo) {
    Scan.at++
    return
  }
  let uncommon = false
  while (Scan.at < Scan.end) {
    const byte = load<u8>(Scan.at)
    if (!isOperator(byte)) break
    const next = byteAt(Scan.at + 1)
    if ((byte == 0x2d && next == 0x2d) || (byte == 0x2f && next == 0x2a)) break
    Scan.at++
  }
  if (Scan.at - from < 2) return
  const last = load<u8>(Scan.at - 1)
  if (last != 0x2b && last != 0x2d) return
  for (let ptr = from; ptr < Scan.at - 1 && !uncommon; ptr++) uncommon = isUncommon(load<u8>(ptr))
  if (uncommon) return
  Scan.signsTo = Scan.at
  while (Scan.at - from > 1) {
    const byte = load<u8>(Scan.at - 1)
    if (byte != 0x2b && byte != 0x2d) break
    Scan.at--
  }
  Scan.signsFrom = Scan.at
}

// @ts-ignore: decorator
@inline
const ONES: u64 = 0x0101_0101_0101_0101
// @ts-ignore: decorator
@inline
const TOPS: u64 = 0x8080_8080_8080_8080

/**
 * Passes eight bytes at a time while none of them is a quote or a backslash: long literals are what
 * makes statements long.
 */
export function skipUnquoted(quote: u8): void {
  const quotes = ONES * quote
  while (Scan.at + 8 <= Scan.end) {
    const bytes = load<u64>(Scan.at)
    const quoted = bytes ^ quotes
    const escaped = bytes ^ (ONES * 0x5c)
    const found = ((quoted - ONES) & ~quoted) | ((escaped - ONES) & ~escaped)
    if ((found & TOPS) != 0) return
    Scan.at += 8
  }
}
