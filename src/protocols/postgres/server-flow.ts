/** From server to client: keeps the ledger, rewrites errors of refused messages, ends replies. */
import type {
  ConversationOptions,
  Cut,
  Flow,
  Part,
  Piece,
  Refused,
  Share,
  Wishes,
} from '../protocol.ts'
import { joined } from './hold.ts'
import type { Fate, Judge } from './judge.ts'
import {
  areWhole,
  copyFail,
  errorField,
  errorResponse,
  errorText,
  SYNC,
  walk,
  warning,
} from './messages.ts'
import { partsOf, shareOf } from './parts.ts'
import { HEADER_BYTES, lengthAt, MessageReader } from './reader.ts'
import { TELLING, tell } from './sharing/telling.ts'
import { numberAt } from './startup.ts'
import { BACKEND, BACKEND_PLAIN, BACKEND_TAGS, FRONTEND, NOTHING_PLAIN, unwanted } from './tags.ts'
import type { Talk } from './talk.ts'

const EMPTY: Uint8Array = new Uint8Array(0)
/** Authentication messages that the client need not answer: Ok and SASLFinal. */
const AUTHENTICATION_OK = 0
const AUTHENTICATION_SASL_FINAL = 12
/** The code of a write where none is possible. */
const READ_ONLY = '25006'
/** More than any BackendKeyData (256 bytes of key in protocol 3.2). */
const TAP_BYTES = 512
/** More than what is looked at of a parameter, of the tag of a command, or of an error. */
const TOLD_BYTES_MAX = 65_536

/** Messages that may come at any time and belong to no reply. */
function asynchronous(tag: number): boolean {
  return (
    tag === BACKEND.ParameterStatus ||
    tag === BACKEND.NotificationResponse ||
    tag === BACKEND.NoticeResponse
  )
}

/** Answers to what the gateway itself may have sent. */
function isDone(tag: number): boolean {
  return tag === BACKEND.ParseComplete || tag === BACKEND.CloseComplete
}

function cutsReplies({ fromServer }: Wishes): boolean {
  return fromServer.cut === 'reply' && fromServer.tags !== null
}

/** Whatever the server says may be shown together. */
const always = (): boolean => true

export class PostgresServerFlow implements Flow, Judge {
  readonly tags = BACKEND_TAGS
  readonly passage = null
  readonly #talk: Talk
  readonly #reader: MessageReader
  #wanted: Uint8Array | null
  #cutsReplies: boolean
  /** The rest of a refused reply is dropped, up to ReadyForQuery. */
  #dropping = false
  #plain: Uint8Array
  /** True where the server's last words were an error, so that it need not be explained again. */
  endedInError = false

  constructor(talk: Talk, options: ConversationOptions) {
    this.#talk = talk
    this.#wanted = options.fromServer.tags
    this.#cutsReplies = cutsReplies(options)
    this.#reader = new MessageReader(this, options.fromServer, options.limits)
    talk.toClientDue = this.#reader.due
    this.#plain = unwanted(BACKEND_PLAIN, this.#wanted)
  }

  get plain(): Uint8Array {
    return this.#dropping ? NOTHING_PLAIN : this.#plain
  }

  get bytes(): Uint8Array {
    return this.#reader.bytes
  }
  get over(): boolean {
    return this.#reader.over
  }
  get violation(): string {
    return this.#reader.violation
  }
  get full(): boolean {
    return false
  }
  get midMessage(): boolean {
    return this.#reader.midMessage
  }
  /** Between two messages, with nothing to write. */
  get atRest(): boolean {
    return this.#reader.atRest && !this.#dropping
  }

  rewatch(wishes: Wishes): void {
    this.#wanted = wishes.fromServer.tags
    this.#cutsReplies = cutsReplies(wishes)
    this.#plain = unwanted(BACKEND_PLAIN, this.#wanted)
    this.#reader.rewatch(wishes.fromServer, wishes.limits)
  }

  pass(chunk: Uint8Array): Uint8Array | null {
    const talk = this.#talk
    const { ledger, borrower } = talk
    if (!talk.ordinary || !this.#reader.atRest) return null
    if ((borrower !== null && ledger.aside > 0) || !areWhole(chunk, BACKEND_TAGS)) return null
    for (let at = 0; at < chunk.length; at += 1 + lengthAt(chunk, at)) {
      const tag = chunk[at]!
      if (this.#plain[tag] === 1) continue
      if (borrower !== null && TELLING[tag] === 1) tell(borrower, chunk, at)
      if (tag === BACKEND.ReadyForQuery) ledger.status = chunk[at + HEADER_BYTES]!
      ledger.reply(tag)
      this.endedInError = tag === BACKEND.ErrorResponse
      if (this.endedInError) this.#failed(chunk.subarray(at, at + 1 + lengthAt(chunk, at)))
    }
    ledger.boundary = false
    return chunk
  }

  push(chunk: Uint8Array): void {
    this.#reader.push(chunk)
  }

  next(): Piece {
    return this.#reader.next()
  }

  end(): void {
    this.#reader.end()
  }

  streamOversize(): void {
    this.#reader.streamOversize()
  }

  dropOversize(): void {
    this.#reader.dropOversize()
  }

  release(): void {
    this.#reader.release()
  }

  begin(tag: number, total: number): Fate {
    const talk = this.#talk
    talk.midReply = true
    talk.ledger.reply(tag)
    this.endedInError = tag === BACKEND.ErrorResponse
    if (this.endedInError && talk.writeRefused !== null) {
      this.#reader.tap = new Uint8Array(Math.min(total, TAP_BYTES))
    }
    if (talk.borrower !== null) {
      if (talk.ledger.swallows) {
        talk.ledger.swallows = false
        return 'drop'
      }
      if (TELLING[tag] === 1) this.#reader.tap = new Uint8Array(Math.min(total, TOLD_BYTES_MAX))
    }
    if (this.#dropping) {
      if (tag === BACKEND.ReadyForQuery) this.#dropping = false
      else if (tag !== BACKEND.ParameterStatus && tag !== BACKEND.NotificationResponse) {
        talk.forget()
        if (tag === BACKEND.CopyInResponse) this.#endCopyIn()
        return 'drop'
      }
    } else if (tag === BACKEND.ErrorResponse && talk.refusals.size > 0) return 'alone'
    if (!talk.loggedIn && (tag === BACKEND.Authentication || tag === BACKEND.BackendKeyData)) {
      this.#reader.tap = new Uint8Array(Math.min(total, TAP_BYTES))
    }
    if (talk.binding.concernsAll(tag, total)) return 'alone'
    return this.#wanted !== null && this.#wanted[tag] === 1 ? 'hold' : 'pass'
  }

  finish(tag: number, last: number): boolean {
    const talk = this.#talk
    const { ledger } = talk
    talk.midReply = false
    if (tag === BACKEND.ReadyForQuery) {
      ledger.status = last
      talk.loggedIn = true
      if (talk.refusals.size > 0) talk.forgetRefusals()
    } else if (this.#reader.tap !== null) this.#tapped(tag, this.#reader.tap)
    talk.settle()
    const ends = ledger.boundary
    ledger.boundary = false
    return ends && this.#cutsReplies
  }

  /** Somebody may want to know that a server which should take writes does not. */
  #failed(error: Uint8Array): void {
    const { writeRefused } = this.#talk
    if (writeRefused !== null && errorField(error, 'C') === READ_ONLY) writeRefused()
  }

  #tapped(tag: number, message: Uint8Array): void {
    if (tag === BACKEND.ErrorResponse) this.#failed(message)
    if (TELLING[tag] === 1) {
      if (this.#talk.borrower !== null) tell(this.#talk.borrower, message, 0)
      return
    }
    if (message.length < HEADER_BYTES + 4) return
    if (tag === BACKEND.BackendKeyData) {
      this.#talk.cancelKey = Buffer.from(message.subarray(HEADER_BYTES)).toString('hex')
      return
    }
    const code = numberAt(message, HEADER_BYTES)
    if (code === AUTHENTICATION_OK || code === AUTHENTICATION_SASL_FINAL) {
      return this.#talk.binding.settled()
    }
    this.#talk.ledger.boundary = true
  }

  alone(bytes: Uint8Array): Uint8Array {
    const said = errorText(bytes)
    for (const [marker, { instead }] of this.#talk.refusals) {
      if (said.includes(marker)) return instead
    }
    return this.#talk.binding.rewritten(bytes)
  }

  streamed(): void {}

  joins(_previous: number, tag: number): boolean {
    const { borrower, ledger } = this.#talk
    // What the gateway itself has sent is answered too, and that is dropped.
    if (borrower !== null && ledger.aside > 0 && isDone(tag)) return false
    if (this.#talk.binding.concerns(tag)) return false
    return tag !== BACKEND.ErrorResponse || this.#talk.refusals.size === 0
  }

  forward(bytes: Uint8Array): Uint8Array {
    return this.#dropping ? this.#rest(bytes) : bytes
  }

  /** What is left of a unit of which a part before was refused: see `begin` for what came later. */
  #rest(unit: Uint8Array): Uint8Array {
    let out = EMPTY
    walk(unit, BACKEND_TAGS, (tag, from, to) => {
      if (tag === BACKEND.ReadyForQuery) this.#dropping = false
      if (
        !this.#dropping ||
        tag === BACKEND.ParameterStatus ||
        tag === BACKEND.NotificationResponse
      ) {
        out = joined(out, unit.subarray(from, to))
      } else if (tag === BACKEND.CopyInResponse) this.#endCopyIn()
    })
    return out
  }

  deny(unit: Uint8Array, refused: Refused): Uint8Array | null {
    const talk = this.#talk
    if (!talk.loggedIn) return null
    // One refusal a reply: its rest goes the same way, whoever refuses it too.
    if (this.#dropping) return this.#rest(unit)
    let kept = EMPTY
    let ready = EMPTY
    let answers = false
    let copiesIn = false
    walk(unit, BACKEND_TAGS, (tag, from, to) => {
      if (tag === BACKEND.ParameterStatus || tag === BACKEND.NotificationResponse) {
        kept = joined(kept, unit.subarray(from, to))
      }
      if (tag === BACKEND.ReadyForQuery) ready = unit.slice(from, to)
      answers ||= !asynchronous(tag)
      copiesIn ||= tag === BACKEND.CopyInResponse
    })
    // Outside of a query an error would end the session in some clients; a warning does not.
    if (!answers) return warning(refused)
    if (copiesIn) this.#endCopyIn()
    this.#dropping = ready.length === 0
    return joined(joined(kept, errorResponse(refused)), ready)
  }

  /** The client will never send what the server now waits for. */
  #endCopyIn(): void {
    const { ledger } = this.#talk
    const marker = this.#talk.marker(EMPTY)
    const synced = ledger.syncsEaten > 0
    ledger.note(FRONTEND.CopyFail)
    if (synced) ledger.note(FRONTEND.Sync)
    this.#talk.tellServer(synced ? joined(copyFail(marker), SYNC) : copyFail(marker))
  }

  share(bytes: Uint8Array, cut: Cut, tags: Uint8Array | null): Share {
    return shareOf(bytes, cut, tags, always)
  }

  parts(bytes: Uint8Array, cut: Cut, tags: Uint8Array | null): readonly Part[] {
    return partsOf(bytes, BACKEND_TAGS, cut, tags, always)
  }

  flaw(bytes: Uint8Array): string | null {
    return walk(bytes, BACKEND_TAGS, () => {})
  }
}
