/**
 * The guest's memory as the host may touch it: every access is checked against its present size.
 * A pointer that leads outside is the guest's mistake and ends its call like any other trap.
 */
import type { LimitName } from '../limits.ts'
import { CALL_BYTES_MAX } from './limits.ts'
import { Trap } from './trap.ts'

const decoder = new TextDecoder()
const encoder = new TextEncoder()

/** Texts up to this length are remembered, so many of them; a power of two. */
const SHORT_BYTES_MAX = 64
const SHORT_TEXTS = 128

interface ShortText {
  readonly bytes: Uint8Array
  readonly text: string
}

function isAt(view: Uint8Array, start: number, length: number, bytes: Uint8Array): boolean {
  if (bytes.length !== length) return false
  for (let at = 0; at < length; at++) if (view[start + at] !== bytes[at]) return false
  return true
}

/** Told each time a memory has grown, of its bytes. */
export type GrowthListener = (bytes: number) => void

export class GuestMemory {
  readonly #memory: WebAssembly.Memory
  readonly #onGrowth: GrowthListener
  #view: Uint8Array
  readonly #shorts: (ShortText | undefined)[] = new Array(SHORT_TEXTS).fill(undefined)

  constructor(memory: WebAssembly.Memory, onGrowth: GrowthListener = () => undefined) {
    this.#memory = memory
    this.#onGrowth = onGrowth
    this.#view = new Uint8Array(memory.buffer)
  }

  /** All of it; borrowed until the guest runs again, for growing moves it. */
  get view(): Uint8Array {
    // A memory that has grown leaves its old views without bytes.
    if (this.#view.length === 0) {
      this.#view = new Uint8Array(this.#memory.buffer)
      if (this.#view.length > 0) this.#onGrowth(this.#view.length)
    }
    return this.#view
  }

  /** The bytes at a pointer, borrowed; `what` names the caller and `limit` the bound in a Trap. */
  at(
    pointer: number,
    length: number,
    what: string,
    bytesMax = CALL_BYTES_MAX,
    limit: LimitName = 'hostCallBytesMax',
  ): Uint8Array {
    const start = this.#checked(pointer, length, what)
    const count = length >>> 0
    if (count > bytesMax) {
      throw new Trap('limit', `${what} was given ${count} bytes, at most ${bytesMax} a call`, limit)
    }
    return this.view.subarray(start, start + count)
  }

  /** A text at a pointer. */
  text(pointer: number, length: number, what: string): string {
    if (length >>> 0 > SHORT_BYTES_MAX) return decoder.decode(this.at(pointer, length, what))
    return this.#short(this.#checked(pointer, length, what), length)
  }

  /** Guests say the same few names and labels over and over: those are not decoded again. */
  #short(start: number, length: number): string {
    const { view } = this
    let hash = length
    for (let at = start; at < start + length; at++) hash = (hash * 31 + view[at]!) | 0
    const place = hash & (SHORT_TEXTS - 1)
    const known = this.#shorts[place]
    if (known !== undefined && isAt(view, start, length, known.bytes)) return known.text
    const bytes = view.slice(start, start + length)
    const text = decoder.decode(bytes)
    this.#shorts[place] = { bytes, text }
    return text
  }

  /** Answers a getter: the value's length, and the value itself where there is room for it. */
  answer(pointer: number, room: number, value: Uint8Array, what: string): number {
    const start = this.#checked(pointer, room, what)
    if (value.length <= room >>> 0) this.view.set(value, start)
    return value.length
  }

  /** Answers a getter that has no value; the place is checked all the same. */
  answerNone(pointer: number, room: number, what: string): number {
    this.#checked(pointer, room, what)
    return -1
  }

  #checked(pointer: number, length: number, what: string): number {
    const start = pointer >>> 0
    const size = this.view.length
    if (start + (length >>> 0) <= size) return start
    throw new Trap(
      'pointer',
      `${what} was given ${length >>> 0} bytes at ${start}, outside the memory of ${size} bytes`,
    )
  }
}

/** Bytes as text; what is not UTF-8 becomes the replacement character. */
export function decodeText(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

/** Text as bytes. */
export function encodeText(text: string): Uint8Array {
  return encoder.encode(text)
}
