/**
 * Carries the messages of one client to whichever connection it has: gives prepared statements the
 * names that the servers know, prepares them where they are missing, and answers in the server's
 * stead what needs none. What is to be written is put into the parcel.
 */
import type { Refused } from '../../protocol.ts'
import { denied } from '../answers.ts'
import { message } from '../messages.ts'
import { BACKEND, FRONTEND } from '../tags.ts'
import type { Talk } from '../talk.ts'
import type { Borrower, Sent } from './borrower.ts'
import { nameIn, statementAt, textEnd } from './heads.ts'
import { deallocated, lastingEffect, type PinReason } from './lasting-effects.ts'
import type { Named } from './names.ts'
import { parcel } from './parcel.ts'
import * as refusals from './refusals.ts'
import type { Statement } from './statements.ts'

const EMPTY: Uint8Array = new Uint8Array(0)
const HEADER_BYTES = 5
/** ASCII 'E', as ReadyForQuery gives it. */
const FAILED = 0x45
/** PostgreSQL ends a connection on which the end of a copy is longer. */
const SMALL_BYTES_MAX = 10_000
const PARSE_COMPLETE = message(BACKEND.ParseComplete, EMPTY)
const CLOSE_COMPLETE = message(BACKEND.CloseComplete, EMPTY)
const DEALLOCATED = message(BACKEND.CommandComplete, Buffer.from('DEALLOCATE\0'))
const UNNAMED: Sent = { kind: 'parse', statement: null, own: false, named: null }
const OWN_UNNAMED: Sent = { ...UNNAMED, own: true }
const PROBE: Sent = { ...UNNAMED, kind: 'probe' }
/** Of a statement that is prepared only to see whether one can be. */
const PROBE_NAME = Buffer.from('postern_probe')

export class Carrier {
  /** The rest of a message of which only the beginning was carried is not to be written. */
  dropsRest = false
  readonly #talk: Talk
  readonly #borrower: Borrower
  /** The message: what there is of it stands from `#from` to `#to`, and all of it is `#total`. */
  #tag = 0
  #bytes: Uint8Array = EMPTY
  #from = 0
  #to = 0
  #total = 0

  constructor(talk: Talk, borrower: Borrower) {
    this.#talk = talk
    this.#borrower = borrower
  }

  /** Carries a whole message that stands in `bytes`. */
  carry(tag: number, bytes: Uint8Array, from: number, to: number): void {
    this.#put(tag, bytes, from, to, to - from)
  }

  /** Carries the beginning of a message that is too long to come whole; its names are there. */
  carryHead(tag: number, begun: Uint8Array, total: number): void {
    this.#put(tag, begun, 0, begun.length, total)
  }

  #put(tag: number, bytes: Uint8Array, from: number, to: number, total: number): void {
    this.dropsRest = false
    this.#tag = tag
    this.#bytes = bytes
    this.#from = from
    this.#to = to
    this.#total = total
    this.#message()
    // An idle session must not hold on to the last of what it moved.
    this.#bytes = EMPTY
  }

  get #whole(): boolean {
    return this.#to - this.#from === this.#total
  }

  #message(): void {
    const { ledger, swallowing } = this.#talk
    const tag = this.#tag
    if (swallowing && (tag !== FRONTEND.Sync || !this.#talk.endSwallowing())) {
      this.dropsRest = true
      return
    }
    if (ledger.skipping || ledger.copying) return this.#pass()
    switch (tag) {
      case FRONTEND.Query:
        return this.#query()
      case FRONTEND.Parse:
        return this.#parse()
      case FRONTEND.Bind:
      case FRONTEND.Describe:
        return this.#use()
      case FRONTEND.Close:
        return this.#close()
      case FRONTEND.PasswordMessage:
      case FRONTEND.Terminate:
        this.dropsRest = true
        return
      case FRONTEND.Execute:
      case FRONTEND.FunctionCall:
        return this.#pass()
      default:
        return this.#follow()
    }
  }

  #pass(): void {
    this.#talk.ledger.note(this.#tag, this.#total)
    parcel.add(this.#bytes, this.#from, this.#to)
  }

  /** Sync, Flush, and messages of a copy: where nothing is under way they reach no server. */
  #follow(): void {
    const tag = this.#tag
    if (this.#talk.ledger.quiet) {
      this.dropsRest = true
      if (tag === FRONTEND.Sync) this.#talk.answer(EMPTY, true)
      return
    }
    const ends = tag === FRONTEND.CopyDone || tag === FRONTEND.CopyFail
    if (ends && this.#total > SMALL_BYTES_MAX) this.#borrower.tie('unread')
    this.#pass()
  }

  /** Notes a message that is not read but streams past; false where it reaches no server. */
  streams(tag: number, total: number): boolean {
    this.#put(tag, EMPTY, 0, 0, total)
    return !this.dropsRest
  }

  /** A short cut for one Query as it stands; false where it cannot be written so. */
  query(bytes: Uint8Array): boolean {
    const { ledger, swallowing } = this.#talk
    if (swallowing || ledger.skipping || ledger.copying) return false
    if (lastingEffect(bytes, HEADER_BYTES, bytes.length - 1, this.#borrower) !== null) return false
    this.#forgetUnnamed()
    ledger.note(FRONTEND.Query)
    return true
  }

  #query(): void {
    const effect = this.#effect(this.#from + HEADER_BYTES, this.#to - 1)
    if (effect === 'prepare' && this.#deallocate()) return
    if (effect !== null && !this.#mayTie(effect)) return
    this.#forgetUnnamed()
    this.#pass()
  }

  /** What is not there whole cannot be looked at. */
  #effect(from: number, to: number): PinReason | null {
    return this.#whole ? lastingEffect(this.#bytes, from, to, this.#borrower) : 'unread'
  }

  /** A simple query also takes the unnamed statement away. */
  #forgetUnnamed(): void {
    this.#borrower.names.unnamed = 'none'
    this.#borrower.connection.unnamedOf = null
  }

  /** Drivers take the protocol's statements away by SQL, under names that no server knows. */
  #deallocate(): boolean {
    const { names, terms } = this.#borrower
    const name = deallocated(nameIn(this.#bytes, this.#from + HEADER_BYTES, this.#to - 1))
    const named = name === null ? undefined : names.find(name)
    if (named === undefined) return false
    if (this.#isFailed) {
      // As everything but the end of the transaction, whatever the server knows of the name.
      this.#pass()
      return true
    }
    names.drop(named, terms.book)
    this.#talk.answer(DEALLOCATED, true)
    return true
  }

  #parse(): void {
    const from = this.#from + HEADER_BYTES
    const nameEnd = textEnd(this.#bytes, from, this.#to)
    if (nameEnd < 0) return this.#pass()
    if (nameEnd === from) return this.#parseUnnamed(nameEnd)
    const { names, terms } = this.#borrower
    const name = nameIn(this.#bytes, from, nameEnd)
    if (names.find(name) !== undefined) {
      return this.#isFailed
        ? this.#probe(nameEnd, PROBE)
        : this.#refuse(refusals.alreadyThere(name))
    }
    if (names.size >= terms.clientStatementsMax) {
      terms.account.statementsRefused += 1
      return this.#refuse(refusals.tooManyNames(terms.clientStatementsMax))
    }
    const statement = this.#statement(nameEnd)
    if (statement === null) {
      terms.account.statementsRefused += 1
      return this.#refuse(refusals.tooManyTexts(terms.statementBytesMax))
    }
    if (statement.effect !== null && !this.#mayTie(statement.effect)) {
      return terms.book.leave(statement)
    }
    const named = names.put(name, statement)
    if (this.#borrower.isUnsure(statement, name)) this.#closes(statement)
    else if (this.#borrower.connection.uses(statement, terms.serverStatementsMax)) {
      if (this.#mayFail)
        return this.#probe(nameEnd, { kind: 'probe', statement, own: false, named })
      const undo = (): void => names.drop(named, terms.book)
      return this.#talk.answer(PARSE_COMPLETE, false, undo)
    }
    this.#prepare(statement, named)
    if (!this.#whole) this.#rename(from, nameEnd, statement)
  }

  /** The server takes no statements but those that end the transaction. */
  get #isFailed(): boolean {
    const { ledger } = this.#talk
    return ledger.status === FAILED && ledger.owed === 0
  }

  /**
   * A transaction has failed, or may have by the time that the server reads this, because what was
   * sent before this pipeline is not answered yet.
   */
  get #mayFail(): boolean {
    const { ledger } = this.#talk
    return ledger.status === FAILED || ledger.behind
  }

  /** Has the server itself say whether it takes a statement that it has prepared already. */
  #probe(nameEnd: number, sent: Sent): void {
    if (!this.#whole) return this.#pass()
    this.#closes({ name: PROBE_NAME })
    this.#borrower.send(sent)
    parcel.addHeader(FRONTEND.Parse, 4 + PROBE_NAME.length + this.#to - nameEnd)
    parcel.add(PROBE_NAME)
    parcel.add(this.#bytes, nameEnd, this.#to)
  }

  #parseUnnamed(nameEnd: number): void {
    const { names, connection } = this.#borrower
    const effect = this.#effect(nameEnd + 1, this.#sqlEnd(nameEnd))
    if (effect !== null && !this.#mayTie(effect)) return
    if (this.#whole) names.keepUnnamed(this.#bytes, this.#from, this.#to)
    else names.unnamed = 'here'
    connection.unnamedOf = this.#borrower
    this.#borrower.send(UNNAMED)
    parcel.add(this.#bytes, this.#from, this.#to)
  }

  #sqlEnd(nameEnd: number): number {
    const end = textEnd(this.#bytes, nameEnd + 1, this.#to)
    return end < 0 ? this.#to : end
  }

  /** The statement of a Parse message, of which the text begins behind `nameEnd`. */
  #statement(nameEnd: number): Statement | null {
    const { book } = this.#borrower.terms
    // What did not come whole is nobody else's, and is not prepared again.
    if (!this.#whole) return book.add(crypto.randomUUID(), 'unread', () => EMPTY)
    const { buffer, byteOffset } = this.#bytes
    const body = Buffer.from(buffer, byteOffset + nameEnd, this.#to - nameEnd)
    const key = `${this.#borrower.dialect}${body.toString('latin1')}`
    const known = book.share(key)
    if (known !== null) return known
    const effect = this.#effect(nameEnd + 1, this.#sqlEnd(nameEnd))
    return book.add(key, effect, (name) => message(FRONTEND.Parse, Buffer.concat([name, body])))
  }

  /** Has the connection prepare a statement: for the client by its name, or of our own accord. */
  #prepare(statement: Statement, named: Named | null): void {
    const { connection, terms } = this.#borrower
    const evicted = connection.evicted(terms.serverStatementsMax)
    if (evicted !== null) {
      terms.account.evictions += 1
      this.#borrower.send({ kind: 'close', statement: evicted, own: true, named: null })
      addClose(evicted.name)
    }
    if (connection.isDoubtful(statement)) this.#closes(statement)
    connection.prepared(statement)
    const own = named === null
    if (own) terms.account.prepares += 1
    this.#borrower.send({ kind: 'parse', statement, own, named })
    parcel.add(statement.parse)
  }

  /** Closes a statement that is to be prepared anew; where it is not there that is no error. */
  #closes({ name }: Pick<Statement, 'name'>): void {
    this.#borrower.send({ kind: 'close', statement: null, own: true, named: null })
    addClose(name)
  }

  /** Bind, or Describe: the statement is prepared before, where it is not. */
  #use(): void {
    const tag = this.#tag
    const from = statementAt(tag, this.#bytes, this.#from, this.#to)
    const end = from < 0 ? -1 : textEnd(this.#bytes, from, this.#to)
    if (end < 0) return this.#pass()
    if (end === from) {
      return this.#useUnnamed() ? this.#pass() : this.#refuse(refusals.unknown(''))
    }
    const { names, connection, terms } = this.#borrower
    const name = nameIn(this.#bytes, from, end)
    const statement = names.find(name)?.statement
    if (statement === undefined) return this.#refuse(refusals.unknown(name))
    const isUnsure = this.#borrower.isUnsure(statement, name)
    if (isUnsure || !connection.uses(statement, terms.serverStatementsMax)) {
      if (statement.parse.length === 0) return this.#refuse(refusals.unknown(name))
      if (isUnsure) this.#closes(statement)
      this.#prepare(statement, null)
    }
    this.#borrower.binds(statement)
    this.#talk.ledger.note(tag)
    this.#rename(from, end, statement)
  }

  /** Writes the message with the name that the servers know, in the place of the client's. */
  #rename(from: number, end: number, { name }: Statement): void {
    parcel.addHeader(this.#tag, this.#total - 1 + name.length - (end - from))
    parcel.add(this.#bytes, this.#from + HEADER_BYTES, from)
    parcel.add(name)
    parcel.add(this.#bytes, end, this.#to)
  }

  /** True where the connection has the client's unnamed statement, or gets it. */
  #useUnnamed(): boolean {
    const { names, connection, terms } = this.#borrower
    if (names.unnamed === 'none') return false
    if (connection.unnamedOf === this.#borrower) return true
    if (names.unnamed === 'here') return false
    connection.unnamedOf = this.#borrower
    terms.account.prepares += 1
    this.#borrower.send(OWN_UNNAMED)
    parcel.add(names.unnamedParse)
    return true
  }

  /** A statement that one client closes is of use to others; a portal is the client's alone. */
  #close(): void {
    const from = statementAt(FRONTEND.Close, this.#bytes, this.#from, this.#to)
    const end = from < 0 ? -1 : textEnd(this.#bytes, from, this.#to)
    if (end < 0) return this.#pass()
    const { names, terms } = this.#borrower
    const undo =
      end === from ? names.closeUnnamed() : names.close(nameIn(this.#bytes, from, end), terms.book)
    this.#talk.answer(CLOSE_COMPLETE, false, undo)
  }

  #mayTie(reason: PinReason): boolean {
    const refused = this.#borrower.tie(reason)
    if (refused !== null) this.#refuse(refused)
    return refused === null
  }

  #refuse(refused: Refused): void {
    this.dropsRest = true
    // Only its type is looked at, and all of it need not be there.
    parcel.add(denied(this.#talk, message(this.#tag, EMPTY), refused))
  }
}

/** Close of a statement. */
function addClose(name: Uint8Array): void {
  parcel.addHeader(FRONTEND.Close, 4 + 1 + name.length + 1)
  parcel.addByte(0x53)
  parcel.add(name)
  parcel.addByte(0)
}
