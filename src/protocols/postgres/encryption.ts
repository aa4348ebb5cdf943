/** What a client and the gateway settle about encryption before anything else is said. */
import type { EncryptionTerms, Refused } from '../protocol.ts'
import { SSL_REQUEST } from './startup.ts'

/** Answers to a request for encryption: one byte, before any message. */
export const GRANTED = Uint8Array.of(0x53)
export const NOT_GRANTED = Uint8Array.of(0x4e)

/** The first byte of a TLS handshake: no startup packet is so long that it begins with it. */
export const TLS_HANDSHAKE = 0x16

export const UNENCRYPTED: Refused = {
  code: '28000',
  message: 'this gateway takes encrypted connections only, and this one is not',
  hint: 'Connect with sslmode=require, or stronger.',
}

/** Requests that a client may make: one for each kind of encryption. */
const REQUESTS_MAX = 2

export class Encryption {
  readonly #terms: EncryptionTerms | undefined
  readonly #offered: boolean
  #requests = 0
  /** The client has been told to begin, and has not begun. */
  #granted = false
  /** What is read now came encrypted. */
  #secured = false

  constructor(terms: EncryptionTerms | undefined) {
    this.#terms = terms
    this.#offered = terms !== undefined && terms.clients !== 'none'
  }

  /** True where a first packet with this byte is the beginning of TLS, without any request. */
  beginsAtOnce(first: number | undefined): boolean {
    return first === TLS_HANDSHAKE && this.#offered && !this.#secured && this.#requests === 0
  }

  /** Judges a request; `more`: other bytes came with it. */
  asked(code: number, more: boolean): 'granted' | 'refused' | { readonly flaw: string } {
    // Bytes behind the request would come from somebody who did not wait for the answer.
    if (more) return { flaw: 'data follow a request for encryption' }
    if (this.#secured) return { flaw: 'encryption is asked for on an encrypted connection' }
    this.#requests += 1
    if (this.#requests > REQUESTS_MAX) return { flaw: 'encryption is asked for again and again' }
    this.#granted = code === SSL_REQUEST && this.#offered
    return this.#granted ? 'granted' : 'refused'
  }

  /** True once where the client is to begin now. */
  takeGrant(): boolean {
    const granted = this.#granted
    this.#granted = false
    return granted
  }

  secured(): void {
    this.#secured = true
  }

  /** True where a client without encryption must be refused; it is counted then. */
  lacking(): boolean {
    if (this.#secured || this.#terms?.clients !== 'required') return false
    this.#terms.unencrypted()
    return true
  }
}
