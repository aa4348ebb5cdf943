/**
 * The codec of `plugin.v1.Struct`, which every call of a gRPC plugin carries both ways. Our own,
 * because it is the hot path: plain values in and out, no message objects between. The tags are
 * those of `proto/plugin/v1/plugin.proto`; the generated code is what the tests compare it with.
 */
import { GatewayError } from '../../base/errors.ts'

/** What a Struct holds. Bytes are bytes, never text. */
export type Value = null | number | string | boolean | Uint8Array | readonly Value[] | Struct

/** Named values. Decoded ones have no prototype, so that no key is special. */
export interface Struct {
  readonly [key: string]: Value
}

/** Structs and lists inside each other, both ways: what a plugin cannot make us recurse beyond. */
export const DEPTH_MAX = 64

/** Values in one decoded Struct: a list of empty values is small on the wire, not in memory. */
export const VALUES_MAX = 1_000_000

// Field number and wire type of each kind of value, and of the pieces around them, in one byte.
const NULL = 0x08
const NUMBER = 0x11
const STRING = 0x1a
const BOOL = 0x20
const STRUCT = 0x2a
const LIST = 0x32
const BYTES = 0x3a
const ENTRY = 0x0a
const ENTRY_KEY = 0x0a
const ENTRY_VALUE = 0x12
const ELEMENT = 0x0a

function refuse(what: string): never {
  throw new GatewayError('PLUGIN_CALL', `not a plugin.v1.Struct: ${what}`)
}

/** True for a value that is itself a Struct. */
export function isStruct(value: Value | undefined): value is Struct {
  return (
    typeof value === 'object' &&
    value !== null &&
    !(value instanceof Uint8Array) &&
    !Array.isArray(value)
  )
}

/** The bytes a varint takes. */
function varintSize(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  return value < 0x1000_0000 ? 4 : 5
}

/** The bytes of a length-delimited field with its one byte of tag. */
function delimited(length: number): number {
  return 1 + varintSize(length) + length
}

/**
 * Writes in two passes over the same values: the first notes the length of whatever stands behind
 * a length, in the order of the visit; the second writes into one buffer of exactly that size.
 */
class Encoder {
  readonly #lengths: number[] = []
  #next = 0
  #depth = 0
  #at = 0
  #out: Buffer = Buffer.alloc(0)

  encode(struct: Struct): Uint8Array {
    this.#out = Buffer.allocUnsafe(this.#measureStruct(struct))
    this.#writeStruct(struct)
    return this.#out
  }

  /** Reserves the next place of `#lengths`, so that the writing pass meets it in order. */
  #reserve(): number {
    return this.#lengths.push(0) - 1
  }

  #measureStruct(struct: Struct): number {
    this.#deeper()
    let size = 0
    for (const key in struct) {
      const place = this.#reserve()
      const length = this.#measureValue(struct[key] ?? null)
      this.#lengths[place] = length
      size += delimited(delimited(Buffer.byteLength(key)) + delimited(length))
    }
    this.#depth--
    return size
  }

  #measureList(list: readonly Value[]): number {
    this.#deeper()
    let size = 0
    for (const value of list) {
      const place = this.#reserve()
      const length = this.#measureValue(value)
      this.#lengths[place] = length
      size += delimited(length)
    }
    this.#depth--
    return size
  }

  #measureValue(value: Value): number {
    if (typeof value === 'string') return delimited(Buffer.byteLength(value))
    if (typeof value === 'number') return 9
    if (value === null || typeof value === 'boolean') return 2
    if (value instanceof Uint8Array) return delimited(value.length)
    const place = this.#reserve()
    const length = isStruct(value) ? this.#measureStruct(value) : this.#measureList(value)
    this.#lengths[place] = length
    return delimited(length)
  }

  #deeper(): void {
    if (++this.#depth > DEPTH_MAX) refuse(`nested deeper than ${DEPTH_MAX}`)
  }

  #length(): number {
    return this.#lengths[this.#next++] ?? 0
  }

  #writeStruct(struct: Struct): void {
    for (const key in struct) {
      const length = this.#length()
      const keyLength = Buffer.byteLength(key)
      this.#out[this.#at++] = ENTRY
      this.#writeVarint(delimited(keyLength) + delimited(length))
      this.#out[this.#at++] = ENTRY_KEY
      this.#writeText(key, keyLength)
      this.#out[this.#at++] = ENTRY_VALUE
      this.#writeVarint(length)
      this.#writeValue(struct[key] ?? null)
    }
  }

  #writeValue(value: Value): void {
    if (typeof value === 'string') {
      this.#out[this.#at++] = STRING
      this.#writeText(value, Buffer.byteLength(value))
    } else if (typeof value === 'number') {
      this.#out[this.#at++] = NUMBER
      this.#at = this.#out.writeDoubleLE(value, this.#at)
    } else if (value === null || typeof value === 'boolean') {
      this.#out[this.#at++] = value === null ? NULL : BOOL
      this.#out[this.#at++] = value === true ? 1 : 0
    } else if (value instanceof Uint8Array) {
      this.#out[this.#at++] = BYTES
      this.#writeVarint(value.length)
      this.#out.set(value, this.#at)
      this.#at += value.length
    } else if (isStruct(value)) {
      this.#out[this.#at++] = STRUCT
      this.#writeVarint(this.#length())
      this.#writeStruct(value)
    } else {
      this.#out[this.#at++] = LIST
      this.#writeVarint(this.#length())
      this.#writeElements(value)
    }
  }

  #writeElements(list: readonly Value[]): void {
    for (const value of list) {
      this.#out[this.#at++] = ELEMENT
      this.#writeVarint(this.#length())
      this.#writeValue(value)
    }
  }

  #writeText(text: string, length: number): void {
    this.#writeVarint(length)
    this.#at += this.#out.write(text, this.#at)
  }

  #writeVarint(value: number): void {
    while (value > 127) {
      this.#out[this.#at++] = (value & 127) | 128
      value >>>= 7
    }
    this.#out[this.#at++] = value
  }
}

/** Encodes a Struct; throws a GatewayError(PLUGIN_CALL) where it nests too deep. */
export function encodeStruct(struct: Struct): Uint8Array {
  return new Encoder().encode(struct)
}

// `ignoreBOM` keeps a byte order mark, which belongs to the text.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads fields up to an `end` that was checked before, so that no read leaves the buffer. */
class Decoder {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0
  #depth = 0
  #values = 0

  constructor(bytes: Uint8Array) {
    // A plain array even where a Buffer came, whose slices would be Buffers.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  struct(end: number): Struct {
    this.#deeper()
    const struct: Record<string, Value> = Object.create(null)
    while (this.#at < end) {
      const tag = this.#varint(end)
      if (tag === ENTRY) this.#entry(this.#end(end), struct)
      else this.#skip(tag, end)
    }
    this.#depth--
    return struct
  }

  #entry(end: number, into: Record<string, Value>): void {
    let key = ''
    let value: Value = null
    while (this.#at < end) {
      const tag = this.#varint(end)
      if (tag === ENTRY_KEY) key = this.#text(this.#end(end))
      else if (tag === ENTRY_VALUE) value = this.#value(this.#end(end))
      else this.#skip(tag, end)
    }
    into[key] = value
  }

  #list(end: number): Value[] {
    this.#deeper()
    const list: Value[] = []
    while (this.#at < end) {
      const tag = this.#varint(end)
      if (tag === ELEMENT) list.push(this.#value(this.#end(end)))
      else this.#skip(tag, end)
    }
    this.#depth--
    return list
  }

  /** A value with no kind set is null; of several kinds the last one holds. */
  #value(end: number): Value {
    if (++this.#values > VALUES_MAX) refuse(`more than ${VALUES_MAX} values`)
    let value: Value = null
    while (this.#at < end) {
      const tag = this.#varint(end)
      if (tag === STRING) value = this.#text(this.#end(end))
      else if (tag === BYTES) value = this.#slice(this.#end(end))
      else if (tag === NUMBER) value = this.#double(end)
      else if (tag === STRUCT) value = this.struct(this.#end(end))
      else if (tag === LIST) value = this.#list(this.#end(end))
      else if (tag === BOOL) value = this.#varint(end) !== 0
      else if (tag === NULL) value = this.#null(end)
      else this.#skip(tag, end)
    }
    return value
  }

  #deeper(): void {
    if (++this.#depth > DEPTH_MAX) refuse(`nested deeper than ${DEPTH_MAX}`)
  }

  #null(end: number): null {
    this.#varint(end)
    return null
  }

  #double(end: number): number {
    const at = this.#advance(8, end)
    return this.#view.getFloat64(at, true)
  }

  #slice(end: number): Uint8Array {
    const at = this.#at
    this.#at = end
    return this.#bytes.subarray(at, end)
  }

  #text(end: number): string {
    // Short ASCII, which nearly every key is, is cheaper without the decoder.
    if (end - this.#at > 24) return this.#decoded(this.#slice(end))
    let text = ''
    for (let at = this.#at; at < end; at++) {
      const byte = this.#bytes[at] ?? 0
      if (byte > 127) return this.#decoded(this.#slice(end))
      text += String.fromCharCode(byte)
    }
    this.#at = end
    return text
  }

  #decoded(slice: Uint8Array): string {
    try {
      return utf8.decode(slice)
    } catch {
      return refuse(`text that is not UTF-8 ends at byte ${this.#at}`)
    }
  }

  /** Reads a length and gives the position it reaches to, never beyond `end`. */
  #end(end: number): number {
    const length = this.#varint(end)
    if (length > end - this.#at) refuse(`truncated at byte ${this.#at}`)
    return this.#at + length
  }

  #advance(length: number, end: number): number {
    const at = this.#at
    if (length > end - at) refuse(`truncated at byte ${at}`)
    this.#at = at + length
    return at
  }

  #varint(end: number): number {
    const first = this.#bytes[this.#at] ?? 0
    // Nearly all are of one byte.
    if (first < 128 && this.#at < end) {
      this.#at++
      return first
    }
    let value = 0
    // Beyond 53 bits the sum is not exact; nothing so large is a length, a tag or a flag here.
    for (let scale = 1; scale < 2 ** 70; scale *= 128) {
      const byte = this.#bytes[this.#advance(1, end)] ?? 0
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
    return refuse(`a number of more than ten bytes at byte ${this.#at}`)
  }

  #skip(tag: number, end: number): void {
    const wireType = tag % 8
    if (tag < 8) refuse(`no field number at byte ${this.#at}`)
    if (wireType === 0) this.#varint(end)
    else if (wireType === 1) this.#advance(8, end)
    else if (wireType === 2) this.#at = this.#end(end)
    else if (wireType === 5) this.#advance(4, end)
    else refuse(`wire type ${wireType} at byte ${this.#at}`)
  }
}

/**
 * Decodes a Struct; bytes in it are views of `bytes`. Throws a GatewayError(PLUGIN_CALL) where it
 * is truncated, malformed, not UTF-8 or beyond `DEPTH_MAX` or `VALUES_MAX`.
 */
export function decodeStruct(bytes: Uint8Array): Struct {
  return new Decoder(bytes).struct(bytes.length)
}
