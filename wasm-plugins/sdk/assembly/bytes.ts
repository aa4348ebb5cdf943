/**
 * Bytes that grow: one place in memory, taken again and again. Make one for each purpose at the
 * start and `clear` it in a hook: then hooks allocate nothing once the buffers have their size.
 */
import { giveBack, roomFor, take } from './room'
import { lengthOf, ptrOf, Slice, slice } from './slice'

const FIRST_BYTES: i32 = 1024

@final
export class Bytes {
  ptr: usize = 0
  length: i32 = 0
  /** True where something was left out because there was no memory; `clear` forgets it. */
  isCut: bool = false
  private room: i32 = 0

  /** Makes room for `wanted` bytes in all; false where there is none. */
  reserve(wanted: i32): bool {
    if (wanted <= this.room && wanted >= 0) return true
    return this.grow(wanted)
  }

  private grow(wanted: i32): bool {
    const roomy = max(max(wanted, FIRST_BYTES), this.room + (this.room >> 1))
    let room = roomFor(roomy)
    let place = wanted < 0 || room == 0 ? 0 : take(room)
    if (place == 0 && wanted > 0 && roomy > wanted) {
      room = roomFor(wanted)
      place = take(wanted)
    }
    if (place == 0) {
      this.isCut = true
      return false
    }
    memory.copy(place, this.ptr, this.length)
    giveBack(this.ptr, this.room)
    this.ptr = place
    this.room = room
    return true
  }

  clear(): this {
    this.length = 0
    this.isCut = false
    return this
  }

  /** What was written, borrowed until the next write. */
  get slice(): Slice {
    return slice(this.ptr, this.length)
  }

  byte(value: u8): this {
    if (this.reserve(this.length + 1)) {
      store<u8>(this.ptr + this.length, value)
      this.length++
    }
    return this
  }

  raw(ptr: usize, length: i32): this {
    if (this.reserve(this.length + length)) {
      memory.copy(this.ptr + this.length, ptr, length)
      this.length += length
    }
    return this
  }

  /** The bytes of a slice, as they are. */
  add(run: Slice): this {
    return this.raw(ptrOf(run), lengthOf(run))
  }

  /** A text as UTF-8. */
  text(value: string): this {
    const units = value.length
    if (!this.reserve(this.length + units * 3)) return this
    const from = changetype<usize>(value)
    this.length += i32(String.UTF8.encodeUnsafe(from, units, this.ptr + this.length))
    return this
  }

  /** A big-endian number of two bytes, as PostgreSQL's protocol has them. */
  int16(value: i32): this {
    if (this.reserve(this.length + 2)) {
      store<u16>(this.ptr + this.length, bswap<u16>(<u16>value))
      this.length += 2
    }
    return this
  }

  /** A big-endian number of four bytes. */
  int32(value: i32): this {
    if (this.reserve(this.length + 4)) {
      store<u32>(this.ptr + this.length, bswap<u32>(<u32>value))
      this.length += 4
    }
    return this
  }

  /** A whole number in decimal digits. */
  number(value: i64): this {
    let rest = <u64>value
    if (value < 0) {
      this.byte(0x2d)
      rest = 0 - rest
    }
    let scale: u64 = 1
    while (rest / scale >= 10) scale *= 10
    for (; scale > 0; scale /= 10) this.byte(u8(0x30 + (rest / scale) % 10))
    return this
  }

  /** Sixteen hexadecimal digits. */
  hex64(value: u64): this {
    for (let shift = 60; shift >= 0; shift -= 4) this.hexDigit(<u8>((value >> shift) & 15))
    return this
  }

  /**
   * Bytes within a JSON string: quotes, backslashes and control characters escaped, and what is no
   * UTF-8 told by U+FFFD, so that whatever a client sends leaves JSON that can be read.
   */
  json(ptr: usize, length: i32): this {
    const end = ptr + length
    while (ptr < end) {
      const value = load<u8>(ptr)
      if (value >= 0x80) {
        const bytes = wellFormed(ptr, end)
        if (bytes == 0) this.byte(0xef).byte(0xbf).byte(0xbd)
        else this.raw(ptr, bytes)
        ptr += max(bytes, 1)
        continue
      }
      if (value == 0x22 || value == 0x5c) this.byte(0x5c).byte(value)
      else if (value < 0x20 || value == 0x7f) {
        this.byte(0x5c).byte(0x75).byte(0x30).byte(0x30).hexDigit(value >> 4).hexDigit(value & 15)
      } else this.byte(value)
      ptr++
    }
    return this
  }

  /** A character as UTF-8. */
  codePoint(value: u32): this {
    if (value < 0x80) return this.byte(<u8>value)
    if (value < 0x800) return this.byte(<u8>(0xc0 | (value >> 6))).byte(tail(value))
    if (value < 0x1_0000) {
      return this.byte(<u8>(0xe0 | (value >> 12))).byte(tail(value >> 6)).byte(tail(value))
    }
    return this.byte(<u8>(0xf0 | ((value >> 18) & 7)))
      .byte(tail(value >> 12))
      .byte(tail(value >> 6))
      .byte(tail(value))
  }

  private hexDigit(digit: u8): this {
    return this.byte(digit < 10 ? 0x30 + digit : 0x57 + digit)
  }
}

// @ts-ignore: decorator
@inline
function tail(value: u32): u8 {
  return <u8>(0x80 | (value & 0x3f))
}

/** The length of the UTF-8 character at `ptr`, whose first byte is not ASCII; 0: it is none. */
function wellFormed(ptr: usize, end: usize): i32 {
  const first = load<u8>(ptr)
  if (first < 0xc2 || first > 0xf4) return 0
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
  if (ptr + length > end) return 0
  for (let at = 1; at < length; at++) if ((load<u8>(ptr + at) & 0xc0) != 0x80) return 0
  const second = load<u8>(ptr, 1)
  // Overlong forms, halves of surrogate pairs, and what lies above U+10FFFF.
  if (first == 0xe0 && second < 0xa0) return 0
  if (first == 0xed && second > 0x9f) return 0
  if (first == 0xf0 && second < 0x90) return 0
  if (first == 0xf4 && second > 0x8f) return 0
  return length
}
