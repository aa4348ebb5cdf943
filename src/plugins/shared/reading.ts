/** Reads all data of one plugin out of the shared store, a bounded piece at a time. */
import type { SharedCopy } from './copy.ts'
import { parseKept, patternOf, placesOf, READ_SCRIPT, writtenLength } from './scripts.ts'

/** Keys that one step of the scan looks at, and that are read at once. */
const SCANNED = '500'
const READ_MAX = 200
/** Bytes that one answer may have, unless a single value has more. */
const ANSWER_BYTES_MAX = 1_048_576

export type Send = (name: string, args: readonly string[]) => Promise<unknown>

export class Reading {
  readonly #copy: SharedCopy
  readonly #keys: string
  readonly #send: Send
  #malformed = 0

  constructor(copy: SharedCopy, prefix: string, send: Send) {
    this.#copy = copy
    this.#keys = placesOf(prefix, copy.plugin).keys
    this.#send = send
  }

  /** Returns how many values could not be used; rejects as `send` does. */
  async run(version: number, epoch: number): Promise<number> {
    this.#copy.beginReading(version, epoch)
    let isWhole = false
    try {
      let cursor = '0'
      let fits = true
      do {
        const args = [cursor, 'MATCH', patternOf(this.#keys), 'COUNT', SCANNED]
        const scanned = readScan(await this.#send('SCAN', args))
        for (let at = 0; at < scanned.keys.length && fits; at += READ_MAX) {
          fits = await this.#read(scanned.keys.slice(at, at + READ_MAX))
        }
        cursor = scanned.cursor
      } while (cursor !== '0' && fits)
      isWhole = true
      if (!fits) this.#malformed += 1
    } finally {
      this.#copy.endReading(isWhole)
    }
    return this.#malformed
  }

  /** Reads the values of these keys; false where there are more than a plugin may have. */
  async #read(keys: readonly string[]): Promise<boolean> {
    const most = String(writtenLength(this.#copy.store.bytesMax))
    let left = keys
    while (left.length > 0) {
      const args = [READ_SCRIPT, String(left.length), ...left, most, String(ANSWER_BYTES_MAX)]
      const answer = await this.#send('EVAL', args)
      const got = Array.isArray(answer) ? answer.length / 2 : 0
      if (!Array.isArray(answer) || got < 1 || got > left.length) return this.#unusable()
      for (let index = 0; index < got; index++) {
        const key = left[index]!.slice(this.#keys.length)
        if (!this.#take(key, answer[2 * index], answer[2 * index + 1])) return false
      }
      left = left.slice(got)
    }
    return true
  }

  #take(key: string, written: unknown, pttl: unknown): boolean {
    // It has gone since it was found.
    if (written === '') return true
    const change = parseKept(key, written, pttl)
    if (change !== null) return this.#copy.read(change)
    return this.#unusable()
  }

  #unusable(): true {
    this.#malformed += 1
    return true
  }
}

function readScan(answer: unknown): { cursor: string; keys: readonly string[] } {
  if (!Array.isArray(answer)) return { cursor: '0', keys: [] }
  const [cursor, keys]: readonly unknown[] = answer
  const isText = (key: unknown): key is string => typeof key === 'string'
  return {
    cursor: typeof cursor === 'string' ? cursor : '0',
    keys: Array.isArray(keys) ? keys.filter(isText) : [],
  }
}
