/** A reader with a judge whose script is plain: letters are messages, some with a fate. */

import type { Fate, Judge } from '../../../src/protocols/postgres/judge.ts'
import { walk } from '../../../src/protocols/postgres/messages.ts'
import { MessageReader } from '../../../src/protocols/postgres/reader.ts'
import type { Budget, Wanted } from '../../../src/protocols/protocol.ts'
import { concat, message } from '../../kit/frontend.ts'

/** Ordinary messages, one that ends a reply, and those with a fate of their own. */
export const LETTERS = 'abcdez'
export const ENDS = 'z'
export const DROPPED = 'x'
export const REWRITTEN = 'y'
export const OWN = 'o'
export const OWN_MESSAGE = message(OWN, new Uint8Array([1, 2, 3]))
export const KNOWN = tableOf(LETTERS + DROPPED + REWRITTEN + OWN)

export function tableOf(letters: string): Uint8Array {
  const table = new Uint8Array(256)
  for (const letter of letters) table[letter.charCodeAt(0)] = 1
  return table
}

export function letterOf(tag: number): string {
  return String.fromCharCode(tag)
}

export class Script implements Judge {
  readonly tags = KNOWN
  readonly passage = null
  readonly plain: Uint8Array
  readonly streamedTags: string[] = []
  readonly #wanted: Uint8Array | null
  readonly #endsReply: boolean
  rewritten: Uint8Array | null = null

  constructor(wanted: Wanted) {
    this.#wanted = wanted.tags
    this.#endsReply = wanted.cut === 'reply'
    this.plain = tableOf('a')
    if (wanted.tags?.['a'.charCodeAt(0)] === 1) this.plain.fill(0)
  }

  begin(tag: number): Fate {
    if (letterOf(tag) === DROPPED) return 'drop'
    if (letterOf(tag) === REWRITTEN) return 'alone'
    return this.#wanted?.[tag] === 1 ? 'hold' : 'pass'
  }
  finish(tag: number): boolean {
    return this.#endsReply && letterOf(tag) === ENDS
  }
  alone(bytes: Uint8Array): Uint8Array {
    return this.rewritten ?? bytes
  }
  joins(previous: number, tag: number): boolean {
    return letterOf(tag) !== 'b' && letterOf(previous) !== 'c'
  }
  streamed(tag: number): void {
    this.streamedTags.push(letterOf(tag))
  }
}

export interface Taken {
  readonly kind: string
  readonly bytes: Uint8Array
  readonly over: boolean
}

export interface Bench {
  readonly reader: MessageReader
  readonly judge: Script
  readonly budget: Budget
}

export function bench(wanted: Wanted, messageBytesMax = 2 ** 20, heldMax = 2 ** 28): Bench {
  const judge = new Script(wanted)
  const budget = { held: 0, heldMax, spent: 0 }
  return { reader: new MessageReader(judge, wanted, { messageBytesMax, budget }), judge, budget }
}

/** Everything that comes out until more bytes are needed; `large` says what becomes of a giant. */
export function take(
  reader: MessageReader,
  large: () => 'stream' | 'drop' = () => 'stream',
): Taken[] {
  const all: Taken[] = []
  for (;;) {
    const kind = reader.next()
    if (kind === 'none') return all
    all.push({ kind, bytes: reader.bytes.slice(), over: kind === 'unit' && reader.over })
    if (kind === 'violation') return all
    if (kind !== 'oversize') continue
    if (large() === 'stream') reader.streamOversize()
    else reader.dropOversize()
  }
}

export function feed(reader: MessageReader, chunks: readonly Uint8Array[]): Taken[] {
  return chunks.flatMap((chunk) => {
    reader.push(chunk)
    return take(reader)
  })
}

export function written(all: readonly Taken[]): Uint8Array {
  return concat(...all.filter(({ kind }) => kind !== 'oversize').map(({ bytes }) => bytes))
}

export function messagesOf(bytes: Uint8Array): string[] {
  const found: string[] = []
  const flaw = walk(bytes, KNOWN, (_tag, from, to) =>
    found.push(Buffer.from(bytes.subarray(from, to)).toString('latin1')),
  )
  if (flaw !== null) throw new Error(flaw)
  return found
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
