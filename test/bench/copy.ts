/**
 * Reads the result of a COPY as fast as it comes, or as slowly as asked, without decoding or
 * keeping any of it: only message headers are looked at, to see the end and any error.
 */
import { query, startup } from '../kit/frontend.ts'
import type { WireAddress } from '../kit/wire.ts'

const ERROR_RESPONSE = 0x45
const READY_FOR_QUERY = 0x5a
const HEADER_LENGTH = 5

export interface CopyOptions extends WireAddress {
  readonly user: string
  readonly database: string
  readonly megabytes: number
  /** Default: no limit. */
  readonly bytesPerSecond?: number
  /** Called with the bytes so far, at every chunk. */
  readonly onProgress?: (bytes: number) => void
}

export interface CopyRead {
  readonly bytes: number
  readonly seconds: number
}

/** About `megabytes` MB of rows of 1,000 bytes, sent row by row. */
const copySql = (megabytes: number): string =>
  `copy (select repeat('x', 999) from generate_series(1, ${megabytes * 1_000})) to stdout`

export async function readCopy(options: CopyOptions): Promise<CopyRead> {
  const { promise, resolve, reject } = Promise.withResolvers<CopyRead>()
  const { host, port, user, database, megabytes, bytesPerSecond = Infinity } = options
  let bytes = 0
  let startedAtMs = 0
  let isReady = false
  const walker = new MessageWalker((type) => {
    if (type === ERROR_RESPONSE) reject(new Error('the server answered with an error'))
    if (type !== READY_FOR_QUERY) return
    if (isReady) {
      resolve({ bytes, seconds: (performance.now() - startedAtMs) / 1_000 })
      return
    }
    isReady = true
    bytes = 0
    startedAtMs = performance.now()
    socket.write(query(copySql(megabytes)))
  })
  const socket = await Bun.connect({
    hostname: host,
    port,
    socket: {
      binaryType: 'uint8array',
      data(reader, chunk: Uint8Array) {
        bytes += chunk.length
        walker.walk(chunk)
        options.onProgress?.(bytes)
        const aheadMs = startedAtMs + (bytes / bytesPerSecond) * 1_000 - performance.now()
        if (!isReady || !(aheadMs > 1)) return
        reader.pause()
        setTimeout(() => reader.resume(), aheadMs)
      },
      close: () => reject(new Error('the connection was closed before the copy was done')),
      error: (_, error) => reject(error),
    },
  })
  socket.write(startup({ user, database }))
  try {
    return await promise
  } finally {
    socket.terminate()
  }
}

/** Follows message headers through chunks that are cut anywhere. */
export class MessageWalker {
  readonly #onMessage: (type: number) => void
  /** Bytes of the present message's payload that are still to come. */
  #left = 0
  readonly #header = new Uint8Array(HEADER_LENGTH)
  #headerLength = 0

  /** `onMessage` is called with the type of every message that has come whole. */
  constructor(onMessage: (type: number) => void) {
    this.#onMessage = onMessage
  }

  walk(chunk: Uint8Array): void {
    let offset = 0
    while (offset < chunk.length) {
      if (this.#headerLength < HEADER_LENGTH) {
        this.#header[this.#headerLength++] = chunk[offset++] ?? 0
        if (this.#headerLength < HEADER_LENGTH) continue
        this.#left = new DataView(this.#header.buffer).getInt32(1) - 4
        if (this.#left < 0) throw new Error('framing was lost')
      }
      const step = Math.min(this.#left, chunk.length - offset)
      this.#left -= step
      offset += step
      if (this.#left > 0) continue
      this.#headerLength = 0
      this.#onMessage(this.#header[0] ?? 0)
    }
  }
}
