/** What both sides of SCRAM-SHA-256 share: its keys and its alphabet. RFC 5802 and RFC 7677. */
import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from 'node:crypto'
import { preparedPassword } from './saslprep.ts'

export const SCRAM = 'SCRAM-SHA-256'
/** With channel binding: the proof holds for one TLS connection only. */
export const SCRAM_PLUS = 'SCRAM-SHA-256-PLUS'
/** The one kind of channel binding that PostgreSQL knows: a hash of the server's certificate. */
export const BINDING = 'tls-server-end-point'

/** PostgreSQL's own default of `scram_iterations`. */
export const SCRAM_ITERATIONS_DEFAULT = 4096
/** More is refused: a million take about 0.1 s, in which nothing else is done. */
export const SCRAM_ITERATIONS_MAX = 1_000_000
/** Salts of PostgreSQL have 16 bytes. */
export const SCRAM_SALT_BYTES = 16
export const SCRAM_KEY_BYTES = 32

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
/** As pg_authid stores it: iterations, salt, StoredKey, ServerKey. */
const STORED = /^SCRAM-SHA-256\$([1-9]\d{0,9}):([^$:]+)\$([^$:]+):([^$:]+)$/

export function hmac(key: Uint8Array, words: string): Buffer {
  return createHmac('sha256', key).update(words, 'latin1').digest()
}

export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}

/** Equality in a time that tells nothing of where two texts or keys differ. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

export function xor(a: Uint8Array, b: Uint8Array): Buffer {
  return Buffer.from(a.map((byte, index) => byte ^ (b[index] ?? 0)))
}

/** The bytes of a base64 text; null where it is none, which Buffer alone would not notice. */
export function fromBase64(text: string): Buffer | null {
  return BASE64.test(text) ? Buffer.from(text, 'base64') : null
}

/** The slow step, which makes guessing slow. */
export function saltedPassword(password: string, salt: Uint8Array, iterations: number): Buffer {
  return pbkdf2Sync(preparedPassword(password), salt, iterations, SCRAM_KEY_BYTES, 'sha256')
}

export function clientKey(salted: Uint8Array): Buffer {
  return hmac(salted, 'Client Key')
}

export function serverKey(salted: Uint8Array): Buffer {
  return hmac(salted, 'Server Key')
}

interface VerifierKeys {
  readonly iterations: number
  readonly salt: Uint8Array
  readonly storedKey: Uint8Array
  readonly serverKey: Uint8Array
}

/** What a server keeps of a password: enough to check it, and not enough to log in with it. */
export class Verifier {
  readonly iterations: number
  readonly salt: Uint8Array
  readonly #storedKey: Uint8Array
  readonly #serverKey: Uint8Array

  constructor(keys: VerifierKeys) {
    this.iterations = keys.iterations
    this.salt = keys.salt
    this.#storedKey = keys.storedKey
    this.#serverKey = keys.serverKey
  }

  /** True where `proof` was made for these words by one who knows the password. */
  isProvedBy(proof: Uint8Array, words: string): boolean {
    const key = xor(proof, hmac(this.#storedKey, words))
    return equal(sha256(key), this.#storedKey)
  }

  /** Proves to the client that this server has the verifier. */
  signature(words: string): string {
    return hmac(this.#serverKey, words).toString('base64')
  }
}

/** The verifier of a plain password. It takes about 0.5 ms with the default iterations. */
export function verifierOf(password: string, salt: Uint8Array, iterations: number): Verifier {
  const salted = saltedPassword(password, salt, iterations)
  return new Verifier({
    iterations,
    salt,
    storedKey: sha256(clientKey(salted)),
    serverKey: serverKey(salted),
  })
}

/** Reads `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`; null where it is malformed. */
export function parseVerifier(text: string): Verifier | null {
  const [, iterations = '', ...keys] = STORED.exec(text) ?? []
  const [salt, storedKey, server] = keys.map(fromBase64)
  if (Number(iterations) > SCRAM_ITERATIONS_MAX) return null
  if (!salt || !storedKey || !server || salt.length === 0) return null
  if (storedKey.length !== SCRAM_KEY_BYTES || server.length !== SCRAM_KEY_BYTES) return null
  return new Verifier({ iterations: Number(iterations), salt, storedKey, serverKey: server })
}
