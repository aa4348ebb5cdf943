/**
 * What the present token of `tokens.ts` stands for: the value of a literal, the name behind quotes.
 * Source: PostgreSQL, "Lexical Structure". Text comes out in the encoding it went in, but escapes
 * for characters, which give UTF-8. What the server would refuse is taken as it stands.
 */
import { Bytes } from '../bytes'
import { hexDigit } from '../json-reader'
import { lower } from '../slice'
import { isHex } from './characters'
import { continuation } from './scan'
import {
  from,
  inside,
  isClosed,
  standardStrings,
  to,
  token,
  Token,
  unicodeEscape,
} from './tokens'

/** The most bytes of a name; what is longer, PostgreSQL cuts. */
export const NAME_BYTES_MAX: i32 = 63

const single = new Bytes()

/** Appends the value of the present token. */
export function appendValue(into: Bytes): void {
  switch (token) {
    case Token.Word:
      for (let ptr = from; ptr < to; ptr++) into.byte(lower(load<u8>(ptr)))
      return
    case Token.Quoted:
      return appendQuoted(into, 0x22, Token.String)
    case Token.UnicodeQuoted:
      return appendQuoted(into, 0x22, Token.UnicodeString)
    case Token.String:
      return appendQuoted(into, 0x27, standardStrings() ? Token.String : Token.Escaped)
    case Token.Escaped:
    case Token.UnicodeString:
    case Token.Bits:
    case Token.Hex:
      return appendQuoted(into, 0x27, token)
    case Token.Dollar: {
      // The tag stands on both sides, with its two signs.
      const behind = isClosed ? to - (inside - from) : to
      into.raw(inside, <i32>(behind - inside))
      return
    }
    default:
      into.raw(from, <i32>(to - from))
  }
}

/** Appends the present token as a name: folded, its quotes resolved, cut where PostgreSQL cuts. */
export function appendName(into: Bytes): void {
  const begins = into.length
  appendValue(into)
  if (into.length - begins <= NAME_BYTES_MAX) return
  let length = NAME_BYTES_MAX
  // Not within a character.
  while (length > 0 && (load<u8>(into.ptr + begins + length) & 0xc0) == 0x80) length--
  into.length = begins + length
}

/** The one byte that a string just read stands for, 0 where it is not one. For UESCAPE. */
export function singleByte(behind: usize): u8 {
  if (!isClosed) return 0
  single.clear()
  if (token == Token.Dollar) {
    const length = behind - inside - (inside - from)
    return length == 1 ? load<u8>(inside) : 0
  }
  if (token != Token.String && token != Token.Escaped) return 0
  const isEscaped = token == Token.Escaped || !standardStrings()
  appendPieces(single, inside, behind, 0x27, isEscaped ? Token.Escaped : Token.String)
  return single.length == 1 ? load<u8>(single.ptr) : 0
}

function appendQuoted(into: Bytes, quote: u8, rules: Token): void {
  appendPieces(into, inside, to, quote, rules)
}

/** Appends what is between quotes, piece by piece. */
function appendPieces(into: Bytes, begin: usize, behind: usize, quote: u8, rules: Token): void {
  let ptr = begin
  let high: u32 = 0
  while (ptr < behind) {
    const byte = load<u8>(ptr)
    if (byte == quote) {
      ptr++
      const isDoubled = rules != Token.Bits && rules != Token.Hex
      if (isDoubled && ptr < behind && load<u8>(ptr) == quote) {
        into.byte(quote)
        ptr++
        continue
      }
      const more = quote == 0x27 ? continuation(ptr) : 0
      if (more == 0 || more > behind) return
      ptr = more
      continue
    }
    const isEscape = rules == Token.Escaped ? byte == 0x5c
      : rules == Token.UnicodeString && byte == unicodeEscape
    if (!isEscape) {
      into.byte(byte)
      ptr++
      continue
    }
    const length = rules == Token.Escaped ? readEscape(ptr, behind) : readUnicode(ptr, behind)
    if (isCharacter) {
      if (character >= 0xd800 && character < 0xdc00) high = character
      else if (character >= 0xdc00 && character < 0xe000) {
        if (high != 0) into.codePoint(0x1_0000 + ((high & 0x3ff) << 10) + (character & 0x3ff))
        high = 0
      } else into.codePoint(character)
    } else into.byte(<u8>character)
    ptr += length
  }
}

/** What an escape stands for: a character, or one byte as it is. */
let character: u32 = 0
let isCharacter: bool = false

function readHex(ptr: usize, end: usize, digitsMax: i32): i32 {
  let digits = 0
  character = 0
  while (digits < digitsMax && ptr + digits < end && isHex(load<u8>(ptr + digits))) {
    character = (character << 4) | <u32>hexDigit(load<u8>(ptr + digits))
    digits++
  }
  return digits
}

/** Reads a backslash of E'…' and what belongs to it; how many bytes they are. */
function readEscape(ptr: usize, end: usize): i32 {
  isCharacter = false
  character = 0
  if (ptr + 1 >= end) return 1
  const letter = load<u8>(ptr, 1)
  if (letter >= 0x30 && letter <= 0x37) return readOctal(ptr, end)
  if (letter == 0x78) {
    const digits = readHex(ptr + 2, end, 2)
    if (digits > 0) return 2 + digits
  } else if (letter == 0x75 || letter == 0x55) {
    const wanted = letter == 0x75 ? 4 : 8
    if (readHex(ptr + 2, end, wanted) == wanted) {
      isCharacter = true
      return 2 + wanted
    }
  }
  character = controlOf(letter)
  return 2
}

function readOctal(ptr: usize, end: usize): i32 {
  let length = 1
  while (length < 4 && ptr + length < end) {
    const digit = load<u8>(ptr + length) - 0x30
    if (digit > 7) break
    character = (character << 3) | digit
    length++
  }
  return length
}

function controlOf(letter: u8): u32 {
  switch (letter) {
    case 0x62:
      return 8
    case 0x66:
      return 12
    case 0x6e:
      return 10
    case 0x72:
      return 13
    case 0x74:
      return 9
    default:
      return letter
  }
}

/** Reads an escape of U&'…': four digits, a plus and six, or itself; how many bytes it is. */
function readUnicode(ptr: usize, end: usize): i32 {
  isCharacter = true
  if (ptr + 1 < end && load<u8>(ptr, 1) == 0x2b) {
    if (readHex(ptr + 2, end, 6) == 6) return 8
  } else if (readHex(ptr + 1, end, 4) == 4) return 5
  isCharacter = false
  character = unicodeEscape
  return ptr + 1 < end && load<u8>(ptr, 1) == unicodeEscape ? 2 : 1
}
