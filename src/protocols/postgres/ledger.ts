/**
 * Which replies the server still owes, one entry a forwarded message, and what state the session
 * is in. Rules from PostgreSQL's documentation ("Message Flow") and its behaviour: an error in the
 * extended protocol skips everything up to Sync; Flush and Sync are eaten while copying in.
 */
import { BACKEND, FRONTEND } from './tags.ts'

/** The first ReadyForQuery of a session is owed to the startup packet. */
const STARTUP = FRONTEND.StartupMessage

/** A reply of the gateway's own, waiting behind the replies owed before it. */
export interface OwnReply {
  /** Whole backend messages, without ReadyForQuery. */
  readonly bytes: Uint8Array
  /** True where ReadyForQuery with the session's true status is to be added. */
  readonly ready: boolean
  /** Called where the server skips the message that this answers: it is as if it never came. */
  readonly undo?: (() => void) | undefined
}

/** Whom a ledger tells. */
export interface LedgerOwner {
  /** Called with each own reply when all replies before it have been read. */
  emit(reply: OwnReply): void
  /** Called for messages of `noteTold`, in their order: done, or skipped and never to be done. */
  told?(done: boolean): void
}

type Entry = number | OwnReply

/** Added to the tag of a message whose owner is told what becomes of it. */
const TOLD = 0x100
/** Added too where it is the gateway's own, so that its reply is not for the client. */
const OWN = 0x200

/** Length of a message that is a header alone. */
const BARE_BYTES = 5

/** Entries that only mark a place: no reply is owed for them. */
function marks(entry: Entry): boolean {
  return entry === FRONTEND.Flush || entry === FRONTEND.CopyDone
}

/** Messages that end with a ReadyForQuery. */
function endsReady(entry: Entry): boolean {
  return (
    entry === FRONTEND.Query ||
    entry === FRONTEND.Sync ||
    entry === FRONTEND.FunctionCall ||
    entry === STARTUP
  )
}

/** ASCII 'I', 'T' or 'E', as ReadyForQuery gives it. */
export const IDLE = 0x49

const COMPACT_AT = 64

export class Ledger {
  /** The last status the server told: idle, in a transaction, or in a failed one. */
  status = 0
  /** Set where the last reply ends what the server says until the client speaks. */
  boundary = false
  /** Extended messages forwarded since the last Sync. */
  unsynced = 0
  /** Syncs that the server ate while copying in, and will not answer. */
  syncsEaten = 0
  /**
   * A query was sent within a pipeline. PostgreSQL 18 then answers the first statement behind its
   * Sync with XX000 ("unexpected state STARTED"), though it had said that it is idle.
   */
  mixed = false
  /** True where the server skips all messages up to a Sync that has not been forwarded yet. */
  skipping = false
  /** The client said that it leaves. */
  left = false
  /** Entries that are owed no longer: answered, skipped or eaten. */
  gone = 0
  /** Bytes of own replies that wait. */
  ownBytes = 0
  /** Entries that are own replies, or messages of the gateway's own. */
  aside = 0
  /** Set where the last reply belongs to a message of the gateway's own; asked for once. */
  swallows = false
  #entries: Entry[] = []
  /** Entries that end with a ReadyForQuery. */
  #readies = 0
  #head = 0
  #copyIn = false
  readonly #owner: LedgerOwner

  constructor(owner: LedgerOwner) {
    this.#owner = owner
  }

  /** Number of entries. */
  get owed(): number {
    return this.#entries.length - this.#head
  }

  /** Entries so far: what is noted now is gone when `gone` has come to this. */
  get noted(): number {
    return this.gone + this.owed
  }

  /** Nothing owed, no transaction, nothing unsynced: the gateway may speak for the server. */
  get quiet(): boolean {
    return this.owed === 0 && this.status === IDLE && this.unsynced === 0 && !this.skipping
  }

  /** A reply is owed, and not only when the client sends the rest of a pipeline or of a copy. */
  get awaited(): boolean {
    if (this.owed === 0 || this.#copyIn) return false
    return this.unsynced === 0 || this.#entries[this.#entries.length - 1] === FRONTEND.Flush
  }

  /** Replies are owed to what stands for itself: a pipeline before that of now, or a query. */
  get behind(): boolean {
    return this.#readies > 0
  }

  /** The server is known to copy in: it understands copied data, Flush and Sync only. */
  get copying(): boolean {
    return this.#copyIn
  }

  /** Notes a message that is forwarded to the server; `total`: its length with the header. */
  note(tag: number, total = BARE_BYTES): void {
    if (this.#copyIn) return this.#noteCopying(tag)
    // A Flush with a body is no Flush: it fails, and the server skips everything up to Sync.
    const failsAs = tag === FRONTEND.Flush && total > BARE_BYTES ? FRONTEND.Close : tag
    switch (failsAs) {
      case FRONTEND.Parse:
      case FRONTEND.Bind:
      case FRONTEND.Describe:
      case FRONTEND.Execute:
      case FRONTEND.Close:
        this.unsynced += 1
        if (!this.skipping) this.#entries.push(failsAs)
        return
      case FRONTEND.Query:
      case FRONTEND.FunctionCall:
        // It may leave the implicit transaction of a pipeline open: only Sync surely ends one.
        if (this.unsynced > 0) this.mixed = true
        if (!this.skipping) this.#pushReady(tag)
        return
      case FRONTEND.Sync:
        this.unsynced = 0
        this.skipping = false
        this.#pushReady(tag)
        return
      case FRONTEND.Flush:
      case FRONTEND.CopyDone:
      case FRONTEND.CopyFail:
        if (this.owed > 0) this.#mark(tag === FRONTEND.Flush ? tag : FRONTEND.CopyDone)
        return
      case STARTUP:
        this.#pushReady(tag)
        return
      case FRONTEND.Terminate:
        this.left = true
        return
      default:
        return
    }
  }

  /**
   * Notes a message of whose fate the owner is told, while the server neither skips nor copies in.
   * One of the gateway's `own` stands before a message of the client that needs it.
   */
  noteTold(tag: number, own: boolean): void {
    if (own) this.aside += 1
    else this.unsynced += 1
    this.#entries.push(own ? tag + TOLD + OWN : tag + TOLD)
  }

  /** Puts a reply of our own behind the replies owed; emits it at once where nothing is owed. */
  answer(reply: OwnReply): void {
    // A server that skips to Sync would have skipped the message that this answers.
    if (this.skipping) return
    if (this.owed === 0) this.#owner.emit(reply)
    else {
      this.#entries.push(reply)
      this.aside += 1
      this.ownBytes += reply.bytes.length
    }
  }

  /** Notes the beginning of a message from the server. */
  reply(tag: number): void {
    switch (tag) {
      case BACKEND.DataRow:
      case BACKEND.CopyData:
        return
      case BACKEND.ReadyForQuery:
        return this.#ready()
      case BACKEND.ErrorResponse:
        return this.#error()
      case BACKEND.ParseComplete:
        return this.#complete(FRONTEND.Parse)
      case BACKEND.BindComplete:
        return this.#complete(FRONTEND.Bind)
      case BACKEND.CloseComplete:
        return this.#complete(FRONTEND.Close)
      case BACKEND.NoData:
      case BACKEND.RowDescription:
        return this.#complete(FRONTEND.Describe)
      case BACKEND.CommandComplete:
      case BACKEND.EmptyQueryResponse:
      case BACKEND.PortalSuspended:
        this.#copyIn = false
        return this.#complete(FRONTEND.Execute)
      case BACKEND.CopyInResponse:
        this.#beginCopyIn()
        this.boundary = this.#copyIn
        return
      case BACKEND.CopyBothResponse:
        this.boundary = true
        return
      default:
        // Notices, notifications and parameters come at any time; alone they are a reply.
        if (this.owed === 0) this.boundary = true
    }
  }

  #pushReady(tag: number): void {
    this.#readies += 1
    this.#entries.push(tag)
  }

  #mark(tag: number): void {
    // Marks in a row say no more than one.
    if (this.#entries[this.#entries.length - 1] !== tag) this.#entries.push(tag)
  }

  #noteCopying(tag: number): void {
    switch (tag) {
      case FRONTEND.CopyData:
      case FRONTEND.Flush:
        return
      case FRONTEND.Sync:
        this.syncsEaten += 1
        return
      default:
        // CopyDone and CopyFail end it; anything else makes the server fail the copy.
        this.#copyIn = false
    }
  }

  /** The server copies in from now on: what was sent blindly behind is eaten or ends the copy. */
  #beginCopyIn(): void {
    this.#copyIn = true
    this.syncsEaten = 0
    const rest = this.#head + 1
    while (this.#copyIn && this.#entries.length > rest) {
      const entry = this.#entries[rest]
      if (typeof entry !== 'number') return
      if (entry === FRONTEND.Sync) this.syncsEaten += 1
      else if (entry !== FRONTEND.Flush) this.#copyIn = false
      this.#entries.splice(rest, 1)
      if (endsReady(entry)) this.#readies -= 1
      if (entry > OWN) this.aside -= 1
      this.#skipped(entry)
      this.gone += 1
    }
  }

  #complete(tag: number): void {
    const head = this.#entries[this.#head]
    if (head === tag) this.#shift()
    else if (typeof head === 'number' && head > TOLD && (head & 0xff) === tag) {
      this.swallows = head > OWN
      this.#shift()
      this.#owner.told?.(true)
    } else return
    this.#settle()
  }

  /** The server has gone past a message, which it will not do any more. */
  #skipped(entry: Entry): void {
    if (typeof entry !== 'number') entry.undo?.()
    else if (entry > TOLD) this.#owner.told?.(false)
  }

  #ready(): void {
    this.boundary = true
    this.#copyIn = false
    this.skipping = false
    while (this.owed > 0) {
      const entry = this.#shift()
      if (endsReady(entry)) break
      this.#skipped(entry)
    }
    this.#settle()
  }

  #error(): void {
    this.#copyIn = false
    const head = this.#entries[this.#head]
    if (head === undefined) {
      this.boundary = true
      return
    }
    if (endsReady(head)) return
    while (this.owed > 0 && this.#entries[this.#head] !== FRONTEND.Sync) {
      this.#skipped(this.#shift())
    }
    if (this.owed > 0) return
    this.skipping = true
    this.boundary = true
  }

  #shift(): Entry {
    const entry = this.#entries[this.#head]!
    this.#head += 1
    this.gone += 1
    if (endsReady(entry)) this.#readies -= 1
    if (typeof entry !== 'number') {
      this.ownBytes -= entry.bytes.length
      this.aside -= 1
    } else if (entry > OWN) this.aside -= 1
    if (this.#head === this.#entries.length) {
      this.#entries.length = 0
      this.#head = 0
    } else if (this.#head >= COMPACT_AT && this.#head * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
    return entry
  }

  /** Own replies and marks at the head are due now. */
  #settle(): void {
    while (this.owed > 0) {
      const entry = this.#entries[this.#head]!
      if (typeof entry !== 'number') this.#owner.emit(entry)
      else if (!marks(entry)) return
      else if (entry === FRONTEND.Flush) this.boundary = true
      this.#shift()
    }
    this.boundary = true
  }
}
