/**
 * Logs in to a database: startup packet out, bytes of the server in, up to its first
 * ReadyForQuery. Pure, so that who dials decides about sockets, TLS and time.
 */
import { Hold } from '../hold.ts'
import { message } from '../messages.ts'
import { HEADER_BYTES, LENGTH_MIN, lengthAt } from '../reader.ts'
import { BACKEND, FRONTEND } from '../tags.ts'
import { AUTHENTICATION } from './answers.ts'
import { md5Answer, md5Hash } from './md5.ts'
import { SCRAM, SCRAM_PLUS } from './scram.ts'
import { type Credentials, ScramClient, type ScramReply } from './scram-client.ts'
import { cstrings, errorFields, parameterOf, startupPacket } from './server-words.ts'

/** All that a server may send before it is ready; PostgreSQL sends about 600 bytes. */
export const LOGIN_BYTES_MAX = 262_144
/** Parameters that a server may report; PostgreSQL has 15 or so. */
export const PARAMETERS_MAX = 500
/** Process id, and a secret of 4 to 256 bytes. */
const CANCEL_KEY_BYTES_MIN = 8
const CANCEL_KEY_BYTES_MAX = 260

/** Protocol 3.0, which every server speaks. */
export const PROTOCOL_3_0 = 196_608

const encoder = new TextEncoder()

export interface ClientLoginOptions {
  readonly user: string
  readonly database: string
  readonly credentials: Credentials
  /** Further parameters of the startup packet, in order. */
  readonly parameters?: Iterable<readonly [name: string, value: string]>
  /** Default `PROTOCOL_3_0`; `196610` is 3.2, which has longer cancel keys. */
  readonly protocol?: number
  /** True where the password may be sent as it is: over TLS, or a path that nobody listens on. */
  readonly cleartextPermitted: boolean
  /** Hash of the server's certificate for channel binding; null without TLS. */
  readonly binding?: Uint8Array | null
}

export interface LoggedIn {
  /** What the server told by ParameterStatus. */
  readonly parameters: ReadonlyMap<string, string>
  /** Process id and secret as a CancelRequest repeats them; empty where the server told none. */
  readonly cancelKey: Uint8Array
  /** ASCII I, T or E: after a login always I. */
  readonly status: number
  /** The version that the server speaks: as asked, or older where it said so. */
  readonly protocol: number
  /** What came behind ReadyForQuery, which is nothing of the login. */
  readonly rest: Uint8Array
}

/** Why there is no login. `code` is the server's SQLSTATE, or the nearest one. */
export interface LoginFailure {
  readonly code: string
  readonly message: string
  /** True where the server itself said it in an ErrorResponse. */
  readonly told: boolean
  /** The code and the message, for logs. */
  readonly sentence: string
}

export type LoginStep =
  /** Write the bytes, which may be none, and wait for more. */
  | { readonly kind: 'more'; readonly bytes: Uint8Array }
  | { readonly kind: 'loggedIn'; readonly login: LoggedIn }
  | { readonly kind: 'failed'; readonly failure: LoginFailure }

type Failed = Extract<LoginStep, { kind: 'failed' }>
/** What one message leads to: an answer, nothing, the end, or a failure. */
type Outcome = Uint8Array | null | 'ready' | Failed

/** Methods that need more than a password, by number. */
const UNSUPPORTED: ReadonlyMap<number, string> = new Map([
  [AUTHENTICATION.KerberosV5, 'Kerberos V5'],
  [AUTHENTICATION.SCMCredential, 'SCM credentials'],
  [AUTHENTICATION.GSS, 'GSSAPI'],
  [AUTHENTICATION.GSSContinue, 'GSSAPI'],
  [AUTHENTICATION.SSPI, 'SSPI'],
])

export class ClientLogin {
  readonly #options: ClientLoginOptions
  readonly #parameters = new Map<string, string>()
  readonly #held = new Hold({ held: 0, heldMax: LOGIN_BYTES_MAX, spent: 0 })
  #received = 0
  /** What the server owes: a question or Ok, words of SCRAM, Ok, ReadyForQuery, nothing. */
  #awaits: 'question' | 'challenge' | 'signature' | 'ok' | 'ready' | 'nothing' = 'question'
  #scram: ScramClient | null = null
  #cancelKey: Uint8Array = new Uint8Array(0)
  #protocol: number
  #status = 0

  constructor(options: ClientLoginOptions) {
    this.#options = options
    this.#protocol = options.protocol ?? PROTOCOL_3_0
  }

  /** The StartupMessage, the first to be written. */
  startup(): Uint8Array {
    const { user, database, parameters = [] } = this.#options
    return startupPacket(this.#protocol, [['user', user], ['database', database], ...parameters])
  }

  /** Takes bytes of the server, cut in any way. After `loggedIn` or `failed` nothing more. */
  take(chunk: Uint8Array): LoginStep {
    if (this.#awaits === 'nothing') return failed('08P01', 'the login is over')
    this.#received += chunk.length
    if (this.#received > LOGIN_BYTES_MAX || !this.#held.append(chunk)) {
      const text = `the server sent more than ${LOGIN_BYTES_MAX} bytes and was not ready`
      return this.#end(failed('08P01', text))
    }
    const bytes = this.#held.view()
    const answers: Uint8Array[] = []
    let at = 0
    while (bytes.length - at >= HEADER_BYTES) {
      const length = lengthAt(bytes, at)
      const end = at + 1 + length
      const flaw = headerFlaw(bytes[at]!, length)
      if (flaw !== null) return this.#end(flaw)
      if (end > bytes.length) break
      const outcome = this.#message(bytes[at]!, bytes.subarray(at + HEADER_BYTES, end))
      at = end
      if (outcome === 'ready') return this.#loggedIn(bytes.slice(at))
      if (outcome instanceof Uint8Array) answers.push(outcome)
      else if (outcome !== null) return this.#end(outcome)
    }
    this.#held.drop(at)
    return { kind: 'more', bytes: Buffer.concat(answers) }
  }

  #end(step: Failed): Failed {
    this.#awaits = 'nothing'
    this.#held.clear()
    return step
  }

  #loggedIn(rest: Uint8Array): LoginStep {
    this.#awaits = 'nothing'
    this.#held.clear()
    const login = {
      parameters: this.#parameters,
      cancelKey: this.#cancelKey,
      status: this.#status,
      protocol: this.#protocol,
      rest,
    }
    return { kind: 'loggedIn', login }
  }

  #message(tag: number, body: Uint8Array): Outcome {
    switch (tag) {
      case BACKEND.Authentication:
        return this.#authentication(body)
      case BACKEND.ErrorResponse:
        return serverError(body)
      case BACKEND.NoticeResponse:
        return null
      case BACKEND.NegotiateProtocolVersion:
        return this.#negotiated(body)
      case BACKEND.ParameterStatus:
        return this.#reported(body)
      case BACKEND.BackendKeyData:
        return this.#keyed(body)
      default:
        return this.#ready(body)
    }
  }

  #authentication(body: Uint8Array): Outcome {
    if (body.length < 4) return malformed('Authentication')
    const kind = new DataView(body.buffer, body.byteOffset).getUint32(0)
    const payload = body.subarray(4)
    if (kind === AUTHENTICATION.SASLContinue && this.#awaits === 'challenge') {
      this.#awaits = 'signature'
      return this.#replied(this.#scram!.prove(latin1(payload)))
    }
    if (kind === AUTHENTICATION.SASLFinal && this.#awaits === 'signature') {
      this.#awaits = 'ok'
      return this.#replied(this.#scram!.verify(latin1(payload)))
    }
    if (kind === AUTHENTICATION.Ok && (this.#awaits === 'question' || this.#awaits === 'ok')) {
      this.#awaits = 'ready'
      return null
    }
    // Also a server that says Ok before it has proved itself comes to its end here.
    if (this.#awaits !== 'question') {
      return failed('08P01', `the server sent Authentication ${kind} out of turn`)
    }
    return this.#asked(kind, payload)
  }

  /** Answers the server's question. */
  #asked(kind: number, payload: Uint8Array): Outcome {
    const unsupported = UNSUPPORTED.get(kind)
    if (unsupported !== undefined) {
      const cure = 'trust, password, md5 and scram-sha-256 are supported'
      return failed('28000', `the server asks for ${unsupported}, which is not supported; ${cure}`)
    }
    const { credentials, user } = this.#options
    const { password } = credentials
    if (password === null) return failed('28P01', 'the server asks for a password, and none is set')
    switch (kind) {
      case AUTHENTICATION.CleartextPassword:
        return this.#cleartext(password)
      case AUTHENTICATION.MD5Password:
        if (payload.length !== 4) return malformed('AuthenticationMD5Password')
        this.#awaits = 'ok'
        return passwordMessage(md5Answer(md5Hash(user, password), payload))
      case AUTHENTICATION.SASL:
        return this.#sasl(payload)
      default:
        return failed('28000', `the server asks for login method ${kind}, which is not known`)
    }
  }

  #cleartext(password: string): Outcome {
    if (!this.#options.cleartextPermitted) {
      const cure = 'encrypt the connection, or store the password as scram-sha-256'
      return failed(
        '28000',
        `the server asks for the password in clear text, and that is not permitted here; ${cure}`,
      )
    }
    this.#awaits = 'ok'
    return passwordMessage(password)
  }

  #sasl(payload: Uint8Array): Outcome {
    const offered = cstrings(payload)
    if (offered === null) return malformed('AuthenticationSASL')
    const { credentials, binding = null } = this.#options
    const known = offered.includes(SCRAM) || (offered.includes(SCRAM_PLUS) && binding !== null)
    if (!known) {
      const names = offered.map((name) => shown(name)).join(', ')
      return failed('28000', `the server offers ${names}; only ${SCRAM} is supported here`)
    }
    this.#scram = new ScramClient({ credentials, offered, binding })
    this.#awaits = 'challenge'
    const first = Buffer.from(this.#scram.first)
    const length = Buffer.alloc(4)
    length.writeInt32BE(first.length)
    const body = Buffer.concat([Buffer.from(`${this.#scram.mechanism}\0`), length, first])
    return message(FRONTEND.PasswordMessage, body)
  }

  #replied(reply: ScramReply): Outcome {
    if (reply.kind === 'failed') return failed('28000', reply.sentence)
    if (reply.kind === 'verified') return null
    return message(FRONTEND.PasswordMessage, Buffer.from(reply.words))
  }

  #negotiated(body: Uint8Array): Outcome {
    if (body.length < 8 || this.#awaits !== 'question') return malformed('NegotiateProtocolVersion')
    const told = new DataView(body.buffer, body.byteOffset).getUint32(0)
    // PostgreSQL writes the whole version; its documentation has the minor number alone.
    const version = told < PROTOCOL_3_0 ? PROTOCOL_3_0 + told : told
    if (version >>> 16 !== 3 || version > this.#protocol) return malformed('the protocol version')
    this.#protocol = version
    return null
  }

  #reported(body: Uint8Array): Outcome {
    const pair = parameterOf(body)
    if (pair === null) return malformed('ParameterStatus')
    if (this.#parameters.size >= PARAMETERS_MAX) {
      return failed('08P01', `the server reported more than ${PARAMETERS_MAX} parameters`)
    }
    this.#parameters.set(pair[0], pair[1])
    return null
  }

  #keyed(body: Uint8Array): Outcome {
    const fits = body.length >= CANCEL_KEY_BYTES_MIN && body.length <= CANCEL_KEY_BYTES_MAX
    if (!fits || this.#awaits !== 'ready') return malformed('BackendKeyData')
    this.#cancelKey = body.slice()
    return null
  }

  #ready(body: Uint8Array): Outcome {
    if (body.length !== 1 || this.#awaits !== 'ready') return malformed('ReadyForQuery')
    this.#status = body[0]!
    return 'ready'
  }
}

const EXPECTED: readonly number[] = [
  BACKEND.Authentication,
  BACKEND.ErrorResponse,
  BACKEND.NoticeResponse,
  BACKEND.NegotiateProtocolVersion,
  BACKEND.ParameterStatus,
  BACKEND.BackendKeyData,
  BACKEND.ReadyForQuery,
]

function headerFlaw(tag: number, length: number): Failed | null {
  if (!EXPECTED.includes(tag)) {
    return failed('08P01', `the server sent 0x${tag.toString(16)}, which is no message of a login`)
  }
  if (length >= LENGTH_MIN && length <= LOGIN_BYTES_MAX) return null
  return failed('08P01', `the server declares a message of ${length} bytes in its login`)
}

function serverError(body: Uint8Array): Failed {
  const fields = errorFields(body)
  if (fields === null) return malformed('ErrorResponse')
  return failed(fields.code, fields.message, true)
}

function malformed(what: string): Failed {
  return failed('08P01', `the server sent ${what} malformed or out of turn`)
}

function failed(code: string, text: string, told = false): Failed {
  const failure = { code, message: text, told, sentence: `${code}: ${text}` }
  return { kind: 'failed', failure }
}

function passwordMessage(password: string): Uint8Array {
  return message(FRONTEND.PasswordMessage, encoder.encode(`${password}\0`))
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

/** A name from outside, in as many letters as a log should have of it. */
function shown(name: string): string {
  return JSON.stringify(name.slice(0, 40))
}
