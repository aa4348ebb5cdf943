/**
 * Reads and writes WebAssembly's binary format (specification, chapter 5): bytes, LEB128 numbers,
 * names and sections. Every read is checked against the end of its section.
 */
import { GatewayError } from '../../base/errors.ts'

const CONTINUES = 0x80
const PAYLOAD = 0x7f
const SIGN = 0x40
const U32_MAX = 0xffff_ffff
/** The longest forms that the specification permits for 32, 33 and 64 bits. */
const BYTES_OF_32_BITS = 5
const BYTES_OF_64_BITS = 10
/** A byte order mark is a part of a name like any other. */
const NAMES = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Refuses a module, naming the file. */
export function refuse(where: string, sentence: string): never {
  throw new GatewayError('PLUGIN_WASM', `${where}: ${sentence}`)
}

/** A place in a binary. */
export class BinaryReader {
  readonly #bytes: Uint8Array
  /** Where the section ends. */
  readonly end: number
  /** The file, for errors. */
  readonly where: string
  at: number

  constructor(bytes: Uint8Array, at: number, end: number, where: string) {
    this.#bytes = bytes
    this.at = at
    this.end = end
    this.where = where
  }

  fail(sentence: string): never {
    return refuse(this.where, sentence)
  }

  get done(): boolean {
    return this.at >= this.end
  }

  byte(): number {
    if (this.at >= this.end) this.#cutShort()
    return this.#bytes[this.at++]!
  }

  /** The next byte, without passing it. */
  peek(): number {
    if (this.at >= this.end) this.#cutShort()
    return this.#bytes[this.at]!
  }

  /** An unsigned number of at most 32 bits. */
  u32(): number {
    const first = this.byte()
    if (first < CONTINUES) return first
    let value = first & PAYLOAD
    for (let shift = 7; shift < 7 * BYTES_OF_32_BITS; shift += 7) {
      const byte = this.byte()
      value += (byte & PAYLOAD) * 2 ** shift
      if (byte < CONTINUES) return value <= U32_MAX ? value : this.fail('a number is too large')
    }
    return this.fail('a number is longer than five bytes')
  }

  /** A signed number of 33 bits, as a block's type is written. */
  s33(): number {
    let value = 0
    for (let shift = 0; shift < 7 * BYTES_OF_32_BITS; shift += 7) {
      const byte = this.byte()
      value += (byte & PAYLOAD) * 2 ** shift
      if (byte < CONTINUES) return (byte & SIGN) === 0 ? value : value - 2 ** (shift + 7)
    }
    return this.fail('a number is longer than five bytes')
  }

  /** Passes a number of any kind; the engine judges its value. */
  skipNumber(): void {
    for (let left = BYTES_OF_64_BITS; left > 0; left--) if (this.byte() < CONTINUES) return
    this.fail('a number is longer than ten bytes')
  }

  /** How many items follow; bounded, so that no count is taken on trust. */
  count(what: string, most: number): number {
    const count = this.u32()
    if (count > most) this.fail(`it has ${count} ${what}, at most ${most}`)
    return count
  }

  /** An index of one of `count` things. */
  index(what: string, count: number): number {
    const index = this.u32()
    if (index >= count) this.fail(`${what} ${index} does not exist`)
    return index
  }

  skip(length: number): void {
    if (length > this.end - this.at) this.#cutShort()
    this.at += length
  }

  /** The bytes that follow a length, as a reader of their own. */
  section(): BinaryReader {
    const length = this.u32()
    const start = this.at
    this.skip(length)
    return new BinaryReader(this.#bytes, start, this.at, this.where)
  }

  name(): string {
    const length = this.u32()
    const start = this.at
    this.skip(length)
    try {
      return NAMES.decode(this.#bytes.subarray(start, this.at))
    } catch {
      return this.fail('a name in it is not UTF-8')
    }
  }

  /** The bytes between two places, borrowed. */
  between(start: number, end: number): Uint8Array {
    return this.#bytes.subarray(start, end)
  }

  /** Everything that is left, borrowed. */
  rest(): Uint8Array {
    const start = this.at
    this.at = this.end
    return this.between(start, this.end)
  }

  /** Ends a section: what is left over would be read by nobody. */
  finish(what: string): void {
    if (!this.done) this.fail(`its ${what} is longer than what it holds`)
  }

  #cutShort(): never {
    return this.fail('the module is cut short; build or copy it again')
  }
}

const SIZE_FIRST = 1024

/** Bytes written one after the other, up to a limit. */
export class BinaryWriter {
  #bytes: Uint8Array<ArrayBuffer>
  readonly #bytesMax: number
  readonly #where: string
  readonly #what: string
  length = 0

  /** `where` and `what` is written are for the error of going over `bytesMax`. */
  constructor(where: string, bytesMax: number, what = 'it') {
    this.#where = where
    this.#bytesMax = bytesMax
    this.#what = what
    this.#bytes = new Uint8Array(Math.min(SIZE_FIRST, bytesMax))
  }

  clear(): void {
    this.length = 0
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#bytes[this.length++] = value
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.length)
    this.length += bytes.length
  }

  u32(value: number): void {
    this.#reserve(BYTES_OF_32_BITS)
    let left = value
    while (left >= CONTINUES) {
      this.#bytes[this.length++] = (left % CONTINUES) | CONTINUES
      left = Math.floor(left / CONTINUES)
    }
    this.#bytes[this.length++] = left
  }

  s32(value: number): void {
    this.#reserve(BYTES_OF_32_BITS)
    let left = value
    while (left < -SIGN || left >= SIGN) {
      this.#bytes[this.length++] = (left & PAYLOAD) | CONTINUES
      left >>= 7
    }
    this.#bytes[this.length++] = left & PAYLOAD
  }

  name(text: string): void {
    const bytes = new TextEncoder().encode(text)
    this.u32(bytes.length)
    this.raw(bytes)
  }

  /** What was written, borrowed until the next write. */
  written(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.length)
  }

  #reserve(count: number): void {
    const needed = this.length + count
    if (needed <= this.#bytes.length) return
    if (needed > this.#bytesMax) {
      refuse(this.#where, `with checks of time ${this.#what} has over ${this.#bytesMax} bytes`)
    }
    const larger = new Uint8Array(
      Math.min(Math.max(needed, this.#bytes.length * 2), this.#bytesMax),
    )
    larger.set(this.written())
    this.#bytes = larger
  }
}
