/** SCRAM-SHA-256 as the side that logs in: proves the password, and has the server prove it too. */
import { randomBytes } from 'node:crypto'
import {
  BINDING,
  clientKey,
  equal,
  fromBase64,
  hmac,
  SCRAM,
  SCRAM_ITERATIONS_MAX,
  SCRAM_PLUS,
  saltedPassword,
  serverKey,
  sha256,
  xor,
} from './scram.ts'
import type { Secret } from './secret.ts'

const NONCE_BYTES = 18
/** A server has one salt for a user; more are kept only for databases behind one address. */
const KEYS_KEPT_MAX = 8

const SERVER_FIRST =
  /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=([1-9]\d{0,9})(?:,[A-Za-z]=[^,]*)*$/s
const SERVER_FINAL = /^v=([A-Za-z0-9+/=]+)(?:,[A-Za-z]=[^,]*)*$/s

interface Keys {
  readonly client: Buffer
  readonly stored: Buffer
  readonly server: Buffer
}

/**
 * A password and the keys that were made of it, by salt and iterations, so that a pool which logs
 * in again and again does the slow step once. One belongs to each pool.
 */
export class Credentials {
  readonly #password: Secret
  readonly #kept = new Map<string, Keys>()

  constructor(password: Secret) {
    this.#password = password
  }

  /** Null where there is no password: an empty one cannot log in to PostgreSQL. */
  get password(): string | null {
    return this.#password.isEmpty ? null : this.#password.reveal()
  }

  keys(salt: Buffer, iterations: number): Keys {
    const name = `${iterations}:${salt.toString('base64')}`
    const kept = this.#kept.get(name)
    if (kept !== undefined) return kept
    const salted = saltedPassword(this.#password.reveal(), salt, iterations)
    const client = clientKey(salted)
    const made = { client, stored: sha256(client), server: serverKey(salted) }
    const [oldest] = this.#kept.keys()
    if (this.#kept.size >= KEYS_KEPT_MAX && oldest !== undefined) this.#kept.delete(oldest)
    this.#kept.set(name, made)
    return made
  }
}

/** What follows from words of the server: our next words, none for its last, or why it failed. */
export type ScramReply =
  | { readonly kind: 'say'; readonly words: string }
  | { readonly kind: 'verified' }
  | { readonly kind: 'failed'; readonly sentence: string }

interface ScramClientOptions {
  readonly credentials: Credentials
  /** Mechanisms that the server offers. */
  readonly offered: readonly string[]
  /** Hash of the server's certificate; null without TLS. */
  readonly binding: Uint8Array | null
  /** Only for tests: the nonce, else a random one. */
  readonly nonce?: string
  /** Only for tests: the name in our first words, which PostgreSQL wants empty. */
  readonly name?: string
}

export class ScramClient {
  readonly mechanism: string
  /** The first words. */
  readonly first: string
  readonly #credentials: Credentials
  readonly #bound: string
  readonly #bare: string
  readonly #nonce: string
  #expected: Buffer | null = null

  constructor({ credentials, offered, binding, nonce, name = '' }: ScramClientOptions) {
    const plus = binding !== null && offered.includes(SCRAM_PLUS)
    // 'y' tells a server which does offer binding that somebody between us took the offer away.
    const header = plus ? `p=${BINDING},,` : binding === null ? 'n,,' : 'y,,'
    this.mechanism = plus ? SCRAM_PLUS : SCRAM
    this.#credentials = credentials
    this.#nonce = nonce ?? randomBytes(NONCE_BYTES).toString('base64')
    this.#bare = `n=${name},r=${this.#nonce}`
    this.#bound = Buffer.concat([Buffer.from(header), plus ? binding : Buffer.alloc(0)]).toString(
      'base64',
    )
    this.first = `${header}${this.#bare}`
  }

  /** Answers the server's first words with the proof. */
  prove(challenge: string): ScramReply {
    const [, nonce = '', saltText = '', count = ''] = SERVER_FIRST.exec(challenge) ?? []
    const salt = fromBase64(saltText)
    if (salt === null || salt.length === 0) return failed('its first words are malformed')
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length) {
      return failed('it does not answer our nonce')
    }
    const iterations = Number(count)
    if (iterations > SCRAM_ITERATIONS_MAX) {
      return failed(`it asks for ${iterations} iterations, ${SCRAM_ITERATIONS_MAX} are permitted`)
    }
    const keys = this.#credentials.keys(salt, iterations)
    const withoutProof = `c=${this.#bound},r=${nonce}`
    const spoken = `${this.#bare},${challenge},${withoutProof}`
    this.#expected = hmac(keys.server, spoken)
    const proof = xor(keys.client, hmac(keys.stored, spoken)).toString('base64')
    return { kind: 'say', words: `${withoutProof},p=${proof}` }
  }

  /** Checks the server's last words, which prove that it has the password's verifier. */
  verify(last: string): ScramReply {
    if (last.startsWith('e=')) return failed('it refuses the proof')
    const signature = fromBase64(SERVER_FINAL.exec(last)?.[1] ?? '')
    if (signature === null || this.#expected === null) {
      return failed('its last words are malformed')
    }
    if (!equal(signature, this.#expected)) {
      return failed('its signature is wrong, so it does not know the password')
    }
    return { kind: 'verified' }
  }
}

function failed(what: string): ScramReply {
  return { kind: 'failed', sentence: `SCRAM with the server failed: ${what}` }
}
