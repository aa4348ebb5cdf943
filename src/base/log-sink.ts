/**
 * Writes log lines to one file descriptor without ever making the gateway wait: whoever reads our
 * log may stall, and traffic must not stall with him. Lines queue up to a limit, then are counted.
 */
import { closeSync, constants, fstatSync, openSync, write as writeLater, writeSync } from 'node:fs'

/** Bytes that may wait for a slow reader of the log; beyond it lines are dropped and counted. */
export const LOG_BYTES_QUEUED_MAX = 1024 * 1024

/**
 * Lines that come so soon behind a write are gathered for one of their own: each write takes a turn
 * of another thread, which costs more than making the line.
 */
const GATHER_MS = 5
/** A descriptor that is full but not broken is tried again after this long. */
const RETRY_AFTER_MS = 20
/** A write that has been under way for this long is taken as stuck when the process ends. */
const STUCK_AFTER_MS = 1000
/** What a write under way is given to reach the kernel when the process ends. */
const SETTLE_MS = 20
const NEW_LINE = 0x0a

export interface LogSink {
  write(line: string): void
  /** Resolves when all lines so far are written or given up, at the latest after `boundMs`. */
  flush(boundMs: number): Promise<void>
}

/** Says in the format of the log how many lines did not fit. */
export type LostLine = (count: number) => string

const sinks = new Map<number, DescriptorSink>()

/** The one sink of a descriptor: two would cut each other's lines. The first `lostLine` counts. */
export function logSink(descriptor: number, lostLine: LostLine): LogSink {
  const known = sinks.get(descriptor)
  if (known !== undefined) return known
  if (sinks.size === 0) process.on('exit', writeLastOfAll)
  const made = new DescriptorSink(descriptor, lostLine)
  sinks.set(descriptor, made)
  return made
}

/** The process ends now, and no callback will run any more. */
function writeLastOfAll(): void {
  for (const sink of sinks.values()) sink.writeLast()
}

class DescriptorSink implements LogSink {
  readonly #descriptor: number
  readonly #lostLine: LostLine
  #queue: string[] = []
  #queuedBytes = 0
  #lost = 0
  /** What the text under way tells, in its last line, of lines that were lost before. */
  #told = 0
  /** A part of a line was written, and the rest of it never will be. */
  #torn = false
  /** When the write under way began; 0 while there is none. */
  #writingSinceMs = 0
  /** When the write before began. */
  #wroteAtMs = 0
  /** Runs while lines are gathered. */
  #gathering: Timer | null = null
  /** Set once the reader has gone: nobody will ever read, so nothing is kept. */
  #gone = false
  #waiting: (() => void)[] = []

  constructor(descriptor: number, lostLine: LostLine) {
    this.#descriptor = descriptor
    this.#lostLine = lostLine
  }

  write(line: string): void {
    if (this.#gone) return
    if (this.#queuedBytes + line.length > LOG_BYTES_QUEUED_MAX) {
      this.#lost += 1
      return
    }
    this.#queue.push(line)
    this.#queuedBytes += line.length
    if (this.#isResting) this.#begin()
  }

  /** Nothing is being written, and nothing waits for it. */
  get #isResting(): boolean {
    return this.#writingSinceMs === 0 && this.#gathering === null
  }

  /** Writes what waits: at once behind a pause, else a little later together with what comes. */
  #begin(): void {
    this.#writingSinceMs = 0
    if (this.#queue.length === 0) return this.#rest()
    const pausedMs = Date.now() - this.#wroteAtMs
    if (pausedMs >= GATHER_MS || pausedMs < 0) return this.#writeQueue()
    this.#gathering = setTimeout(() => {
      this.#gathering = null
      this.#writeQueue()
    }, GATHER_MS - pausedMs)
  }

  flush(boundMs: number): Promise<void> {
    if (this.#isResting) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, boundMs)
      this.#waiting.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  /** All that waits, with a word about what did not fit. */
  #takeQueue(): Buffer {
    const lost = this.#lost === 0 ? '' : this.#lostLine(this.#lost)
    const text = (this.#torn ? '\n' : '') + this.#queue.join('') + lost
    this.#queue = []
    this.#queuedBytes = 0
    this.#told = this.#lost
    this.#lost = 0
    return Buffer.from(text)
  }

  #writeQueue(): void {
    this.#writingSinceMs = Date.now()
    this.#wroteAtMs = this.#writingSinceMs
    this.#writeFrom(this.#takeQueue(), 0)
  }

  #writeFrom(bytes: Buffer, from: number): void {
    writeLater(this.#descriptor, bytes, from, bytes.length - from, null, (error, written) => {
      if (error?.code === 'EAGAIN') {
        setTimeout(() => this.#writeFrom(bytes, from), RETRY_AFTER_MS)
      } else if (error !== null) {
        this.#giveUp(error.code, bytes, from)
      } else if (from + written < bytes.length) {
        this.#writeFrom(bytes, from + written)
      } else {
        this.#torn = false
        this.#begin()
      }
    })
  }

  /** A full disk passes, a reader that closed his end does not; neither may stop the gateway. */
  #giveUp(code: string | undefined, bytes: Buffer, from: number): void {
    // A line that ends a torn one, or tells of lost ones, is none of those that were handed in.
    const ours = Number(this.#torn && from === 0) + Number(this.#told > 0)
    this.#lost += this.#told + linesIn(bytes.subarray(from)) - ours
    if (from > 0) this.#torn = bytes[from - 1] !== NEW_LINE
    this.#gone = code === 'EPIPE' || code === 'EBADF'
    if (this.#gone) this.#takeQueue()
    this.#begin()
  }

  #rest(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  /** Writes what is left where somebody reads it; the write under way is left to the kernel. */
  writeLast(): void {
    const sinceMs = this.#writingSinceMs
    if (sinceMs !== 0) {
      if (Date.now() - sinceMs > STUCK_AFTER_MS) return
      Bun.sleepSync(SETTLE_MS)
    }
    if (this.#queue.length === 0) return
    writeWithoutWaiting(this.#descriptor, this.#takeQueue())
  }
}

function linesIn(bytes: Buffer): number {
  let lines = 0
  for (const byte of bytes) if (byte === NEW_LINE) lines += 1
  return lines
}

/** One attempt, which must not be one that waits: for that a pipe or terminal is opened anew. */
function writeWithoutWaiting(descriptor: number, bytes: Buffer): void {
  let opened: number | null = null
  try {
    opened = openNotWaiting(descriptor)
    writeSync(opened ?? descriptor, bytes)
  } catch {
    // Full or broken: there is nobody left to tell.
  } finally {
    if (opened !== null) closeSync(opened)
  }
}

/** Null for files, which never wait and whose position we share with others, and for sockets. */
function openNotWaiting(descriptor: number): number | null {
  const file = fstatSync(descriptor)
  if (!file.isFIFO() && !file.isCharacterDevice()) return null
  return openSync(`/proc/self/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK)
}
