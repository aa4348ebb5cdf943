/** From client to server: startup packets, then messages, and what refusing one of them takes. */
import type {
  ClientFlow,
  ConversationOptions,
  Cut,
  Part,
  Piece,
  Refused,
  Share,
  Wishes,
} from '../protocol.ts'
import { answerFlaw, denied, endsReady, responded } from './answers.ts'
import { CHOICE_BYTES } from './channel-binding.ts'
import { Door, LOGIN_BYTES_MAX } from './door.ts'
import { Encryption, GRANTED, NOT_GRANTED, UNENCRYPTED } from './encryption.ts'
import { joined } from './hold.ts'
import type { Fate, Judge } from './judge.ts'
import { areWhole, errorResponse, walk } from './messages.ts'
import { partsOf, shareOf } from './parts.ts'
import { HEADER_BYTES, lengthAt, MessageReader } from './reader.ts'
import { Passage, SHARED_TAGS } from './sharing/passage.ts'
import {
  CANCEL_REQUEST,
  GSSENC_REQUEST,
  numberAt,
  parseStartup,
  SSL_REQUEST,
  STARTUP_BYTES_MAX,
  startupFlaw,
} from './startup.ts'
import { FRONTEND, FRONTEND_PLAIN, FRONTEND_TAGS, NOTHING_PLAIN, unwanted } from './tags.ts'
import type { Talk } from './talk.ts'

const EMPTY: Uint8Array = new Uint8Array(0)
/** Where the name of a statement begins in a Parse; the unnamed one has none. */
const NAME_AT = HEADER_BYTES

/** Messages that begin a statement: a unit begins with one and has no second. */
function begins(tag: number): boolean {
  return tag === FRONTEND.Query || tag === FRONTEND.Parse || tag === FRONTEND.FunctionCall
}

function mayJoin(previous: number, tag: number): boolean {
  return !(begins(tag) || endsReady(previous))
}

export class PostgresClientFlow implements ClientFlow, Judge {
  tags = FRONTEND_TAGS
  /** Where connections are shared by transactions, else null. */
  readonly passage: Passage | null
  readonly #talk: Talk
  readonly #reader: MessageReader
  #wanted: Uint8Array | null
  #plain: Uint8Array
  #startup = true
  #packet: Uint8Array = EMPTY
  readonly encryption: Encryption
  /** True while the StartupMessage itself is with the chain. */
  #opening = false
  #refused: Refused | null = null
  #told = false
  /** Where the gateway lets clients in by itself, else null. */
  readonly #door: Door | null
  /** The first bytes of a Parse that passes; made for the first one. */
  #name: Uint8Array | null = null
  /** Kept where the gateway logs in for the client, which is told what it had asked for. */
  startup: Uint8Array = EMPTY

  constructor(talk: Talk, options: ConversationOptions) {
    this.#talk = talk
    this.#wanted = options.fromClient.tags
    this.#reader = new MessageReader(this, options.fromClient, options.limits)
    talk.toServerDue = this.#reader.due
    this.encryption = new Encryption(options.encryption)
    this.#plain = unwanted(FRONTEND_PLAIN, this.#wanted)
    this.#door = options.gate === null ? null : new Door(talk, options.gate)
    this.passage = talk.borrower === null ? null : new Passage(talk, talk.borrower)
  }

  get plain(): Uint8Array {
    const { swallowing, ledger } = this.#talk
    // Where connections are shared, copied data must not come to one that copies nothing.
    const isStray = this.passage !== null && ledger.quiet
    return swallowing || isStray ? NOTHING_PLAIN : this.#plain
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
    return this.#talk.full
  }
  get routable(): boolean {
    return this.#startup || this.#opening
  }
  get refusalTold(): boolean {
    return this.#told || this.#door?.state === 'refused'
  }
  /** A part of a message has been let through, and the rest has not. */
  get midMessage(): boolean {
    return this.#reader.midMessage
  }

  get atRest(): boolean {
    return !this.routable && this.#reader.atRest
  }

  rewatch({ fromClient, limits }: Wishes): void {
    this.#wanted = fromClient.tags
    this.#plain = unwanted(FRONTEND_PLAIN, this.#wanted)
    this.#reader.rewatch(fromClient, limits)
  }

  pass(chunk: Uint8Array): Uint8Array | 'serverless' | null {
    const talk = this.#talk
    const { ledger } = talk
    if (this.#startup || !talk.ordinary || !this.#reader.atRest) return null
    if (!areWhole(chunk, this.tags) || (this.#door !== null && mayLeave(chunk))) return null
    if (this.passage !== null) return this.passage.pass(chunk)
    for (let at = 0, total = 0; at < chunk.length; at += total) {
      total = 1 + lengthAt(chunk, at)
      ledger.note(chunk[at]!, total)
      if (chunk[at] === FRONTEND.Parse) talk.prepares ||= chunk[at + NAME_AT] !== 0
    }
    return chunk
  }

  readyFor(bytes: Uint8Array): boolean {
    return this.passage === null || !this.#talk.loggedIn || this.passage.readyFor(bytes)
  }

  push(chunk: Uint8Array): void {
    if (this.#startup) this.#packet = joined(this.#packet, chunk)
    else this.#reader.push(chunk)
  }

  next(): Piece {
    if (this.#door?.state === 'due') {
      this.#door.state = 'open'
      // A server that gets one would end a connection that others are to have.
      if (this.passage !== null) this.tags = SHARED_TAGS
      return 'admitted'
    }
    return this.#startup ? this.#nextStartup() : this.#reader.next()
  }

  end(): void {
    this.#talk.leaving = this.#talk.lent
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
    this.#packet = EMPTY
  }

  refuse(refused: Refused): void {
    this.#refused = refused
  }

  #nextStartup(): Piece {
    if (this.encryption.takeGrant()) return this.#secure(GRANTED, EMPTY)
    for (;;) {
      const packet = this.#packet
      if (this.encryption.beginsAtOnce(packet[0])) return this.#secure(EMPTY, packet)
      if (packet.length < 4) return 'none'
      const length = numberAt(packet, 0)
      const code = packet.length < 8 ? null : numberAt(packet, 4)
      const flaw = startupFlaw(length, code)
      if (flaw !== null) return this.#violate(packet[0] === 0x16 ? `${flaw} (is it TLS?)` : flaw)
      if (packet.length < length) return 'none'
      this.#reader.bytes = packet.slice(0, length)
      this.#packet = packet.slice(length)
      if (code === SSL_REQUEST || code === GSSENC_REQUEST) {
        const piece = this.#encryptionAsked(code)
        if (piece !== null) return piece
      } else {
        this.#startup = false
        if (code === CANCEL_REQUEST) return 'cancel'
        return this.#begin()
      }
    }
  }

  #encryptionAsked(code: number): Piece | null {
    const answer = this.encryption.asked(code, this.#packet.length > 0)
    if (typeof answer === 'object') return this.#violate(answer.flaw)
    if (answer === 'refused') this.#talk.tellClient(NOT_GRANTED)
    return code === SSL_REQUEST ? 'edge' : null
  }

  /** Tells the client to begin, or takes what it has begun with. */
  #secure(answer: Uint8Array, hello: Uint8Array): Piece {
    if (answer.length > 0) this.#talk.tellClient(answer)
    this.#packet = EMPTY
    this.#reader.bytes = hello
    return 'secure'
  }

  #begin(): Piece {
    const facts = parseStartup(this.#reader.bytes)
    if (facts === null) return this.#violate('the parameters of the startup packet are malformed')
    this.#talk.user = facts.user
    this.#talk.database = facts.database
    this.#talk.applicationName = facts.applicationName
    if (this.encryption.lacking()) this.#refused ??= UNENCRYPTED
    if (this.#refused !== null) {
      this.#told = true
      this.#talk.tellClient(errorResponse(this.#refused, 'FATAL'))
      return 'none'
    }
    const bytes = this.#reader.bytes
    if (this.#door !== null) this.startup = bytes
    this.#reader.push(this.#packet)
    this.#packet = EMPTY
    this.#reader.bytes = bytes
    if (this.#wanted !== null && this.#wanted[FRONTEND.StartupMessage] === 1) {
      this.#opening = true
      return 'unit'
    }
    if (this.#door !== null) {
      this.#door.knock(this.startup)
      return this.next()
    }
    this.#talk.ledger.note(FRONTEND.StartupMessage)
    return 'pass'
  }

  #violate(sentence: string): Piece {
    this.#reader.violation = sentence
    return 'violation'
  }

  begin(tag: number, total: number): Fate | 'wait' {
    const talk = this.#talk
    if (this.#door !== null && (tag === FRONTEND.Terminate || !talk.loggedIn)) {
      return this.#atDoor(this.#door, tag, total)
    }
    if (tag === FRONTEND.PasswordMessage && talk.binding.awaitsChoice) {
      this.#reader.tap = new Uint8Array(Math.min(total, CHOICE_BYTES))
    }
    if (talk.swallowing && tag !== FRONTEND.Terminate) {
      if (tag !== FRONTEND.Sync || !talk.endSwallowing()) return 'drop'
    }
    if (this.#wanted !== null && this.#wanted[tag] === 1) return 'hold'
    if (this.passage !== null) return this.passage.begin(tag, total)
    if (tag === FRONTEND.Parse && this.#door !== null && !talk.prepares) {
      this.#name ??= new Uint8Array(NAME_AT + 1)
      this.#reader.tap = this.#name
    }
    talk.ledger.note(tag, total)
    return 'pass'
  }

  /** Whom the gateway lets in by itself reaches no server before, and takes no leave of one. */
  #atDoor(door: Door, tag: number, total: number): Fate {
    if (tag === FRONTEND.Terminate) {
      this.#talk.leaving = true
      this.#talk.ledger.note(tag)
      return this.#wanted?.[tag] === 1 ? 'hold' : 'drop'
    }
    if (total <= LOGIN_BYTES_MAX) return 'hold'
    door.overwhelmed()
    return 'drop'
  }

  finish(tag: number): boolean {
    const { tap } = this.#reader
    if (tap !== null && tag === FRONTEND.Parse) this.#talk.prepares ||= tap[NAME_AT] !== 0
    else if (tap !== null) this.#talk.binding.chosen(tap)
    return this.#door !== null && !this.#talk.loggedIn
  }

  alone(bytes: Uint8Array): Uint8Array {
    return this.passage === null ? bytes : this.passage.carried(bytes)
  }

  streamed(tag: number): void {
    this.#talk.ledger.note(tag)
  }

  joins(previous: number, tag: number): boolean {
    return mayJoin(previous, tag)
  }

  forward(bytes: Uint8Array): Uint8Array {
    const { ledger } = this.#talk
    if (this.#opening) {
      this.#opening = false
      if (this.#door === null) {
        ledger.note(FRONTEND.StartupMessage)
        return bytes
      }
      this.#door.knock(this.startup)
      return EMPTY
    }
    if (this.#door !== null && !this.#talk.loggedIn) {
      this.#door.take(bytes)
      return EMPTY
    }
    // Observers keep what they are shown, and the next parcel takes the place of this.
    if (this.passage !== null) return this.passage.carried(bytes).slice()
    if (this.#talk.swallowing) return this.#forwardSwallowing(bytes)
    let end = bytes.length
    for (let at = 0, total = 0; at < bytes.length; at += total) {
      total = 1 + lengthAt(bytes, at)
      ledger.note(bytes[at]!, total)
      if (bytes[at] === FRONTEND.Parse) this.#talk.prepares ||= bytes[at + NAME_AT] !== 0
      if (bytes[at] === FRONTEND.Terminate && this.#talk.lent) end = at
    }
    return end === bytes.length ? bytes : bytes.subarray(0, end)
  }

  /** What is left of messages of which one before was refused in the same unit. */
  #forwardSwallowing(bytes: Uint8Array): Uint8Array {
    let out = EMPTY
    walk(bytes, FRONTEND_TAGS, (tag, from, to) => {
      if (this.begin(tag, to - from) === 'drop') return
      if (this.#wanted?.[tag] === 1) this.#talk.ledger.note(tag, to - from)
      out = joined(out, bytes.subarray(from, to))
    })
    return out
  }

  deny(unit: Uint8Array, refused: Refused): Uint8Array | null {
    return this.#talk.loggedIn ? denied(this.#talk, unit, refused) : null
  }

  answerFlaw(bytes: Uint8Array): string | null {
    return answerFlaw(bytes)
  }

  respond(unit: Uint8Array, bytes: Uint8Array): Uint8Array {
    const talk = this.#talk
    if (!(this.#opening || !talk.loggedIn)) return responded(talk, unit, bytes)
    this.#opening = false
    if (this.#door === null) talk.tellClient(bytes.slice())
    else this.#door.answered(bytes)
    return EMPTY
  }

  share(bytes: Uint8Array, cut: Cut, tags: Uint8Array | null): Share {
    if (isStartup(bytes)) return tags === null || tags[0] === 1 ? 'whole' : 'none'
    return shareOf(bytes, cut, tags, mayJoin)
  }

  parts(bytes: Uint8Array, cut: Cut, tags: Uint8Array | null): readonly Part[] {
    if (isStartup(bytes)) return [{ bytes, wanted: tags === null || tags[0] === 1 }]
    return partsOf(bytes, FRONTEND_TAGS, cut, tags, mayJoin)
  }

  flaw(bytes: Uint8Array): string | null {
    if (!this.#opening) return walk(bytes, FRONTEND_TAGS, () => {})
    if (bytes.length < 8 || bytes.length > STARTUP_BYTES_MAX) return 'it is no startup packet'
    const length = numberAt(bytes, 0)
    if (length !== bytes.length) return `it declares ${length} bytes and has ${bytes.length}`
    return startupFlaw(length, numberAt(bytes, 4))
  }
}

/** A startup packet begins with its length, which is far below 2^24; no message has the type 0. */
function isStartup(bytes: Uint8Array): boolean {
  return bytes[0] === 0
}

/** True where the last message may be a Terminate; a rare false alarm costs the short cut only. */
function mayLeave(chunk: Uint8Array): boolean {
  return chunk[chunk.length - HEADER_BYTES] === FRONTEND.Terminate
}
