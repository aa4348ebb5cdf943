/** What both flows of one PostgreSQL session share: the ledger, refusals under way, own replies. */
import type { ConversationOptions, ShownCertificate, Waker, Wishes } from '../protocol.ts'
import { ChannelBinding } from './channel-binding.ts'
import { joined } from './hold.ts'
import { Ledger, type OwnReply } from './ledger.ts'
import { readyForQuery } from './messages.ts'
import { Borrower } from './sharing/borrower.ts'

/** Entries of the ledger, and bytes of own replies, from which on the client is paused. */
const LEDGER_ENTRIES_MAX = 65_536
const SHORT_CUT_ENTRIES_MAX = 1024
const OWN_BYTES_MAX = 16_777_216

interface Refusal {
  /** Written in the place of the error; empty: the error is muted. */
  readonly instead: Uint8Array
  /** Its place in the ledger, as `noted` there. */
  readonly place: number
}

function isUnwatched({ fromClient, fromServer }: Omit<Wishes, 'limits'>): boolean {
  return fromClient.tags === null && fromServer.tags === null
}

export class Talk {
  readonly ledger: Ledger
  readonly waker: Waker
  readonly binding: ChannelBinding
  /** True from the first ReadyForQuery on. */
  loggedIn = false
  user = ''
  database = ''
  applicationName = ''
  /** Process id and secret of the server session in hex; "" until the server told. */
  cancelKey = ''
  /** Messages of the client are dropped up to its Sync, as PostgreSQL does after an error. */
  swallowing = false
  /** Written to the client, or to the server, at the next place between two messages. */
  toClientDue: Uint8Array[] = []
  toServerDue: Uint8Array[] = []
  /** Refusals whose error the server still owes, by marker, oldest first. */
  readonly refusals = new Map<string, Refusal>()
  /** True where the server connection outlives the session, which a farewell ends. */
  readonly lent: boolean
  /** What the client was shown, if it came encrypted. */
  certificate: ShownCertificate | null = null
  /** True from the last words of a client on whose server connection is only lent. */
  leaving = false
  /** The client has named a statement. */
  prepares = false
  /** Told of a write that the server does not take; null: nobody wants to know. */
  readonly writeRefused: (() => void) | null
  /** True while a message of the server has begun and not ended. */
  midReply = false
  /** The client's part in sharing connections by transactions; null where it does not. */
  readonly borrower: Borrower | null
  /** No step wants anything: so nothing is ever refused or answered by the gateway. */
  #unwatched: boolean
  #emitted: OwnReply[] = []

  constructor(options: Omit<ConversationOptions, 'limits'>) {
    const { waker, fromClient, fromServer, gate, encryption, lessor, writeRefused = null } = options
    this.waker = waker
    this.writeRefused = writeRefused
    this.lent = gate !== null
    // Where the gateway logs in by itself, a binding of the client never gets to the server.
    this.binding = new ChannelBinding(this.lent ? undefined : encryption)
    this.#unwatched = isUnwatched({ fromClient, fromServer })
    this.ledger = new Ledger(this)
    this.borrower = lessor == null ? null : new Borrower(this, lessor)
  }

  /** What the gateway itself has prepared, or the client under a name, is done or skipped. */
  told(done: boolean): void {
    this.borrower?.told(done)
  }

  /** A reply of our own whose turn has come. */
  emit(reply: OwnReply): void {
    this.#emitted.push(reply)
  }

  rewatch(wishes: Wishes): void {
    this.#unwatched = isUnwatched(wishes)
  }

  /** The client is in, nobody looks at what is said, and not much is owed. */
  get ordinary(): boolean {
    if (!this.#unwatched || !this.loggedIn || this.leaving) return false
    // Messages may be refused though nobody watches, and replies be the gateway's own.
    if (this.borrower !== null && (this.swallowing || this.refusals.size > 0)) return false
    return this.ledger.owed <= SHORT_CUT_ENTRIES_MAX
  }

  get full(): boolean {
    return this.ledger.owed >= LEDGER_ENTRIES_MAX || this.ledger.ownBytes >= OWN_BYTES_MAX
  }

  /**
   * A name that no statement bears, for a message that fails in the place of a refused one
   * and has just been noted.
   */
  marker(instead: Uint8Array): string {
    const random = crypto.getRandomValues(new Uint8Array(8))
    const marker = `postern_denied_${Buffer.from(random).toString('hex')}`
    this.refusals.set(marker, { instead, place: this.ledger.noted })
    return marker
  }

  /** Forgets refusals whose message was skipped by the server: no error of theirs will come. */
  forgetRefusals(): void {
    for (const [marker, { place }] of this.refusals) {
      if (place > this.ledger.gone) return
      this.refusals.delete(marker)
    }
  }

  /** Answers the client behind everything owed to it; `undo`: see OwnReply. */
  answer(bytes: Uint8Array, ready: boolean, undo?: () => void): void {
    const { ledger } = this
    if (ready && ledger.quiet && !this.midReply && this.#emitted.length === 0) {
      // Due at once, which is what answers from memory are: one copy instead of two.
      this.toClientDue.push(joined(bytes, readyForQuery(ledger.status)))
      return this.waker.wakeToClient()
    }
    ledger.answer({ bytes: bytes.slice(), ready, undo })
    if (this.settle()) this.waker.wakeToClient()
  }

  /** Moves own replies that are due to the stream; true if there were any. */
  settle(): boolean {
    // They are due behind a message that has only begun: not before it, nor with the status before.
    if (this.midReply || this.#emitted.length === 0) return false
    for (const { bytes, ready } of this.#emitted) {
      const whole = ready ? joined(bytes, readyForQuery(this.ledger.status)) : bytes
      this.toClientDue.push(whole)
    }
    this.#emitted = []
    return true
  }

  /** Own replies that came due are lost with the reply that they stood in. */
  forget(): void {
    this.#emitted = []
  }

  /** Writes to the client as soon as no message is cut by it. */
  tellClient(bytes: Uint8Array): void {
    this.toClientDue.push(bytes)
    this.waker.wakeToClient()
  }

  tellServer(bytes: Uint8Array): void {
    this.toServerDue.push(bytes)
    this.waker.wakeToServer()
  }

  /** The client's Sync ends the swallowing; true where the server must get it too. */
  endSwallowing(): boolean {
    this.swallowing = false
    if (this.ledger.unsynced > 0 || this.ledger.skipping) return true
    this.answer(new Uint8Array(0), true)
    return false
  }
}
