/** PostgreSQL's protocol 3 behind the protocol interface. */
import type {
  Conversation,
  ConversationOptions,
  Protocol,
  Refused,
  SecuredOutcome,
  Wishes,
} from '../protocol.ts'
import { PostgresClientFlow } from './client-flow.ts'
import { greeting } from './door.ts'
import { postgresErrands, postgresRoleErrands } from './errands.ts'
import { IDLE } from './ledger.ts'
import { parameterStatus } from './login/answers.ts'
import { PROTOCOL_NEWEST as PROTOCOL_LONG_KEYS } from './login/startup-parameters.ts'
import { errorResponse } from './messages.ts'
import { PostgresServerFlow } from './server-flow.ts'
import { PostgresSharing } from './sharing/sharing.ts'
import { cancelRequest, cancelTarget, numberAt } from './startup.ts'
import { backendTag, frontendTag } from './tags.ts'
import { Talk } from './talk.ts'

class PostgresConversation implements Conversation {
  readonly fromClient: PostgresClientFlow
  readonly fromServer: PostgresServerFlow
  readonly outlivesServer = false
  readonly sharing: PostgresSharing | null
  readonly #talk: Talk

  constructor(options: ConversationOptions) {
    this.#talk = new Talk(options)
    this.fromClient = new PostgresClientFlow(this.#talk, options)
    this.fromServer = new PostgresServerFlow(this.#talk, options)
    const { borrower } = this.#talk
    const flows = { fromClient: this.fromClient, fromServer: this.fromServer }
    this.sharing = borrower === null ? null : new PostgresSharing(this.#talk, borrower, flows)
  }

  get user(): string {
    return this.#talk.user
  }
  get database(): string {
    return this.#talk.database
  }
  get applicationName(): string {
    return this.#talk.applicationName
  }
  get loggedIn(): boolean {
    return this.#talk.loggedIn
  }
  get routable(): boolean {
    return this.fromClient.routable
  }
  get prepares(): boolean {
    return this.#talk.prepares
  }
  get idle(): boolean {
    return this.#talk.ledger.quiet
  }
  get owes(): boolean {
    return this.#talk.ledger.owed > 0
  }
  get awaitsServer(): boolean {
    return this.#talk.ledger.awaited
  }
  get midMessage(): boolean {
    return this.fromServer.midMessage
  }
  get atRest(): boolean {
    const talk = this.#talk
    const idle = talk.loggedIn && talk.ledger.quiet && !talk.swallowing && !talk.leaving
    return idle && this.fromClient.atRest && this.fromServer.atRest
  }
  get cancelKey(): string {
    return this.#talk.cancelKey
  }
  get startup(): Uint8Array {
    return this.fromClient.startup
  }
  get takesLongKeys(): boolean {
    return this.startup.length > 8 && numberAt(this.startup, 4) >= PROTOCOL_LONG_KEYS
  }
  get departed(): boolean {
    return this.#talk.lent && this.#talk.ledger.left
  }
  get awaitsClient(): boolean {
    const { ledger } = this.#talk
    return this.fromClient.midMessage || ledger.copying || ledger.unsynced > 0 || ledger.skipping
  }
  get leaves(): 'idle' | 'transaction' | null {
    const { ledger, loggedIn, refusals, toServerDue } = this.#talk
    if (!loggedIn || ledger.owed > 0 || this.awaitsClient || !this.fromServer.atRest) return null
    if (refusals.size > 0 || toServerDue.length > 0) return null
    return ledger.status === IDLE ? 'idle' : 'transaction'
  }
  get refusalTold(): boolean {
    return this.fromClient.refusalTold
  }

  secured({ refused, certificate }: SecuredOutcome): void {
    this.#talk.certificate = certificate
    if (refused !== null) this.refuse(refused)
    this.fromClient.encryption.secured()
    this.#talk.binding.secured = true
  }

  rewatch(wishes: Wishes): void {
    this.#talk.rewatch(wishes)
    this.fromClient.rewatch(wishes)
    this.fromServer.rewatch(wishes)
  }

  refuse(refused: Refused): void {
    this.fromClient.refuse(refused)
  }

  correct(told: ReadonlyMap<string, string>, actual: ReadonlyMap<string, string>): void {
    for (const [name, value] of actual) {
      if (told.get(name) !== value) this.#talk.tellClient(parameterStatus(name, value))
    }
  }

  admit(parameters: ReadonlyMap<string, string>, key: Uint8Array): void {
    const talk = this.#talk
    talk.loggedIn = true
    talk.ledger.status = IDLE
    talk.borrower?.admit(parameters)
    talk.cancelKey = Buffer.from(key).toString('hex')
    talk.tellClient(greeting(parameters, key))
  }

  farewell(refused: Refused): Uint8Array | null {
    const { midMessage, endedInError } = this.fromServer
    if (midMessage || endedInError || this.#talk.ledger.left) return null
    return errorResponse(refused, 'FATAL')
  }
}

export const POSTGRES: Protocol = {
  name: 'postgres',
  tag: (from, name) => (from === 'client' ? frontendTag(name) : backendTag(name)),
  cancelTarget,
  converse: (options) => new PostgresConversation(options),
  errands: postgresErrands,
  roleErrands: postgresRoleErrands,
  cancelRequest,
}
