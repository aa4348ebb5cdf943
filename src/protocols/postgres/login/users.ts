/** Who may log in at the gateway: the users of a file in PgBouncer's format, and their secrets. */
import { createHmac, randomBytes } from 'node:crypto'
import { isMd5Hash, md5Hash } from './md5.ts'
import {
  parseVerifier,
  SCRAM_ITERATIONS_DEFAULT,
  SCRAM_KEY_BYTES,
  SCRAM_SALT_BYTES,
  Verifier,
  verifierOf,
} from './scram.ts'
import type { Secret } from './secret.ts'

/** What is stored of a password. A user with an empty one cannot log in with any. */
export type SecretKind = 'plain' | 'md5' | 'scram' | 'empty'

const SCRAM_PREFIX = 'SCRAM-SHA-256$'

/** What a secret is, by its form; null for a SCRAM verifier that is malformed. */
export function secretKind(secret: Secret): SecretKind | null {
  if (secret.isEmpty) return 'empty'
  const text = secret.reveal()
  if (isMd5Hash(text)) return 'md5'
  if (!text.startsWith(SCRAM_PREFIX)) return 'plain'
  return parseVerifier(text) === null ? null : 'scram'
}

/** How verifiers are made that the file does not have. */
interface Making {
  /** Salts follow from this and a name: the same at every login, and nobody can tell them. */
  readonly saltKey: Uint8Array
  readonly iterations: number
  readonly saltBytes: number
}

export class User {
  readonly name: string
  readonly kind: SecretKind
  readonly #secret: Secret
  readonly #making: Making
  #verifier: Verifier | null = null

  constructor(name: string, kind: SecretKind, secret: Secret, making: Making) {
    this.name = name
    this.kind = kind
    this.#secret = secret
    this.#making = making
  }

  /** For SCRAM; made once of a plain password, null where there can be none. */
  verifier(): Verifier | null {
    this.#verifier ??= this.#makeVerifier()
    return this.#verifier
  }

  #makeVerifier(): Verifier | null {
    if (this.kind === 'scram') return parseVerifier(this.#secret.reveal())
    if (this.kind !== 'plain') return null
    const salt = saltOf(this.name, this.#making)
    return verifierOf(this.#secret.reveal(), salt, this.#making.iterations)
  }

  /** For MD5; null where there can be none. */
  md5Hash(): string | null {
    if (this.kind === 'md5') return this.#secret.reveal()
    return this.kind === 'plain' ? md5Hash(this.name, this.#secret.reveal()) : null
  }
}

export interface UsersOptions {
  /**
   * Kept over reloads, and if possible over restarts: with another key the salts of users change
   * that the file has no verifier for. Default: random bytes.
   */
  readonly saltKey?: Uint8Array
}

export class Users {
  /** The most common kind in the file, which a name that is not there seems to be of. */
  readonly usualKind: SecretKind
  readonly #users = new Map<string, User>()
  readonly #making: Making

  constructor(
    entries: Iterable<readonly [name: string, secret: Secret]>,
    options: UsersOptions = {},
  ) {
    const known: [string, SecretKind, Secret][] = []
    for (const [name, secret] of entries) known.push([name, secretKind(secret) ?? 'empty', secret])
    const verifiers = known.flatMap(([, kind, secret]) =>
      kind === 'scram' ? [parseVerifier(secret.reveal())!] : [],
    )
    this.#making = {
      saltKey: options.saltKey ?? randomBytes(SCRAM_KEY_BYTES),
      iterations: mostCommon(
        verifiers.map(({ iterations }) => iterations),
        SCRAM_ITERATIONS_DEFAULT,
      ),
      saltBytes: mostCommon(
        verifiers.map(({ salt }) => salt.length),
        SCRAM_SALT_BYTES,
      ),
    }
    this.usualKind = mostCommon(
      known.map(([, kind]) => kind),
      'scram',
    )
    for (const [name, kind, secret] of known) {
      this.#users.set(name, new User(name, kind, secret, this.#making))
    }
  }

  get size(): number {
    return this.#users.size
  }

  get(name: string): User | undefined {
    return this.#users.get(name)
  }

  /** For a name that cannot log in: looks as any other at every login, and nothing proves it. */
  mockVerifier(name: string): Verifier {
    return new Verifier({
      iterations: this.#making.iterations,
      salt: saltOf(name, this.#making),
      storedKey: randomBytes(SCRAM_KEY_BYTES),
      serverKey: randomBytes(SCRAM_KEY_BYTES),
    })
  }
}

function saltOf(name: string, { saltKey, saltBytes }: Making): Uint8Array {
  return createHmac('sha512', saltKey).update(name).digest().subarray(0, saltBytes)
}

function mostCommon<Value>(values: readonly Value[], otherwise: Value): Value {
  const counts = new Map<Value, number>()
  let found = otherwise
  for (const value of values) {
    const count = (counts.get(value) ?? 0) + 1
    counts.set(value, count)
    if (count > (counts.get(found) ?? 0)) found = value
  }
  return found
}
