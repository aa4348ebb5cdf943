/** The five bytes in front of a gRPC message: written for requests, read back from results. */

const PREFIX_BYTES = 5

/** A message behind its prefix, as one piece. */
export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + message.length)
  frame[0] = 0
  frame.writeUInt32BE(message.length, 1)
  frame.set(message, PREFIX_BYTES)
  return frame
}

/** Why bytes are not the one message that is wanted. */
export interface FrameFault {
  readonly kind: 'compressed' | 'tooLong' | 'several'
  readonly words: string
}

/** Puts together the one message of a unary answer, however it was cut. */
export class FrameReader {
  readonly #bytesMax: number
  #chunks: Buffer[] = []
  /** Bytes so far, the prefix with them. */
  #length = 0
  /** Bytes of the whole, prefix and all; -1 until it is known. */
  #wanted = -1

  /** A message of more than `bytesMax` bytes is refused as soon as its length is known. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Takes what came next; keeps it. Null where all is well so far. */
  push(chunk: Buffer): FrameFault | null {
    this.#chunks.push(chunk)
    this.#length += chunk.length
    if (this.#wanted < 0) {
      if (this.#length < PREFIX_BYTES) return null
      const fault = this.#readPrefix(this.#joined())
      if (fault !== null) return fault
    }
    if (this.#length <= this.#wanted) return null
    return { kind: 'several', words: 'more than one message came for one call' }
  }

  /** The message, without a copy where it came in one piece; null while some of it is missing. */
  take(): Buffer | null {
    if (this.#length !== this.#wanted) return null
    return this.#joined().subarray(PREFIX_BYTES)
  }

  /** How much there is, for a sentence about what is missing. */
  get progress(): string {
    if (this.#length === 0) return 'without a message'
    if (this.#wanted < 0) return `after ${this.#length} of the ${PREFIX_BYTES} bytes of a prefix`
    return `after ${this.#length - PREFIX_BYTES} of ${this.#wanted - PREFIX_BYTES} bytes`
  }

  #readPrefix(start: Buffer): FrameFault | null {
    if (start[0] !== 0) {
      return { kind: 'compressed', words: 'the result is compressed, which was not offered' }
    }
    const length = start.readUInt32BE(1)
    this.#wanted = PREFIX_BYTES + length
    if (length <= this.#bytesMax) return null
    const words = `a result of ${length} bytes is longer than resultBytesMax (${this.#bytesMax})`
    return { kind: 'tooLong', words }
  }

  #joined(): Buffer {
    const [first] = this.#chunks
    if (first !== undefined && this.#chunks.length === 1) return first
    const whole = Buffer.concat(this.#chunks)
    this.#chunks = [whole]
    return whole
  }
}
