/** What a guest writes to the gateway's log: bounded, by its level, with its fields kept apart. */
import type { Logger } from 'pino'
import { printedTo, type WritePrinted } from '../../base/log.ts'
import type { LimitHits, PluginLimits } from '../limits.ts'
import { plainRecord } from './journal-record.ts'
import { LOG_LINES_FULL_MAX } from './limits.ts'
import { decodeText } from './memory.ts'
import { LARGE_FRAMES, MEDIUM_FRAMES, reserveStack, SMALL_FRAMES } from './stack.ts'

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const
export type JournalLevel = (typeof LEVELS)[number]

const OPENING_BRACE = 0x7b
const PERIOD_MS = 1000

/** The level of a number of the ABI: 0 trace, 1 debug, 2 info, 3 warn, 4 and above error. */
export function levelOf(number: number): JournalLevel {
  return LEVELS[number >>> 0] ?? 'error'
}

/** A text that is a JSON object, or null. */
export function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
    return { ...value }
  } catch {
    return null
  }
}

/** What a journal may take, and where it counts what was too much. */
export interface JournalBudget {
  readonly limits: Pick<PluginLimits, 'logBytesMax' | 'logLinesMax'>
  readonly hits: LimitHits
}

export class Journal {
  readonly #budget: JournalBudget
  readonly #now: () => number
  /** What the present call of the guest may still log. */
  #bytesLeft: number
  #log: Logger
  #printed: WritePrinted | null
  #periodEndsAt = 0
  #lines = 0
  #dropped = 0
  #signals = 0

  constructor(log: Logger, budget: JournalBudget, now: () => number = () => performance.now()) {
    this.#log = log
    this.#printed = printedTo(log)
    this.#budget = budget
    this.#bytesLeft = budget.limits.logBytesMax * LOG_LINES_FULL_MAX
    this.#now = now
  }

  /** Begins a call: its bytes are counted anew. */
  begin(): void {
    this.#bytesLeft = this.#budget.limits.logBytesMax * LOG_LINES_FULL_MAX
  }

  /** Names the plugin in every further line; its name is known only after `describe`. */
  rename(log: Logger): void {
    this.#log = log
    this.#printed = printedTo(log)
  }

  /** False where lines of this level are thrown away, so that they need not be put together. */
  isEnabled(level: JournalLevel): boolean {
    return this.#log.isLevelEnabled(level)
  }

  /** Writes a text, or a JSON object with `message` and fields. `bytes` are only borrowed. */
  write(level: JournalLevel, bytes: Uint8Array): void {
    if (!this.#log.isLevelEnabled(level)) return
    reserveStack(SMALL_FRAMES)
    const most = Math.min(this.#budget.limits.logBytesMax, this.#bytesLeft)
    const cut = bytes.length > most
    if (cut) this.#budget.hits.add('logBytesMax')
    this.#bytesLeft -= Math.min(bytes.length, most)
    if (cut && most === 0) this.#dropped++
    else if (this.#admit()) this.#print(level, cut ? bytes.subarray(0, most) : bytes, cut)
  }

  /** Notes and counts a signal, until a policy may rule about it. */
  signal(name: string, metadata: Readonly<Record<string, unknown>>): void {
    reserveStack(LARGE_FRAMES)
    this.#signals++
    if (!this.#log.isLevelEnabled('debug') || !this.#admit()) return
    this.#log.debug({ signal: name, count: this.#signals, fields: metadata }, 'signal')
  }

  /** What the host itself has to say about the plugin. */
  warn(sentence: string): void {
    if (this.#admit()) this.#log.warn(sentence)
  }

  #print(level: JournalLevel, bytes: Uint8Array, cut: boolean): void {
    const text = decodeText(bytes)
    const plain = cut || this.#printed === null ? null : plainRecord(text)
    if (plain !== null) {
      reserveStack(MEDIUM_FRAMES)
      return this.#printed?.(level, plain.message, plain.fields)
    }
    reserveStack(LARGE_FRAMES)
    const record = !cut && bytes[0] === OPENING_BRACE ? parseObject(text) : null
    if (record === null) {
      this.#log[level](cut ? `${text}… (cut at ${bytes.length} bytes)` : text)
      return
    }
    const { message, ...fields } = record
    this.#log[level]({ fields }, typeof message === 'string' ? message : '')
  }

  #admit(): boolean {
    const now = this.#now()
    if (now >= this.#periodEndsAt) {
      this.#periodEndsAt = now + PERIOD_MS
      this.#lines = 0
      if (this.#dropped > 0) this.#log.warn({ dropped: this.#dropped }, 'too many log lines')
      this.#dropped = 0
    }
    if (this.#lines >= this.#budget.limits.logLinesMax) {
      this.#budget.hits.add('logLinesMax')
      this.#dropped++
      return false
    }
    this.#lines++
    return true
  }
}
