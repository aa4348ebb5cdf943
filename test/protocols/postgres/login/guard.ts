/** A server of the smallest kind behind the machine under test: real clients log in to it. */
import type { Socket } from 'bun'
import type { Identity } from '../../../../src/plugins/grpc/cert.ts'
import {
  authenticationOk,
  backendKeyData,
  negotiateProtocolVersion,
  parameterStatus,
} from '../../../../src/protocols/postgres/login/answers.ts'
import { certificateBinding } from '../../../../src/protocols/postgres/login/certificate-binding.ts'
import {
  type LoginMethod,
  ServerLogin,
  type ServerLoginStep,
} from '../../../../src/protocols/postgres/login/server-login.ts'
import {
  negotiation,
  readStartup,
} from '../../../../src/protocols/postgres/login/startup-parameters.ts'
import type { Users } from '../../../../src/protocols/postgres/login/users.ts'
import { errorResponse, readyForQuery } from '../../../../src/protocols/postgres/messages.ts'
import { lengthAt } from '../../../../src/protocols/postgres/reader.ts'
import { numberAt, SSL_REQUEST } from '../../../../src/protocols/postgres/startup.ts'
import { concat, cstring, int16, int32, message } from '../../../kit/frontend.ts'

const IDLE = 0x49
const TEXT_TYPE = 25

export interface GuardOptions {
  readonly method: LoginMethod
  readonly users: Users
  readonly identity?: Identity
}

export interface Guard {
  readonly port: number
  /** How logins ended, in order: `admitted`, or code and reason. */
  readonly outcomes: string[]
  [Symbol.dispose](): void
}

export function startGuard(options: GuardOptions): Guard {
  const outcomes: string[] = []
  const handlers = {
    open: (socket: Socket<Visitor>) => {
      socket.data = new Visitor(options, outcomes)
    },
    data: (socket: Socket<Visitor>, chunk: Uint8Array) => {
      // After an upgrade these handlers still see the ciphertext.
      if (!socket.data.isEncrypted) socket.data.take(socket, new Uint8Array(chunk))
    },
    error: () => {},
  }
  const listener = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: handlers })
  return {
    port: listener.port,
    outcomes,
    [Symbol.dispose]: () => listener.stop(true),
  }
}

/** One client. */
class Visitor {
  readonly #options: GuardOptions
  readonly #outcomes: string[]
  #held: Uint8Array = new Uint8Array(0)
  #login: ServerLogin | null = null
  #admitted = false
  isEncrypted = false

  constructor(options: GuardOptions, outcomes: string[]) {
    this.#options = options
    this.#outcomes = outcomes
  }

  take(socket: Socket<Visitor>, chunk: Uint8Array): void {
    this.#held = concat(this.#held, chunk)
    for (let whole = this.#whole(); whole !== null; whole = this.#whole()) {
      if (this.#login === null) this.#first(socket, whole)
      else if (this.#admitted) this.#serve(socket, whole)
      else this.#follow(socket, this.#login.take(whole))
    }
  }

  #whole(): Uint8Array | null {
    const typed = this.#login === null ? 0 : 1
    if (this.#held.length < 4 + typed) return null
    const length = typed === 0 ? numberAt(this.#held, 0) : lengthAt(this.#held, 0) + 1
    if (this.#held.length < length) return null
    const whole = this.#held.slice(0, length)
    this.#held = this.#held.slice(length)
    return whole
  }

  #first(socket: Socket<Visitor>, packet: Uint8Array): void {
    const { identity, method, users } = this.#options
    if (numberAt(packet, 4) === SSL_REQUEST) {
      socket.write(identity === undefined ? 'N' : 'S')
      if (identity !== undefined) this.#encrypt(socket, identity)
      return
    }
    const startup = readStartup(packet)
    if (startup.kind === 'malformed') throw new Error(startup.sentence)
    const { owed, protocol, unknown } = negotiation(startup)
    if (owed) socket.write(negotiateProtocolVersion(protocol, unknown))
    const binding = this.isEncrypted && identity ? certificateBinding(identity.certificate) : null
    this.#login = new ServerLogin({ method, users, binding })
    this.#follow(socket, this.#login.begin(new Map(startup.parameters).get('user') ?? ''))
  }

  #encrypt(socket: Socket<Visitor>, { key, certificate }: Identity): void {
    this.isEncrypted = true
    socket.upgradeTLS({
      tls: { key, cert: certificate },
      isServer: true,
      data: this,
      socket: {
        data: (tls: Socket<Visitor>, chunk: Uint8Array) => this.take(tls, new Uint8Array(chunk)),
        error: () => {},
      },
    } as Parameters<typeof socket.upgradeTLS<Visitor>>[0])
  }

  #follow(socket: Socket<Visitor>, step: ServerLoginStep): void {
    if (step.kind === 'say') {
      socket.write(step.bytes)
      return
    }
    if (step.kind === 'refused') {
      this.#outcomes.push(`${step.refused.code} ${step.reason}`)
      socket.end(errorResponse(step.refused, 'FATAL'))
      return
    }
    this.#admitted = true
    this.#outcomes.push('admitted')
    const told = [
      step.bytes,
      authenticationOk(),
      parameterStatus('server_version', '18.0'),
      parameterStatus('client_encoding', 'UTF8'),
      parameterStatus('standard_conforming_strings', 'on'),
      backendKeyData(Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 2)),
      readyForQuery(IDLE),
    ]
    socket.write(concat(...told))
  }

  /** Answers every Query with one row. */
  #serve(socket: Socket<Visitor>, whole: Uint8Array): void {
    if (whole[0] === 0x58) socket.end()
    if (whole[0] !== 0x51) return
    const column = concat(cstring('answer'), new Uint8Array(6), int32(TEXT_TYPE), int16(-1))
    const described = message('T', int16(1), column, int32(-1), int16(0))
    const row = message('D', int16(1), int32(2), new TextEncoder().encode('42'))
    socket.write(concat(described, row, message('C', cstring('SELECT 1')), readyForQuery(IDLE)))
  }
}
