/**
 * What TLS on the way does to SCRAM. By SCRAM-SHA-256-PLUS a client proves to the database that
 * both see the same certificate, which they do not where TLS ends at the gateway. So a client
 * without TLS is not offered it, and one that has used it in vain is told the ways out.
 * Source: RFC 5802, sections 6 and 9; PostgreSQL, "SASL Authentication".
 */
import type { EncryptionTerms } from '../protocol.ts'
import { errorField, withFields } from './messages.ts'
import { HEADER_BYTES } from './reader.ts'
import { numberAt } from './startup.ts'
import { BACKEND } from './tags.ts'

const PLUS = 'SCRAM-SHA-256-PLUS'
const AUTHENTICATION_SASL = 10
const MECHANISMS_AT = HEADER_BYTES + 4
/** An offer with PLUS in it has at least its name and two zero bytes. */
const OFFER_BYTES_MIN = MECHANISMS_AT + PLUS.length + 2
/** As much of a client's first answer as tells what it has chosen. */
export const CHOICE_BYTES = HEADER_BYTES + PLUS.length + 1
/** PostgreSQL's code for a failed check of the binding: invalid_authorization_specification. */
const CHECK_FAILED = '28000'

const DETAIL =
  'TLS ends at the gateway: the client is bound to the certificate of the gateway, ' +
  'and the database to its own.'
const HINT =
  'Connect with channel_binding=disable, or without TLS on one of the two sides; or give the ' +
  'gateway the certificate and key of the database (certFile, keyFile), or have the gateway ' +
  'itself check clients (servers.<group>.auth).'

const encoder = new TextEncoder()
const decoder = new TextDecoder('latin1')

export class ChannelBinding {
  /** False where no server is spoken to by TLS: none then offers a binding. */
  readonly #servers: boolean
  /** The client has TLS. */
  secured = false
  /** `offer`: awaited from the server; `choice`: from the client. */
  #state: 'offer' | 'choice' | 'bound' | 'unbound'

  constructor(terms: EncryptionTerms | undefined) {
    this.#servers = terms?.servers ?? false
    this.#state = this.#servers ? 'offer' : 'unbound'
  }

  /** True where a message of the server may have to be rewritten. */
  concerns(tag: number): boolean {
    if (tag === BACKEND.ErrorResponse) return this.#state === 'bound'
    return tag === BACKEND.Authentication && this.#state === 'offer' && !this.secured
  }

  /** The same, for one that is so long. */
  concernsAll(tag: number, total: number): boolean {
    return this.concerns(tag) && (tag === BACKEND.ErrorResponse || total >= OFFER_BYTES_MIN)
  }

  /** True where the client's next answer tells whether it binds. */
  get awaitsChoice(): boolean {
    return this.#servers && (this.#state === 'offer' || this.#state === 'choice')
  }

  /** The first answer of the client in its login, or the beginning of it. */
  chosen(answer: Uint8Array): void {
    const mechanism = decoder.decode(answer.subarray(HEADER_BYTES))
    this.#state = mechanism === `${PLUS}\0` ? 'bound' : 'unbound'
  }

  /** The server has let the client in, so that no error speaks of the binding any more. */
  settled(): void {
    this.#state = 'unbound'
  }

  /** The message as the client gets it: the same bytes where nothing is changed. */
  rewritten(message: Uint8Array): Uint8Array {
    if (message[0] === BACKEND.Authentication) return this.#withoutPlus(message)
    if (errorField(message, 'C') !== CHECK_FAILED) return message
    return withFields(message, { D: DETAIL, H: HINT })
  }

  #withoutPlus(message: Uint8Array): Uint8Array {
    if (numberAt(message, HEADER_BYTES) !== AUTHENTICATION_SASL) return message
    this.#state = 'choice'
    const offered = decoder.decode(message.subarray(MECHANISMS_AT)).split('\0').filter(Boolean)
    const others = offered.filter((mechanism) => mechanism !== PLUS)
    if (others.length === offered.length || others.length === 0) return message
    const list = encoder.encode(`${others.join('\0')}\0\0`)
    const rewritten = new Uint8Array(MECHANISMS_AT + list.length)
    rewritten.set(message.subarray(0, MECHANISMS_AT))
    rewritten.set(list, MECHANISMS_AT)
    new DataView(rewritten.buffer).setUint32(1, rewritten.length - 1)
    return rewritten
  }
}
