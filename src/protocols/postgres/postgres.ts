/** PostgreSQL's protocol 3 behind the protocol interface. */
import type { Conversation, ConversationOptions, Protocol, Refused } from '../protocol.ts'
import { PostgresClientFlow } from './client-flow.ts'
import { errorResponse } from './messages.ts'
import { PostgresServerFlow } from './server-flow.ts'
import { backendTag, frontendTag } from './tags.ts'
import { Talk } from './talk.ts'

/** Length and code come before the key in a CancelRequest. */
const CANCEL_KEY_AT = 8

class PostgresConversation implements Conversation {
  readonly fromClient: PostgresClientFlow
  readonly fromServer: PostgresServerFlow
  readonly outlivesServer = false
  readonly #talk: Talk

  constructor(options: ConversationOptions) {
    this.#talk = new Talk(options)
    this.fromClient = new PostgresClientFlow(this.#talk, options)
    this.fromServer = new PostgresServerFlow(this.#talk, options)
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
  get cancelKey(): string {
    return this.#talk.cancelKey
  }
  get refusalTold(): boolean {
    return this.fromClient.refusalTold
  }

  refuse(refused: Refused): void {
    this.fromClient.refuse(refused)
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
  cancelTarget: (request) => Buffer.from(request.subarray(CANCEL_KEY_AT)).toString('hex'),
  converse: (options) => new PostgresConversation(options),
}
