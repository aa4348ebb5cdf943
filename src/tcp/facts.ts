/** What plugins may know of one session. */
import { addressesOf } from '../base/address.ts'
import type { AddressPair, SessionFacts } from '../hooks/step.ts'
import type { Conversation } from '../protocols/protocol.ts'

/** Where sessions are, and whose: no reload changes that, so they may all keep one of it. */
export interface Place {
  /** Prefix of session ids, unique to a listener and its start. */
  readonly instance: string
  readonly group: string
  readonly protocol: string
}

/** The client's socket of the moment, as far as its addresses go. */
interface Addressed {
  readonly socket: Parameters<typeof addressesOf>[0]
}

/** One for all: an idle session shall be small. */
const NO_BYTES: Uint8Array = new Uint8Array(0)

/** The server's end, as far as plugins may know of it. */
interface Served {
  readonly addresses: AddressPair
  readonly upstream: { readonly block: string }
}

/** Where facts are read from. */
export interface FactSources {
  readonly number: number
  readonly place: Place
  readonly client: Addressed
  readonly server: Served
  readonly conversation: Pick<Conversation, 'user' | 'database' | 'applicationName'>
}

export class Facts implements SessionFacts {
  tls: SessionFacts['tls'] = null
  lastRequest = NO_BYTES
  readonly #sources: FactSources
  #client: AddressPair | null = null
  #memory: SessionFacts['memory'] | null = null

  constructor(sources: FactSources) {
    this.#sources = sources
  }

  /** Made for the first plugin that asks: most sessions have none. */
  get memory(): SessionFacts['memory'] {
    this.#memory ??= new Map()
    return this.#memory
  }
  get id(): string {
    return `${this.#sources.place.instance}-${this.#sources.number}`
  }
  get client(): AddressPair {
    this.#client ??= addressesOf(this.#sources.client.socket)
    return this.#client
  }
  get server(): AddressPair {
    return this.#sources.server.addresses
  }
  get group(): string {
    return this.#sources.place.group
  }
  get block(): string {
    return this.#sources.server.upstream.block
  }
  get protocol(): string {
    return this.#sources.place.protocol
  }
  get user(): string {
    return this.#sources.conversation.user
  }
  get database(): string {
    return this.#sources.conversation.database
  }
  get applicationName(): string {
    return this.#sources.conversation.applicationName
  }
}
