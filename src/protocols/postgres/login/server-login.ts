/**
 * Asks a client who it is: trust, SCRAM-SHA-256 or MD5, against the users of a file. A name that
 * is not there is asked all the same and fails as a wrong password does, so that nobody learns
 * from a login which names exist.
 */
import { randomBytes } from 'node:crypto'
import type { Refused } from '../../protocol.ts'
import { HEADER_BYTES, lengthAt } from '../reader.ts'
import { FRONTEND } from '../tags.ts'
import { authenticationMd5, authenticationSasl, saslContinue, saslFinal } from './answers.ts'
import { isMd5Answer, MD5_SALT_BYTES } from './md5.ts'
import { SCRAM_KEY_BYTES } from './scram.ts'
import { ScramServer, type ScramStep } from './scram-server.ts'
import type { User, Users } from './users.ts'

export type LoginMethod = 'trust' | 'scram-sha-256' | 'md5'

/** The longest answer of a client; those of drivers have under 300 bytes. */
export const LOGIN_MESSAGE_BYTES_MAX = 4096

export type ServerLoginStep =
  /** Send the bytes and wait for a message. */
  | { readonly kind: 'say'; readonly bytes: Uint8Array }
  /** The client is who it says: send the bytes, which may be none, then AuthenticationOk. */
  | { readonly kind: 'admitted'; readonly bytes: Uint8Array }
  /** Send the refusal as FATAL and close. `reason` is for the gateway's log alone. */
  | { readonly kind: 'refused'; readonly refused: Refused; readonly reason: string }

export interface ServerLoginOptions {
  readonly method: LoginMethod
  readonly users: Users
  /** Hash of our certificate (tls-server-end-point) where the client came over TLS, else null. */
  readonly binding: Uint8Array | null
}

/** One login of one client. */
export class ServerLogin {
  readonly #options: ServerLoginOptions
  #user = ''
  #state: 'new' | 'md5' | 'scram' | 'proof' | 'over' = 'new'
  #scram: ScramServer | null = null
  #salt: Uint8Array = new Uint8Array(0)
  #md5Hash = ''
  /** Why no password can be the right one; "" where one can be. */
  #hopeless = ''

  constructor(options: ServerLoginOptions) {
    this.#options = options
  }

  /** Begins with the name in the client's startup packet. */
  begin(name: string): ServerLoginStep {
    if (this.#state !== 'new') return this.#outOfTurn()
    this.#user = name
    if (name === '') {
      const message = 'no PostgreSQL user name specified in startup packet'
      return this.#refuse({ code: '28000', message }, 'the startup packet names no user')
    }
    if (this.#options.method === 'trust') {
      this.#state = 'over'
      return { kind: 'admitted', bytes: new Uint8Array(0) }
    }
    const { users, method } = this.#options
    const user = users.get(name)
    const kind = user?.kind ?? users.usualKind
    if (user === undefined) this.#hopeless = 'the user is not in the user file'
    if (user?.kind === 'empty') this.#hopeless = 'the password in the user file is empty'
    return method === 'md5' && kind !== 'scram' ? this.#askMd5(user) : this.#askScram(user)
  }

  /** Takes one whole message of the client. */
  take(message: Uint8Array): ServerLoginStep {
    const flaw = messageFlaw(message)
    if (flaw !== null) {
      const reason = `while it was asked for its password, the client sent ${flaw}`
      return this.#refuse(
        { code: '08P01', message: `expected password response, got ${flaw}` },
        reason,
      )
    }
    const body = Buffer.from(message.subarray(HEADER_BYTES))
    switch (this.#state) {
      case 'md5':
        return this.#answered(body)
      case 'scram':
        return this.#chosen(body)
      case 'proof':
        return this.#next(this.#scram!.check(body.toString('latin1')))
      default:
        return this.#outOfTurn()
    }
  }

  #askMd5(user: User | undefined): ServerLoginStep {
    this.#state = 'md5'
    this.#salt = randomBytes(MD5_SALT_BYTES)
    this.#md5Hash = user?.md5Hash() ?? randomBytes(SCRAM_KEY_BYTES).toString('hex')
    return { kind: 'say', bytes: authenticationMd5(this.#salt) }
  }

  #askScram(user: User | undefined): ServerLoginStep {
    if (user?.kind === 'md5') {
      this.#hopeless = 'the user file has only an MD5 hash, which cannot be used for SCRAM'
    }
    const { users, binding } = this.#options
    const verifier = user?.verifier() ?? users.mockVerifier(this.#user)
    this.#state = 'scram'
    this.#scram = new ScramServer({ verifier, binding })
    return { kind: 'say', bytes: authenticationSasl(this.#scram.mechanisms) }
  }

  #answered(body: Buffer): ServerLoginStep {
    if (body.length === 0 || body.indexOf(0) !== body.length - 1) {
      return this.#refuse(
        { code: '08P01', message: 'invalid password packet size' },
        'its password message is malformed',
      )
    }
    const answer = body.toString('latin1', 0, body.length - 1)
    // Compared also where no answer can be right, which then takes no shorter time.
    const right = isMd5Answer(answer, this.#md5Hash, this.#salt)
    if (!right || this.#hopeless !== '') return this.#wrong()
    return this.#admit(new Uint8Array(0))
  }

  /** The first SASL message: the mechanism, and the length of the words behind it. */
  #chosen(body: Buffer): ServerLoginStep {
    const nameEnd = body.indexOf(0)
    const wordsAt = nameEnd + 5
    if (
      nameEnd < 0 ||
      wordsAt > body.length ||
      body.readInt32BE(nameEnd + 1) !== body.length - wordsAt
    ) {
      return this.#refuse(
        { code: '08P01', message: 'invalid SASL initial response' },
        'its first SASL message is malformed',
      )
    }
    const mechanism = body.toString('latin1', 0, nameEnd)
    const step = this.#scram!.challenge(mechanism, body.toString('latin1', wordsAt))
    if (step.kind === 'say') this.#state = 'proof'
    return this.#next(step)
  }

  #next(step: ScramStep): ServerLoginStep {
    switch (step.kind) {
      case 'say':
        return { kind: 'say', bytes: saslContinue(step.words) }
      case 'proved':
        return this.#hopeless === '' ? this.#admit(saslFinal(step.words)) : this.#wrong()
      case 'wrong':
        return this.#wrong()
      case 'refused':
        return this.#refuse(step.refused, step.refused.detail ?? step.refused.message)
    }
  }

  #admit(bytes: Uint8Array): ServerLoginStep {
    this.#state = 'over'
    return { kind: 'admitted', bytes }
  }

  #wrong(): ServerLoginStep {
    const message = `password authentication failed for user "${this.#user}"`
    return this.#refuse({ code: '28P01', message }, this.#hopeless || 'the password is wrong')
  }

  #outOfTurn(): ServerLoginStep {
    const message = 'expected no password response'
    return this.#refuse({ code: '08P01', message }, 'its password message came out of turn')
  }

  #refuse(refused: Refused, reason: string): ServerLoginStep {
    this.#state = 'over'
    return { kind: 'refused', refused, reason }
  }
}

/** Why the bytes are no password message; null if they are one. */
function messageFlaw(message: Uint8Array): string | null {
  const [tag] = message
  if (tag !== FRONTEND.PasswordMessage) return `message type ${tag ?? 'none'}`
  if (message.length < HEADER_BYTES || lengthAt(message, 0) !== message.length - 1) {
    return 'a message that is cut'
  }
  if (message.length > LOGIN_MESSAGE_BYTES_MAX) return `a message of ${message.length} bytes`
  return null
}
