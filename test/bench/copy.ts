/**
 * Reads the result of a COPY as fast as it comes, or as slowly as asked, or sends one, without
 * decoding or keeping any of it: only message headers are looked at, to see the end and any error.
 */
import { concat, copyData, copyDone, query, startup } from '../kit/frontend.ts'
import { type CopyAddress, type CopySocket, openCopySocket } from './copy-socket.ts'

/** The table that a copy to the server names; `createTables` makes it. */
export const COPY_SINK = 'copy_sink'

const ERROR_RESPONSE = 0x45
const READY_FOR_QUERY = 0x5a
const COPY_IN_RESPONSE = 0x47
const HEADER_LENGTH = 5
/** About 64 KiB a write. */
const ROWS_A_WRITE = 64

export interface CopyOptions extends CopyAddress {
  readonly user: string
  readonly database: string
  readonly megabytes: number
  /** Of a reader. Default: no limit. */
  readonly bytesPerSecond?: number
  /** Called with the bytes read so far, at every chunk. */
  readonly onProgress?: (bytes: number) => void
}

/** What was copied. */
export interface Copied {
  readonly bytes: number
  readonly seconds: number
}

/** About `megabytes` MB of rows of 1,000 bytes, sent row by row. */
const copyOutSql = (megabytes: number): string =>
  `copy (select repeat('x', 999) from generate_series(1, ${megabytes * 1_000})) to stdout`

/** Reads a copy from the server to its end. */
export async function readCopy(options: CopyOptions): Promise<Copied> {
  const { megabytes, bytesPerSecond = Infinity } = options
  let bytes = 0
  let startedAtMs = 0
  return await converse(options, {
    ready(socket) {
      bytes = 0
      startedAtMs = performance.now()
      socket.write(query(copyOutSql(megabytes)))
    },
    came(socket, length) {
      bytes += length
      options.onProgress?.(bytes)
      const aheadMs = startedAtMs + (bytes / bytesPerSecond) * 1_000 - performance.now()
      if (startedAtMs === 0 || !(aheadMs > 1)) return
      socket.pause()
      setTimeout(() => socket.resume(), aheadMs)
    },
    done: () => ({ bytes, seconds: (performance.now() - startedAtMs) / 1_000 }),
  })
}

/** Sends a copy of as many rows to the server, which reads and keeps none of them. */
export async function writeCopy(options: CopyOptions): Promise<Copied> {
  const row = copyData(`${'x'.repeat(999)}\n`)
  const rows = concat(...Array.from({ length: ROWS_A_WRITE }, () => row))
  const total = options.megabytes * 1_000 * row.length
  let sent = 0
  let startedAtMs = 0
  const pump = (socket: CopySocket): void => {
    while (sent < total) {
      const from = sent % rows.length
      const chunk = rows.subarray(from, Math.min(rows.length, from + total - sent))
      const taken = socket.write(chunk)
      sent += taken
      if (taken < chunk.length) return
      if (sent === total) socket.write(copyDone())
    }
  }
  return await converse(options, {
    ready: (socket) => {
      startedAtMs = performance.now()
      socket.write(query(`copy ${COPY_SINK} from stdin where false`))
    },
    wanted: pump,
    done: () => ({ bytes: sent, seconds: (performance.now() - startedAtMs) / 1_000 }),
  })
}

interface Part {
  /** Logged in. */
  readonly ready: (socket: CopySocket) => void
  /** The server reads; also whenever there is room for more. */
  readonly wanted?: (socket: CopySocket) => void
  readonly came?: (socket: CopySocket, bytes: number) => void
  /** The reply is whole. */
  readonly done: () => Copied
}

/** Logs in, does its part, and closes. */
async function converse(options: CopyOptions, part: Part): Promise<Copied> {
  const { user, database } = options
  const { promise, resolve, reject } = Promise.withResolvers<Copied>()
  // Who opens may fail before anybody waits for the outcome.
  promise.catch(() => {})
  let isReady = false
  let isReading = false
  const walker = new MessageWalker((type) => {
    if (type === ERROR_RESPONSE) reject(new Error('the server answered with an error'))
    if (type === COPY_IN_RESPONSE) {
      isReading = true
      part.wanted?.(socket)
    }
    if (type !== READY_FOR_QUERY) return
    if (isReady) return resolve(part.done())
    isReady = true
    part.ready(socket)
  })
  const socket = await openCopySocket(options, {
    data(chunk) {
      part.came?.(socket, chunk.length)
      walker.walk(chunk)
    },
    drain: () => {
      if (isReading) part.wanted?.(socket)
    },
    failed: reject,
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
