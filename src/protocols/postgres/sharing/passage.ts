/**
 * The way of a client's messages to the connections that it shares with others, for the flow of
 * its direction: which of them must be whole to be read, which stream past, which must wait.
 */
import type { Fate, MessagePassage } from '../judge.ts'
import { lengthAt } from '../reader.ts'
import { FRONTEND, FRONTEND_TAGS } from '../tags.ts'
import type { Talk } from '../talk.ts'
import type { Borrower } from './borrower.ts'
import { Carrier } from './carrier.ts'
import { parcel } from './parcel.ts'

/**
 * What a client may say that is in. A password ends the connection of a server that did not ask,
 * and others are to have that.
 */
export const SHARED_TAGS = FRONTEND_TAGS.map((is, tag) =>
  tag === FRONTEND.PasswordMessage ? 0 : is,
)

/** Messages of which the names or the text are read. */
function isRead(tag: number): boolean {
  switch (tag) {
    case FRONTEND.Query:
    case FRONTEND.Parse:
    case FRONTEND.Bind:
    case FRONTEND.Describe:
    case FRONTEND.Close:
      return true
    default:
      return false
  }
}

export class Passage implements MessagePassage {
  readonly #talk: Talk
  readonly #borrower: Borrower
  readonly #carrier: Carrier

  constructor(talk: Talk, borrower: Borrower) {
    this.#talk = talk
    this.#borrower = borrower
    this.#carrier = new Carrier(talk, borrower)
  }

  ready(tag: number): boolean {
    return this.#borrower.ready(tag)
  }

  /** As `ready`, for whole messages. */
  readyFor(bytes: Uint8Array): boolean {
    if (this.#borrower.held) return true
    for (let at = 0; at < bytes.length; at += 1 + lengthAt(bytes, at)) {
      if (!this.#borrower.ready(bytes[at]!)) return false
    }
    return true
  }

  /** The short cut of the flow, for whole messages that nobody watches. */
  pass(chunk: Uint8Array): Uint8Array | 'serverless' {
    if (!this.readyFor(chunk)) return 'serverless'
    const isOne = 1 + lengthAt(chunk, 0) === chunk.length
    if (isOne && chunk[0] === FRONTEND.Query && this.#carrier.query(chunk)) return chunk
    return this.carried(chunk)
  }

  /** What is to be written in the place of whole messages; borrowed until the next parcel. */
  carried(bytes: Uint8Array): Uint8Array {
    const borrower = this.#borrower
    borrower.busy = true
    parcel.begin()
    for (let at = 0, to = 0; at < bytes.length; at = to) {
      to = at + 1 + lengthAt(bytes, at)
      this.#carrier.carry(bytes[at]!, bytes, at, to)
    }
    borrower.busy = false
    return parcel.bytes
  }

  begin(tag: number, total: number): Fate | 'wait' {
    if (isRead(tag)) return 'alone'
    if (!this.#borrower.ready(tag)) return 'wait'
    return this.#carrier.streams(tag, total) ? 'pass' : 'drop'
  }

  rewritten(tag: number, begun: Uint8Array, total: number): Uint8Array | null {
    parcel.begin()
    this.#carrier.carryHead(tag, begun, total)
    const written = parcel.bytes.slice()
    if (!this.#carrier.dropsRest) return written
    if (written.length > 0) this.#talk.tellServer(written)
    return null
  }
}
