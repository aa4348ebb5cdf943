/** Values as a test file writes them, and the fields of messages that they stand for. */
import { nearestName } from '../config/nearest.ts'

/** What a message, or a part of one, looks like to people; numbers are texts too. */
export type Readable = string | null | readonly Readable[] | ReadableMap

export interface ReadableMap {
  readonly [key: string]: Readable
}

export function isMap(value: unknown): value is ReadableMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Something in a test file that cannot be used: where below the value, and what it must be. */
export class Flaw extends Error {
  readonly path: readonly string[]

  constructor(message: string, path: readonly string[] = []) {
    super(message)
    this.path = path
  }
}

/** Runs `work`; a flaw that it finds lies below `key`. */
export function below<Result>(key: string | number, work: () => Result): Result {
  try {
    return work()
  } catch (thrown) {
    if (thrown instanceof Flaw) throw new Flaw(thrown.message, [String(key), ...thrown.path])
    throw thrown
  }
}

/** ` (did you mean "x"?)`, or nothing. */
export function nearestHint(name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known)
  return nearest === undefined ? '' : ` (did you mean "${nearest}"?)`
}

/** Throws for a key that is not known. */
export function onlyKeys(map: ReadableMap, known: readonly string[]): void {
  const stray = Object.keys(map).find((key) => !known.includes(key))
  if (stray === undefined) return
  throw new Flaw(
    `has no key "${stray}"${nearestHint(stray, known)}; it may have ${known.join(', ')}`,
  )
}

const encoder = new TextEncoder()
const strict = new TextDecoder('utf-8', { fatal: true })
const BASE64 = /^[A-Za-z0-9+/\s]*={0,2}\s*$/

/** Bytes that a map spells out: `hex`, `base64` or `text`; null for any other map. */
export function spelledBytes(map: ReadableMap): Uint8Array | null {
  const [key, ...others] = Object.keys(map)
  if (key === undefined || others.length > 0) return null
  const value = map[key]
  if (key === 'text') {
    return below(key, () => encoder.encode(plainText(value)))
  }
  if (key === 'hex') {
    return below(key, () => {
      const digits = plainText(value).replace(/\s/g, '')
      if (/^([0-9A-Fa-f]{2})*$/.test(digits)) return new Uint8Array(Buffer.from(digits, 'hex'))
      throw new Flaw('must be pairs of hexadecimal digits')
    })
  }
  if (key !== 'base64') return null
  return below(key, () => {
    const digits = plainText(value)
    if (BASE64.test(digits)) return new Uint8Array(Buffer.from(digits, 'base64'))
    throw new Flaw('must be base64')
  })
}

export function plainText(value: Readable | undefined): string {
  if (typeof value === 'string') return value
  throw new Flaw('must be text')
}

/** The bytes of a text, or those that a map spells out. */
export function bytesOf(value: Readable | undefined): Uint8Array {
  if (typeof value === 'string') return encoder.encode(value)
  const spelled = isMap(value) ? spelledBytes(value) : null
  if (spelled !== null) return spelled
  throw new Flaw('must be text, or bytes as { hex: … } or { base64: … }')
}

/** Bytes as text where they are text, else as `{ hex }`. */
export function readableBytes(bytes: Uint8Array): Readable {
  try {
    if (!bytes.includes(0)) return strict.decode(bytes)
  } catch {
    // No text: shown below.
  }
  return { hex: Buffer.from(bytes).toString('hex') }
}

/** Collects the body of a message. */
export class BodyWriter {
  readonly #parts: Uint8Array[] = []

  bytes(bytes: Uint8Array): void {
    this.#parts.push(bytes)
  }

  byte(value: number): void {
    this.#parts.push(Uint8Array.of(value))
  }

  /** A text with the zero byte that ends it. */
  text(value: Uint8Array): void {
    if (value.includes(0)) throw new Flaw('must be without zero bytes: one ends the text')
    this.#parts.push(value, Uint8Array.of(0))
  }

  int16(value: number): void {
    const bytes = Buffer.alloc(2)
    bytes.writeUInt16BE(value & 0xffff)
    this.#parts.push(bytes)
  }

  int32(value: number): void {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(value | 0)
    this.#parts.push(bytes)
  }

  taken(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#parts))
  }
}

/** Reads the body of a message; throws a RangeError where it is too short. */
export class BodyReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  take(length: number): Uint8Array {
    if (length < 0 || this.#at + length > this.#bytes.length) throw new RangeError('too short')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  rest(): Uint8Array {
    return this.take(this.#bytes.length - this.#at)
  }

  byte(): number {
    return this.take(1)[0] ?? 0
  }

  text(): Uint8Array {
    const end = this.#bytes.indexOf(0, this.#at)
    if (end < 0) throw new RangeError('a text without end')
    const bytes = this.take(end - this.#at)
    this.#at += 1
    return bytes
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#skip(2))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#skip(4))
  }

  #skip(length: number): number {
    this.take(length)
    return this.#at - length
  }
}
