/**
 * The gateway's own part in a login, where it lets clients in by itself: the doorkeeper asks them,
 * or a plugin answers, and until one of them has said yes nothing reaches a server.
 */
import type { Doorkeeper, Gate, LoginStep, Refused } from '../protocol.ts'
import { IDLE } from './ledger.ts'
import {
  AUTHENTICATION,
  authenticationOk,
  backendKeyData,
  negotiateProtocolVersion,
  parameterStatus,
} from './login/answers.ts'
import { negotiation, readStartup } from './login/startup-parameters.ts'
import { errorResponse, readyForQuery, walk } from './messages.ts'
import { HEADER_BYTES } from './reader.ts'
import { numberAt } from './startup.ts'
import { BACKEND, BACKEND_TAGS } from './tags.ts'
import type { Talk } from './talk.ts'

/** PostgreSQL's own limit for a message of a client that is not in yet, in bytes. */
export const LOGIN_BYTES_MAX = 65_535

const UNANSWERED: Refused = {
  code: '28000',
  message: 'nobody has let this client in: no plugin answered its login',
  hint: 'Set servers.<group>.auth, or an auth plugin that answers the StartupMessage.',
}

/**
 * - `shut`: the client is being asked
 * - `due`: it may come in, and the session has not been told yet
 * - `open`: it is in
 * - `refused`: it has been told no
 */
type DoorState = 'shut' | 'due' | 'open' | 'refused'

export class Door {
  state: DoorState = 'shut'
  readonly #talk: Talk
  readonly #gate: Gate
  #doorkeeper: Doorkeeper | null = null

  constructor(talk: Talk, gate: Gate) {
    this.#talk = talk
    this.#gate = gate
  }

  /** The client has said who it is, and no plugin has anything against it. */
  knock(startup: Uint8Array): void {
    const read = readStartup(startup)
    if (read.kind === 'malformed') {
      return this.#refuse({ code: '08P01', message: read.sentence }, read.sentence)
    }
    const { owed, protocol, unknown } = negotiation(read)
    if (owed) this.#talk.tellClient(negotiateProtocolVersion(protocol, unknown))
    const { user, database } = this.#talk
    if (database !== this.#gate.database) return this.#refuse(noDatabase(database), 'database')
    this.#doorkeeper = this.#gate.doorkeeper?.(this.#talk.certificate) ?? null
    if (this.#doorkeeper === null) return this.#refuse(UNANSWERED, UNANSWERED.message)
    this.#follow(this.#doorkeeper.begin(user))
  }

  /** The client has answered what it was asked, and no plugin has taken the answer. */
  take(message: Uint8Array): void {
    if (this.#doorkeeper === null) return this.#refuse(UNANSWERED, UNANSWERED.message)
    this.#follow(this.#doorkeeper.take(message))
  }

  /** A plugin has answered in the gateway's stead: it asks, refuses, or lets the client in. */
  answered(bytes: Uint8Array): void {
    const { said, admits } = beforeGreeting(bytes)
    if (said.length > 0) this.#talk.tellClient(said)
    if (!admits) return
    const { database } = this.#talk
    if (database !== this.#gate.database) return this.#refuse(noDatabase(database), 'database')
    this.state = 'due'
  }

  /** The client says more than anybody has to say who is asked for a password. */
  overwhelmed(): void {
    const message = `a message of more than ${LOGIN_BYTES_MAX} bytes comes before the login`
    this.#refuse({ code: '08P01', message }, message)
  }

  #follow(step: LoginStep): void {
    if (step.kind === 'refused') return this.#refuse(step.refused, step.reason)
    if (step.bytes.length > 0) this.#talk.tellClient(step.bytes)
    if (step.kind === 'admitted') this.state = 'due'
  }

  #refuse(refused: Refused, reason: string): void {
    this.state = 'refused'
    this.#gate.turnedAway(reason)
    this.#talk.tellClient(errorResponse(refused, 'FATAL'))
  }
}

/** ParameterStatus messages as they were made before: nearly all clients are told the same. */
const toldBefore = new Map<string, Uint8Array>()
const TOLD_BEFORE_MAX = 1000

function told(name: string, value: string): Uint8Array {
  const key = `${name}\0${value}`
  const before = toldBefore.get(key)
  if (before !== undefined) return before
  const made = parameterStatus(name, value)
  if (toldBefore.size >= TOLD_BEFORE_MAX) toldBefore.clear()
  toldBefore.set(key, made)
  return made
}

/** What a server says to a client that is in: its parameters, a key for cancelling, and ready. */
export function greeting(parameters: ReadonlyMap<string, string>, key: Uint8Array): Uint8Array {
  const said = [authenticationOk()]
  for (const [name, value] of parameters) said.push(told(name, value))
  said.push(backendKeyData(key), readyForQuery(IDLE))
  return Buffer.concat(said)
}

function noDatabase(database: string): Refused {
  return {
    code: '3D000',
    message: `database "${database}" is not served here`,
    hint: 'Connect to the database that clients.<group>.<block>.startupParams names.',
  }
}

/**
 * What a plugin said up to AuthenticationOk. From there on the gateway speaks, of the server
 * connection that the client gets: what a plugin says of one would not be true.
 */
function beforeGreeting(bytes: Uint8Array): { said: Uint8Array; admits: boolean } {
  let end = bytes.length
  walk(bytes, BACKEND_TAGS, (tag, from, to) => {
    const isOk =
      tag === BACKEND.Authentication &&
      to - from >= HEADER_BYTES + 4 &&
      numberAt(bytes, from + HEADER_BYTES) === AUTHENTICATION.Ok
    if (isOk && from < end) end = from
  })
  return { said: bytes.slice(0, end), admits: end < bytes.length }
}
