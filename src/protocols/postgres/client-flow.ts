/** From client to server: startup packets, then messages, and what refusing one of them takes. */
import type { ClientFlow, ConversationOptions, Cut, Part, Piece, Refused } from '../protocol.ts'
import {
  areWhole,
  copyFail,
  errorResponse,
  failingParse,
  failingQuery,
  SYNC,
  walk,
} from './messages.ts'
import { partsOf } from './parts.ts'
import { type Fate, type Judge, joined, lengthAt, MessageReader } from './reader.ts'
import {
  CANCEL_REQUEST,
  GSSENC_REQUEST,
  numberAt,
  parseStartup,
  SSL_REQUEST,
  STARTUP_BYTES_MAX,
  startupFlaw,
} from './startup.ts'
import {
  BACKEND,
  BACKEND_TAGS,
  FRONTEND,
  FRONTEND_PLAIN,
  FRONTEND_TAGS,
  NOTHING_PLAIN,
  unwanted,
} from './tags.ts'
import type { Talk } from './talk.ts'

const EMPTY: Uint8Array = new Uint8Array(0)
/** The answer to a request for encryption: one byte, before any message. */
const NO_ENCRYPTION = Uint8Array.of(0x4e)

/** Messages that begin a statement: a unit begins with one and has no second. */
function begins(tag: number): boolean {
  return tag === FRONTEND.Query || tag === FRONTEND.Parse || tag === FRONTEND.FunctionCall
}

/** Messages that belong to a copy into the server. */
function copies(tag: number): boolean {
  return tag === FRONTEND.CopyData || tag === FRONTEND.CopyDone || tag === FRONTEND.CopyFail
}

/** Messages that PostgreSQL answers with a ReadyForQuery: a unit ends with one. */
function endsReady(tag: number): boolean {
  return tag === FRONTEND.Query || tag === FRONTEND.FunctionCall || tag === FRONTEND.Sync
}

export class PostgresClientFlow implements ClientFlow, Judge {
  readonly tags = FRONTEND_TAGS
  readonly #talk: Talk
  readonly #reader: MessageReader
  readonly #wanted: Uint8Array | null
  readonly #plain: Uint8Array
  #startup = true
  #packet: Uint8Array = EMPTY
  #encryptionAsked = 0
  /** True while the StartupMessage itself is with the chain. */
  #opening = false
  #refused: Refused | null = null
  refusalTold = false

  constructor(talk: Talk, options: ConversationOptions) {
    this.#talk = talk
    this.#wanted = options.fromClient.tags
    this.#reader = new MessageReader(this, options.fromClient, options.limits)
    talk.toServerDue = this.#reader.due
    this.#plain = unwanted(FRONTEND_PLAIN, this.#wanted)
  }

  get plain(): Uint8Array {
    return this.#talk.swallowing ? NOTHING_PLAIN : this.#plain
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

  pass(chunk: Uint8Array): boolean {
    const talk = this.#talk
    const { ledger } = talk
    if (this.#startup || !talk.ordinary || !this.#reader.atRest) return false
    if (!areWhole(chunk, FRONTEND_TAGS)) return false
    for (let at = 0; at < chunk.length; at += 1 + lengthAt(chunk, at)) ledger.note(chunk[at]!)
    return true
  }

  push(chunk: Uint8Array): void {
    if (this.#startup) this.#packet = joined(this.#packet, chunk)
    else this.#reader.push(chunk)
  }

  next(): Piece {
    return this.#startup ? this.#nextStartup() : this.#reader.next()
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
    this.#packet = EMPTY
  }

  refuse(refused: Refused): void {
    this.#refused = refused
  }

  #nextStartup(): Piece {
    for (;;) {
      const packet = this.#packet
      if (packet.length < 4) return 'none'
      const length = numberAt(packet, 0)
      const code = packet.length < 8 ? null : numberAt(packet, 4)
      const flaw = startupFlaw(length, code)
      if (flaw !== null) return this.#violate(packet[0] === 0x16 ? `${flaw} (is it TLS?)` : flaw)
      if (packet.length < length) return 'none'
      this.#reader.bytes = packet.slice(0, length)
      this.#packet = packet.slice(length)
      if (code === SSL_REQUEST || code === GSSENC_REQUEST) {
        const piece = this.#refuseEncryption(code)
        if (piece !== null) return piece
      } else {
        this.#startup = false
        if (code === CANCEL_REQUEST) return 'cancel'
        return this.#begin()
      }
    }
  }

  #refuseEncryption(code: number): Piece | null {
    // Bytes behind the request would come from somebody who did not wait for the answer.
    if (this.#packet.length > 0) return this.#violate('data follow a request for encryption')
    this.#encryptionAsked += 1
    if (this.#encryptionAsked > 2) return this.#violate('encryption is asked for again and again')
    this.#talk.tellClient(NO_ENCRYPTION)
    return code === SSL_REQUEST ? 'edge' : null
  }

  #begin(): Piece {
    const facts = parseStartup(this.#reader.bytes)
    if (facts === null) return this.#violate('the parameters of the startup packet are malformed')
    this.#talk.user = facts.user
    this.#talk.database = facts.database
    this.#talk.applicationName = facts.applicationName
    if (this.#refused !== null) {
      this.refusalTold = true
      this.#talk.tellClient(errorResponse(this.#refused, 'FATAL'))
      return 'none'
    }
    const bytes = this.#reader.bytes
    this.#reader.push(this.#packet)
    this.#packet = EMPTY
    this.#reader.bytes = bytes
    if (this.#wanted !== null && this.#wanted[FRONTEND.StartupMessage] === 1) {
      this.#opening = true
      return 'unit'
    }
    this.#talk.ledger.note(FRONTEND.StartupMessage)
    return 'pass'
  }

  #violate(sentence: string): Piece {
    this.#reader.violation = sentence
    return 'violation'
  }

  begin(tag: number): Fate {
    const talk = this.#talk
    if (talk.swallowing && tag !== FRONTEND.Terminate) {
      if (tag !== FRONTEND.Sync || !talk.endSwallowing()) return 'drop'
    }
    if (this.#wanted !== null && this.#wanted[tag] === 1) return 'hold'
    talk.ledger.note(tag)
    return 'pass'
  }

  finish(): boolean {
    return false
  }

  alone(bytes: Uint8Array): Uint8Array {
    return bytes
  }

  streamed(tag: number): void {
    this.#talk.ledger.note(tag)
  }

  joins(previous: number, tag: number): boolean {
    return !(begins(tag) || endsReady(previous))
  }

  forward(bytes: Uint8Array): Uint8Array {
    const { ledger } = this.#talk
    if (this.#opening) {
      this.#opening = false
      ledger.note(FRONTEND.StartupMessage)
      return bytes
    }
    if (this.#talk.swallowing) return this.#forwardSwallowing(bytes)
    walk(bytes, FRONTEND_TAGS, (tag) => ledger.note(tag))
    return bytes
  }

  /** What is left of messages of which one before was refused in the same unit. */
  #forwardSwallowing(bytes: Uint8Array): Uint8Array {
    let out = EMPTY
    walk(bytes, FRONTEND_TAGS, (tag, from, to) => {
      if (this.begin(tag) === 'drop') return
      if (this.#wanted?.[tag] === 1) this.#talk.ledger.note(tag)
      out = joined(out, bytes.subarray(from, to))
    })
    return out
  }

  deny(unit: Uint8Array, refused: Refused): Uint8Array | null {
    if (!this.#talk.loggedIn) return null
    let out = EMPTY
    walk(unit, FRONTEND_TAGS, (tag, from, to) => {
      out = joined(out, this.#denyOne(tag, unit.subarray(from, to), refused))
    })
    return out
  }

  /** Refuses one message; returns what goes to the server in its place. */
  #denyOne(tag: number, bytes: Uint8Array, refused: Refused): Uint8Array {
    const talk = this.#talk
    const { ledger } = talk
    if (tag === FRONTEND.Terminate) {
      ledger.note(tag)
      return bytes
    }
    if (talk.swallowing) {
      if (tag !== FRONTEND.Sync || !talk.endSwallowing()) return EMPTY
      ledger.note(tag)
      return bytes
    }
    const synchronises = tag === FRONTEND.Sync || tag === FRONTEND.Flush
    if (copies(tag) || (synchronises && ledger.copying)) {
      ledger.note(FRONTEND.CopyFail)
      return copyFail(talk.marker(errorResponse(refused)))
    }
    const ready = endsReady(tag)
    if (ledger.quiet) {
      talk.swallowing = !ready
      talk.answer(errorResponse(refused), ready)
      return EMPTY
    }
    if (tag !== FRONTEND.Sync && ready) {
      ledger.note(FRONTEND.Query)
      return failingQuery(talk.marker(errorResponse(refused)))
    }
    // The rest up to Sync is not needed any more: the server would skip it.
    talk.swallowing = tag !== FRONTEND.Sync
    const fails = this.#failing(errorResponse(refused), synchronises)
    if (tag !== FRONTEND.Sync) return fails
    ledger.note(FRONTEND.Sync)
    return joined(fails, SYNC)
  }

  /**
   * What surely fails in a pipeline; `instead` is written in the place of the error. Behind
   * an Execute the server may copy in by the time it reads this, where only CopyFail fails well:
   * elsewhere the server ignores that. Needed where a client may still be polite to a copy.
   */
  #failing(instead: Uint8Array, mayCopy: boolean): Uint8Array {
    const { ledger } = this.#talk
    if (mayCopy) ledger.note(FRONTEND.CopyFail)
    ledger.note(FRONTEND.Parse)
    const marker = this.#talk.marker(instead)
    return mayCopy ? joined(copyFail(marker), failingParse(marker)) : failingParse(marker)
  }

  answerFlaw(bytes: Uint8Array): string | null {
    let ready = 0
    let behind = 0
    const flaw = walk(bytes, BACKEND_TAGS, (tag) => {
      if (tag === BACKEND.ReadyForQuery) ready += 1
      else if (ready > 0) behind += 1
    })
    if (flaw !== null) return flaw
    if (ready > 1) return `${ready} ReadyForQuery messages in one answer`
    return behind > 0 ? 'messages follow ReadyForQuery' : null
  }

  respond(unit: Uint8Array, bytes: Uint8Array): Uint8Array {
    const talk = this.#talk
    if (this.#opening || !talk.loggedIn) {
      this.#opening = false
      talk.tellClient(bytes.slice())
      return EMPTY
    }
    let synced = false
    let readyOwed = false
    let extended = false
    let endsCopy = false
    let asks = false
    walk(unit, FRONTEND_TAGS, (tag) => {
      synced ||= tag === FRONTEND.Sync
      readyOwed ||= endsReady(tag)
      endsCopy ||= tag === FRONTEND.CopyDone || tag === FRONTEND.CopyFail
      asks ||= !(copies(tag) || tag === FRONTEND.Sync || tag === FRONTEND.Flush)
      extended ||= !(endsReady(tag) || tag === FRONTEND.CopyData)
    })
    if (talk.swallowing) {
      if (!synced || !talk.endSwallowing()) return EMPTY
      talk.ledger.note(FRONTEND.Sync)
      return SYNC
    }
    const { body, failed, ready } = splitAnswer(bytes)
    if (endsCopy && !asks && talk.ledger.owed > 0) return this.#respondCopy(body, synced)
    const server = talk.ledger.unsynced > 0 && (extended || synced)
    let out = EMPTY
    // What this pipeline did before must not be committed by its Sync.
    if (server && failed) out = this.#failing(body.slice(), !asks)
    else talk.answer(body, readyOwed && !server)
    if (synced && server) {
      talk.ledger.note(FRONTEND.Sync)
      return joined(out, SYNC)
    }
    talk.swallowing = extended && !readyOwed && (failed || ready)
    return out
  }

  /** The copy must end at the server too: it fails there, and its error becomes the answer. */
  #respondCopy(body: Uint8Array, synced: boolean): Uint8Array {
    const { ledger } = this.#talk
    ledger.note(FRONTEND.CopyFail)
    const ends = copyFail(this.#talk.marker(body.slice()))
    if (!synced) return ends
    ledger.note(FRONTEND.Sync)
    return joined(ends, SYNC)
  }

  parts(bytes: Uint8Array, cut: Cut, tags: Uint8Array | null): readonly Part[] {
    if (isStartup(bytes)) return [{ bytes, wanted: tags === null || tags[0] === 1 }]
    return partsOf(bytes, FRONTEND_TAGS, cut, tags, (previous, tag) => this.joins(previous, tag))
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

/** An answer without its ReadyForQuery, and whether it had one, and an error. */
function splitAnswer(bytes: Uint8Array): { body: Uint8Array; failed: boolean; ready: boolean } {
  let end = bytes.length
  let failed = false
  walk(bytes, BACKEND_TAGS, (tag, from) => {
    if (tag === BACKEND.ReadyForQuery) end = from
    failed ||= tag === BACKEND.ErrorResponse
  })
  return { body: bytes.subarray(0, end), failed, ready: end < bytes.length }
}
