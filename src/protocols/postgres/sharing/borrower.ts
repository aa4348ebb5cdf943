/**
 * One client among those that share connections by transactions: which connection it has at the
 * moment, what it has prepared and set, and what ties it to its connection.
 */
import type { Lessor, Refused, ServerState } from '../../protocol.ts'
import { errorField } from '../messages.ts'
import { FRONTEND } from '../tags.ts'
import type { Talk } from '../talk.ts'
import type { SharedConnection } from './connection.ts'
import type { PinReason, Reading } from './lasting-effects.ts'
import { type Named, Names } from './names.ts'
import { isFollowed, NO_TEXTS, type Profile } from './profile.ts'
import * as refusals from './refusals.ts'
import type { Statement } from './statements.ts'
import type { SharingAccount, SharingTerms } from './terms.ts'

/** The routine that finds that the columns of a statement are others than they were. */
const STALE_PLAN_ROUTINE = 'RevalidateCachedQuery'

/** Statements in one pipeline of which the plans are looked after. */
const BOUND_MAX = 256

/** A Parse or Close that was sent. */
export interface Sent {
  /** `probe`: parsed under another name, to see whether the server takes it. */
  readonly kind: 'parse' | 'close' | 'probe'
  /** Null: the unnamed one, or none that matters. */
  readonly statement: Statement | null
  /** It is the gateway's own, and not the client's. */
  readonly own: boolean
  /** What the client has named by it; null: nothing. */
  readonly named: Named | null
}

/** A probe leaves the statement as it is. */
function changes({ kind }: Sent): boolean {
  return kind !== 'probe'
}

function isUnnamed({ kind, statement }: Sent): boolean {
  return kind === 'parse' && statement === null
}

/** True for messages that a server must be there for, whatever was said before. */
function isWork(tag: number): boolean {
  switch (tag) {
    case FRONTEND.Query:
    case FRONTEND.Parse:
    case FRONTEND.Bind:
    case FRONTEND.Describe:
    case FRONTEND.Execute:
    case FRONTEND.Close:
    case FRONTEND.FunctionCall:
      return true
    default:
      return false
  }
}

export class Borrower implements Reading {
  readonly names = new Names()
  readonly #talk: Talk
  readonly #lessor: Lessor
  /** What the server has not answered yet, in the order of the ledger. */
  readonly #sent: Sent[] = []
  /** Statements bound since nothing was owed, the first of them. */
  readonly #bound = new Set<Statement>()
  #state: ServerState | null = null
  #profile: Profile | null = null
  /** Who counts that the client is tied to its connection; null: it is not. */
  #pinned: SharingAccount | null = null
  /** Messages are being carried: the connection must stay. */
  busy = false

  constructor(talk: Talk, lessor: Lessor) {
    this.#talk = talk
    this.#lessor = lessor
  }

  get terms(): SharingTerms {
    return this.#lessor.terms
  }
  /** What the client's session is set to; null until it is in. */
  get profile(): Profile | null {
    return this.#profile
  }
  get pinned(): boolean {
    return this.#pinned !== null
  }
  get held(): boolean {
    return this.#state !== null
  }
  /** What is known of the connection of the moment, which must be there. */
  get connection(): SharedConnection {
    return this.#state!.shared
  }
  /** Names what the statements of the client are read by. */
  get dialect(): string {
    return this.connection.profile(this.#state!, this.terms.profiles).dialect
  }

  /** The client is in, and was told of these parameters. */
  admit(parameters: ReadonlyMap<string, string>): void {
    const unreported = this.#state?.shared.unreported ?? NO_TEXTS
    this.#profile = this.terms.profiles.of(parameters, unreported)
  }

  /** A connection is there, which has the settings of the client. */
  borrow(state: ServerState): void {
    this.#state = state
  }

  /** The connection is given back, or gone. */
  giveBack(): void {
    const state = this.#state
    if (state !== null && this.#profile !== null) {
      this.#profile = state.shared.profile(state, this.terms.profiles)
    }
    this.#state = null
    if (this.#sent.length > 0) this.#sent.length = 0
    if (this.#bound.size > 0) this.#bound.clear()
  }

  /** The session has ended. */
  end(): void {
    this.#unpin()
    this.names.dropAll(this.terms.book)
  }

  /** True where a message may be carried now; false: the lessor wakes us when it may. */
  ready(tag: number): boolean {
    if (this.#state !== null || this.#talk.swallowing) return true
    return (!isWork(tag) && this.#talk.ledger.quiet) || this.#lessor.fetch()
  }

  /** Notes a Parse or Close that is sent. */
  send(sent: Sent): void {
    this.#sent.push(sent)
    const tag = sent.kind === 'close' ? FRONTEND.Close : FRONTEND.Parse
    this.#talk.ledger.noteTold(tag, sent.own)
  }

  /**
   * True where it is not known yet whether the connection has a statement, because an exchange
   * before this one was to prepare it, and not as what the client calls by this name.
   */
  isUnsure(statement: Statement, name: string): boolean {
    if (this.#sent.length === 0 || !this.#talk.ledger.behind) return false
    const parsed = this.#sent.filter((sent) => sent.statement === statement)
    return (
      parsed.length > 0 &&
      !parsed.some(({ kind, named }) => kind === 'parse' && named?.name === name)
    )
  }

  /** The oldest Parse or Close that was sent is done, or the server has gone past it. */
  told(done: boolean): void {
    const sent = this.#sent.shift()
    if (sent === undefined || this.#state === null) return
    const { kind, statement, named } = sent
    if (kind === 'probe') {
      // The server has it, and yet the client does not.
      if (!done && named !== null) this.names.drop(named, this.terms.book)
    } else if (statement !== null) this.#toldOf(statement, sent, done)
    else if (kind === 'parse' && !done) this.#unnamedLost(sent)
  }

  /** What was sent later of the same statement says what becomes of it in the end. */
  #toldOf(statement: Statement, { kind, named }: Sent, done: boolean): void {
    const { connection } = this
    const isLast = !this.#sent.some((later) => later.statement === statement && changes(later))
    if (kind === 'close') {
      // One that was gone past leaves the statement as it was.
      if (isLast && !done && !connection.isDoubtful(statement)) connection.confirmed(statement)
      return
    }
    if (!done) connection.lost(statement, isLast)
    else if (isLast) connection.confirmed(statement)
    else connection.certain(statement)
    if (done || named === null) return
    this.terms.book.retire(statement)
    this.names.drop(named, this.terms.book)
  }

  /** A Parse of the unnamed statement had no success; one behind it may have. */
  #unnamedLost({ own }: Sent): void {
    if (this.#sent.some(isUnnamed)) return
    if (!own) this.names.unnamed = 'none'
    this.connection.unnamedOf = null
  }

  /** A statement is bound, of which the plan may turn out to be stale. */
  binds(statement: Statement): void {
    if (this.#talk.ledger.owed === 0) this.#bound.clear()
    if (this.#bound.size < BOUND_MAX) this.#bound.add(statement)
  }

  /** Whoever prepares the same text again after this error wants a plan of the tables of today. */
  failed(error: Uint8Array): void {
    if (this.#bound.size === 0 || errorField(error, 'R') !== STALE_PLAN_ROUTINE) return
    for (const statement of this.#bound) this.terms.book.retire(statement)
  }

  /** A command is complete, as its tag tells: some take away what was there, some leave it. */
  completed(tag: string): void {
    if (this.#state === null) return
    switch (tag) {
      case 'DISCARD ALL':
        this.names.dropAll(this.terms.book)
        this.connection.cleaned()
        return this.#unpin()
      case 'DEALLOCATE ALL':
        this.names.dropAll(this.terms.book)
        return this.connection.emptied()
      // Seen in the text before, but for texts that are not what they look like.
      case 'LISTEN':
        return this.#pin('listen')
      case 'LOAD':
        return this.#pin('load')
      case 'PREPARE':
        return this.#pin('prepare')
    }
  }

  reported(name: string, value: string): void {
    if (this.#state === null) return
    this.#state.parameters.set(name, value)
    this.connection.changed()
  }

  /** Ties the client to its connection; what to tell it where that is refused, else null. */
  tie(reason: PinReason): Refused | null {
    if (!this.terms.strict) {
      this.#pin(reason)
      return null
    }
    this.terms.account.pinsRefused += 1
    return refusals.needsOwn(reason)
  }

  #pin(reason: PinReason): void {
    if (this.#pinned !== null) return
    const { account } = this.terms
    this.#pinned = account
    account.pinned += 1
    account.pins[reason] += 1
  }

  #unpin(): void {
    if (this.#pinned === null) return
    this.#pinned.pinned -= 1
    this.#pinned = null
  }

  reports(name: string): boolean {
    return this.#state !== null && isFollowed(name, this.#state.parameters)
  }
  get escapes(): boolean {
    return this.#state?.parameters.get('standard_conforming_strings') === 'off'
  }
  get hasUnreported(): boolean {
    return (this.#state?.shared.unreported.size ?? 0) > 0
  }
}
