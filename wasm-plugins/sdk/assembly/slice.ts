/**
 * A run of bytes that lies somewhere in memory, as one number: the address in the upper half, the
 * length in the lower. Making, passing and returning one costs nothing. It is borrowed: what it
 * points to is only good until the hook returns, or until the buffer behind it is written again.
 * Bytes are compared as they are, so no encoding can be a fault; case is ASCII's alone.
 */
export type Slice = u64

/** No run at all, as NULL is no value; an empty one has an address. */
export const NONE: Slice = 0

// @ts-ignore: decorator
@inline
export function slice(ptr: usize, length: i32): Slice {
  return ((<u64>ptr) << 32) | (<u64>(<u32>length))
}

// @ts-ignore: decorator
@inline
export function ptrOf(run: Slice): usize {
  return <usize>(run >> 32)
}

// @ts-ignore: decorator
@inline
export function lengthOf(run: Slice): i32 {
  return <i32>(run & 0xffff_ffff)
}

// @ts-ignore: decorator
@inline
export function isNone(run: Slice): bool {
  return run == NONE
}

// @ts-ignore: decorator
@inline
export function lower(byte: u8): u8 {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
}

/** The same bytes. */
export function equals(a: Slice, b: Slice): bool {
  const length = lengthOf(a)
  return length == lengthOf(b) && memory.compare(ptrOf(a), ptrOf(b), length) == 0
}

/** The same bytes but for the case of A to Z. */
export function equalsIgnoringCase(a: Slice, b: Slice): bool {
  const length = lengthOf(a)
  if (length != lengthOf(b)) return false
  const one = ptrOf(a)
  const other = ptrOf(b)
  for (let at = 0; at < length; at++) {
    if (lower(load<u8>(one + at)) != lower(load<u8>(other + at))) return false
  }
  return true
}

/** The bytes of an ASCII text. */
export function isText(run: Slice, text: string): bool {
  return lengthOf(run) == text.length && beginsWith(run, text)
}

/** The bytes of an ASCII text but for the case of A to Z. */
export function isTextIgnoringCase(run: Slice, text: string): bool {
  const length = lengthOf(run)
  if (length != text.length) return false
  const ptr = ptrOf(run)
  for (let at = 0; at < length; at++) {
    if (lower(load<u8>(ptr + at)) != lower(<u8>text.charCodeAt(at))) return false
  }
  return true
}

/** True where the bytes begin with an ASCII text. */
export function beginsWith(run: Slice, text: string): bool {
  if (lengthOf(run) < text.length) return false
  const ptr = ptrOf(run)
  for (let at = 0; at < text.length; at++) {
    if (<i32>load<u8>(ptr + at) != text.charCodeAt(at)) return false
  }
  return true
}

/** Where `byte` first stands, or -1. */
export function indexOf(run: Slice, byte: u8): i32 {
  const ptr = ptrOf(run)
  const length = lengthOf(run)
  for (let at = 0; at < length; at++) if (load<u8>(ptr + at) == byte) return at
  return -1
}

/** The part from `from` up to `to`, both held within the run. */
export function part(run: Slice, from: i32, to: i32 = i32.MAX_VALUE): Slice {
  const length = lengthOf(run)
  const begin = min(max(from, 0), length)
  return slice(ptrOf(run) + begin, min(max(to, begin), length) - begin)
}

/** The whole number in decimal digits that the bytes are, or `otherwise`. Up to 18 digits. */
export function integerOf(run: Slice, otherwise: i64): i64 {
  const ptr = ptrOf(run)
  const length = lengthOf(run)
  const negative = length > 0 && load<u8>(ptr) == 0x2d
  const first = negative ? 1 : 0
  if (length == first || length - first > 18) return otherwise
  let value: i64 = 0
  for (let at = first; at < length; at++) {
    const digit = load<u8>(ptr + at) - 0x30
    if (digit > 9) return otherwise
    value = value * 10 + digit
  }
  return negative ? -value : value
}

/** The bytes, UTF-8, as a text. It is allocated and never freed: at the start, not in a hook. */
export function textOf(run: Slice): string {
  return String.UTF8.decodeUnsafe(ptrOf(run), lengthOf(run))
}

/** A stable 64-bit hash of the bytes: FNV-1a. */
export function hashOf(run: Slice): u64 {
  let hash: u64 = 0xcbf2_9ce4_8422_2325
  const ptr = ptrOf(run)
  const length = lengthOf(run)
  for (let at = 0; at < length; at++) hash = (hash ^ load<u8>(ptr + at)) * 0x100_0000_01b3
  return hash
}
