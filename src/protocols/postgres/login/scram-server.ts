/** SCRAM-SHA-256 as the side that is logged in to: asks for a proof of the password. */
import { randomBytes } from 'node:crypto'
import type { Refused } from '../../protocol.ts'
import {
  BINDING,
  equal,
  fromBase64,
  SCRAM,
  SCRAM_KEY_BYTES,
  SCRAM_PLUS,
  type Verifier,
} from './scram.ts'

const NONCE_BYTES = 18

/** Printable ASCII without the comma. */
const NONCE = String.raw`[\x21-\x2b\x2d-\x7e]+`
const CLIENT_FIRST = new RegExp(
  `^(n|y|p=([A-Za-z0-9.-]+)),(a=[^,]*)?,((m=[^,]*,)?n=[^,]*,r=(${NONCE})(?:,[A-Za-z]=[^,]*)*)$`,
)
const CLIENT_FINAL = new RegExp(
  `^(c=([A-Za-z0-9+/=]+),r=(${NONCE})(?:,[A-Za-oq-z]=[^,]*)*),p=([A-Za-z0-9+/=]+)$`,
)

/** What follows from words of the client. `wrong`: all is well but the proof. */
export type ScramStep =
  | { readonly kind: 'say'; readonly words: string }
  | { readonly kind: 'proved'; readonly words: string }
  | { readonly kind: 'wrong' }
  | { readonly kind: 'refused'; readonly refused: Refused }

interface ScramServerOptions {
  readonly verifier: Verifier
  /** Hash of our certificate; null without TLS. */
  readonly binding: Uint8Array | null
  /** Only for tests: our half of the nonce, else a random one. */
  readonly nonce?: string
}

export class ScramServer {
  readonly #verifier: Verifier
  readonly #binding: Uint8Array | null
  readonly #ownNonce: string
  #nonce = ''
  /** What the client must repeat: its header, and the hash of the certificate that it saw. */
  #bound = Buffer.alloc(0)
  #spoken = ''

  constructor({ verifier, binding, nonce }: ScramServerOptions) {
    this.#verifier = verifier
    this.#binding = binding
    this.#ownNonce = nonce ?? randomBytes(NONCE_BYTES).toString('base64')
  }

  /** The best first. */
  get mechanisms(): readonly string[] {
    return this.#binding === null ? [SCRAM] : [SCRAM_PLUS, SCRAM]
  }

  /** Answers the client's first words with salt and iterations. */
  challenge(mechanism: string, words: string): ScramStep {
    if (!this.mechanisms.includes(mechanism)) {
      return refused('08P01', 'client selected an invalid SASL authentication mechanism')
    }
    const [, flag = '', type, identity, bare = '', extension, nonce = ''] =
      CLIENT_FIRST.exec(words) ?? []
    if (flag === '') return malformed('its first message cannot be read')
    if (extension !== undefined) {
      return refused('0A000', 'client requires an unsupported SCRAM extension')
    }
    if (identity !== undefined) {
      const message = 'client uses authorization identity, but it is not supported'
      return refused('0A000', message)
    }
    const flaw = this.#bindingFlaw(mechanism, flag, type)
    if (flaw !== null) return flaw
    const certificate = mechanism === SCRAM_PLUS ? this.#binding : null
    this.#bound = Buffer.concat([Buffer.from(`${flag},,`), certificate ?? new Uint8Array(0)])
    this.#nonce = `${nonce}${this.#ownNonce}`
    const { salt, iterations } = this.#verifier
    const saltText = Buffer.from(salt).toString('base64')
    const first = `r=${this.#nonce},s=${saltText},i=${iterations}`
    this.#spoken = `${bare},${first}`
    return { kind: 'say', words: first }
  }

  /** Checks the proof in the client's last words. */
  check(words: string): ScramStep {
    const [, withoutProof = '', bound = '', nonce = '', proofText = ''] =
      CLIENT_FINAL.exec(words) ?? []
    const proof = fromBase64(proofText)
    const seen = fromBase64(bound)
    if (this.#nonce === '' || seen === null || proof?.length !== SCRAM_KEY_BYTES) {
      return malformed('its last message cannot be read')
    }
    if (!equal(Buffer.from(nonce), Buffer.from(this.#nonce))) {
      return refused('08P01', 'invalid SCRAM response', 'Nonce does not match.')
    }
    if (!equal(seen, this.#bound)) return refused('28000', 'SCRAM channel binding check failed')
    const spoken = `${this.#spoken},${withoutProof}`
    // Both are made, so that a wrong proof takes as long as a right one.
    const proved = this.#verifier.isProvedBy(proof, spoken)
    const last = `v=${this.#verifier.signature(spoken)}`
    return proved ? { kind: 'proved', words: last } : { kind: 'wrong' }
  }

  #bindingFlaw(mechanism: string, flag: string, type: string | undefined): ScramStep | null {
    if (type !== undefined && mechanism !== SCRAM_PLUS) {
      return malformed('it selected SCRAM-SHA-256, but its message has channel binding data')
    }
    if (type === undefined && mechanism === SCRAM_PLUS) {
      return malformed('it selected SCRAM-SHA-256-PLUS, but its message has no channel binding')
    }
    if (type !== undefined && type !== BINDING) {
      return refused('08P01', `unsupported SCRAM channel-binding type "${type}"`)
    }
    if (flag === 'y' && this.#binding !== null) {
      const detail =
        'The client supports SCRAM channel binding but thinks the server does not. ' +
        'However, this server does support channel binding.'
      return refused('28000', 'SCRAM channel binding negotiation error', detail)
    }
    return null
  }
}

function refused(code: string, message: string, detail?: string): ScramStep {
  return { kind: 'refused', refused: { code, message, detail } }
}

function malformed(what: string): ScramStep {
  return refused('08P01', 'malformed SCRAM message', `The client speaks SCRAM wrongly: ${what}.`)
}
