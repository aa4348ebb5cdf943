/**
 * Reads JSON token by token, without a tree and without recursion: for the configuration and for
 * `connection`. It is lenient (commas and colons are passed over), for the host writes true JSON.
 */
import { Bytes } from './bytes'
import { isText, lengthOf, NONE, ptrOf, Slice, slice } from './slice'

export const enum JsonToken {
  End,
  ObjectBegin,
  ObjectEnd,
  ArrayBegin,
  ArrayEnd,
  String,
  /** A number, true, false or null: as it is written, in `raw`. */
  Plain,
}

@final
export class JsonReader {
  token: JsonToken = JsonToken.End
  /** The token as it is written; of a string what stands between the quotes. */
  raw: Slice = 0
  private at: usize = 0
  private end: usize = 0
  private decoded: Bytes = new Bytes()

  open(json: Slice): this {
    this.at = ptrOf(json)
    this.end = this.at + lengthOf(json)
    this.token = JsonToken.End
    this.raw = NONE
    return this
  }

  next(): JsonToken {
    let at = this.at
    const end = this.end
    while (at < end && isFill(load<u8>(at))) at++
    this.at = at
    if (at >= end) return (this.token = JsonToken.End)
    const byte = load<u8>(at)
    if (byte == 0x22) return this.readString()
    const bracket = bracketOf(byte)
    if (bracket != JsonToken.End) {
      this.raw = slice(at, 1)
      this.at = at + 1
      return (this.token = bracket)
    }
    while (at < end && !isFill(load<u8>(at)) && bracketOf(load<u8>(at)) == JsonToken.End) at++
    this.raw = slice(this.at, <i32>(at - this.at))
    this.at = at
    return (this.token = JsonToken.Plain)
  }

  private readString(): JsonToken {
    const from = this.at + 1
    let at = from
    while (at < this.end && load<u8>(at) != 0x22) at += load<u8>(at) == 0x5c ? 2 : 1
    const to = min(at, this.end)
    this.raw = slice(from, <i32>(to - from))
    this.at = min(to + 1, this.end)
    return (this.token = JsonToken.String)
  }

  /** The present string, its escapes resolved, or a plain token; good until the next `value`. */
  get value(): Slice {
    const length = lengthOf(this.raw)
    const ptr = ptrOf(this.raw)
    const bytes = this.decoded.clear()
    for (let at = 0; at < length; ) {
      const byte = load<u8>(ptr + at)
      if (byte == 0x5c && at + 1 < length) at += this.unescape(ptr + at, length - at)
      else {
        bytes.byte(byte)
        at++
      }
    }
    bytes.reserve(1)
    return bytes.slice
  }

  /** True for an ASCII text, as the keys of a configuration are. */
  is(text: string): bool {
    return isText(this.raw, text)
  }

  /**
   * Goes over the value that comes next, whatever it holds. For keys that are not wanted.
   */
  skip(): void {
    let depth = 0
    do {
      const token = this.next()
      if (token == JsonToken.End) return
      if (token == JsonToken.ObjectBegin || token == JsonToken.ArrayBegin) depth++
      else if (token == JsonToken.ObjectEnd || token == JsonToken.ArrayEnd) depth--
    } while (depth > 0)
  }

  /** Appends what the escape at `ptr` stands for; how many bytes it is long. */
  private unescape(ptr: usize, length: i32): i32 {
    const letter = load<u8>(ptr, 1)
    if (letter != 0x75) {
      this.decoded.byte(plainEscape(letter))
      return 2
    }
    const high = hex4(ptr + 2, length - 2)
    if (high < 0) return 2
    const isPair = high >= 0xd800 && high < 0xdc00 && length >= 12
    const low = isPair && load<u8>(ptr, 6) == 0x5c ? hex4(ptr + 8, length - 8) : -1
    if (low >= 0xdc00 && low < 0xe000) {
      this.decoded.codePoint(0x1_0000 + ((<u32>high & 0x3ff) << 10) + (<u32>low & 0x3ff))
      return 12
    }
    this.decoded.codePoint(high >= 0xd800 && high < 0xe000 ? 0xfffd : <u32>high)
    return 6
  }
}

// @ts-ignore: decorator
@inline
function isFill(byte: u8): bool {
  return byte <= 0x20 || byte == 0x2c || byte == 0x3a
}

function bracketOf(byte: u8): JsonToken {
  switch (byte) {
    case 0x7b:
      return JsonToken.ObjectBegin
    case 0x7d:
      return JsonToken.ObjectEnd
    case 0x5b:
      return JsonToken.ArrayBegin
    case 0x5d:
      return JsonToken.ArrayEnd
    default:
      return JsonToken.End
  }
}

function plainEscape(letter: u8): u8 {
  switch (letter) {
    case 0x6e:
      return 0x0a
    case 0x74:
      return 0x09
    case 0x72:
      return 0x0d
    case 0x62:
      return 0x08
    case 0x66:
      return 0x0c
    default:
      return letter
  }
}

/** The number of four hexadecimal digits, or -1. */
function hex4(ptr: usize, length: i32): i32 {
  if (length < 4) return -1
  let value = 0
  for (let at = 0; at < 4; at++) {
    const digit = hexDigit(load<u8>(ptr + at))
    if (digit < 0) return -1
    value = (value << 4) | digit
  }
  return value
}

/** What a hexadecimal digit counts, or -1. */
export function hexDigit(byte: u8): i32 {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}
