/**
 * What the gateway itself says to a PostgreSQL server: it logs in, gives a connection a client's
 * settings, takes away what a client left, asks for a sign of life, and listens while nobody is
 * there. Pure: bytes in, bytes out.
 */
import type {
  Errand,
  ErrandOutcome,
  Errands,
  PoolLogin,
  Refused,
  RoleErrands,
  ServerStanding,
  ServerState,
} from '../protocol.ts'
import { joined } from './hold.ts'
import { IDLE } from './ledger.ts'
import { ClientLogin } from './login/client-login.ts'
import { Credentials } from './login/scram-client.ts'
import { Secret } from './login/secret.ts'
import { errorFields, parameterOf } from './login/server-words.ts'
import { assumedFor, settingsFor } from './login/session-settings.ts'
import { readStartup } from './login/startup-parameters.ts'
import { message } from './messages.ts'
import { HEADER_BYTES, LENGTH_MIN, lengthAt } from './reader.ts'
import { profileStep, unreportedOf } from './sharing/profile.ts'
import { BACKEND, BACKEND_TAGS, FRONTEND } from './tags.ts'

const EMPTY: Uint8Array = new Uint8Array(0)
const encoder = new TextEncoder()
/** All that a server may say in one errand, in bytes: its answers are short. */
const ANSWER_BYTES_MAX = 1_048_576
const PROTOCOL_VIOLATION = '08P01'
const DONE: ErrandOutcome = { kind: 'done' }

/** What a message that is no notice leads to; null: the errand goes on. */
type Reaction = (tag: number, body: Uint8Array) => ErrandOutcome | null

function failure(refused: Refused): ErrandOutcome {
  return { kind: 'failed', refused }
}

function violation(text: string): ErrandOutcome {
  return failure({ code: PROTOCOL_VIOLATION, message: text })
}

function query(sql: string): Uint8Array {
  return message(FRONTEND.Query, encoder.encode(`${sql}\0`))
}

/** Sends something, and reads whole messages until they have come to an end. */
class Exchange implements Errand {
  readonly opening: Uint8Array
  outcome: ErrandOutcome | null = null
  readonly #state: ServerState
  readonly #react: Reaction
  readonly #bytesMax: number
  #rest: Uint8Array = EMPTY
  #received = 0

  constructor(state: ServerState, opening: Uint8Array, react: Reaction, bytesMax: number) {
    this.#state = state
    this.opening = opening
    this.#react = react
    this.#bytesMax = bytesMax
  }

  get midMessage(): boolean {
    return this.#rest.length > 0
  }

  take(bytes: Uint8Array): Uint8Array {
    this.#received += bytes.length
    if (this.#received > this.#bytesMax) {
      this.outcome ??= violation('the server says far more than it was asked')
    }
    const all = this.#rest.length === 0 ? bytes : joined(this.#rest, bytes)
    let at = 0
    while (this.outcome === null && all.length - at >= HEADER_BYTES) {
      const length = lengthAt(all, at)
      if (BACKEND_TAGS[all[at]!] !== 1 || length < LENGTH_MIN || length > ANSWER_BYTES_MAX) {
        this.outcome = violation('the server sends what is no message')
        break
      }
      const end = at + 1 + length
      if (end > all.length) break
      this.outcome = this.#message(all[at]!, all.subarray(at + HEADER_BYTES, end))
      at = end
    }
    this.#rest = at === all.length ? EMPTY : all.slice(at)
    // Whoever gets the connection next would take for its own what nobody has asked for.
    if (this.outcome === DONE && this.#rest.length > 0) {
      this.outcome = violation('the server goes on when all has been said')
    }
    return EMPTY
  }

  #message(tag: number, body: Uint8Array): ErrandOutcome | null {
    if (tag === BACKEND.ParameterStatus) {
      const parameter = parameterOf(body)
      if (parameter !== null) this.#state.parameters.set(parameter[0], parameter[1])
      this.#state.shared.changed()
      return null
    }
    if (tag === BACKEND.NoticeResponse || tag === BACKEND.NotificationResponse) return null
    return this.#react(tag, body)
  }
}

/** Whether it takes writes. Nothing of it needs a privilege. */
const KIND_QUERY =
  "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'standby' ELSE 'primary' END"
/** Of a primary the number of its timeline: each promotion begins a new one. */
const TIMELINE_QUERY = `SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN
  pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END`

/** A timeline, as it stands in the names of files. */
const TIMELINE = /^[0-9A-F]{8}$/

/** Asks for the role, and for the timeline too, which relatives of PostgreSQL need not have. */
function askRole(state: ServerState, told: (standing: ServerStanding) => void): Errand {
  const values: string[] = ['', '']
  let error: Refused | null = null
  let answered = 0
  const react: Reaction = (tag, body) => {
    if (tag === BACKEND.DataRow) values[answered] = soleValue(body)
    if (tag === BACKEND.ErrorResponse && answered === 0) error = refusedBy(body)
    if (tag !== BACKEND.ReadyForQuery || ++answered < values.length) return null
    if (error !== null) return failure(error)
    const [kind, timeline] = values
    if (kind === 'standby') told({ kind, timeline: 0 })
    else if (kind === 'primary') told({ kind, timeline: timelineOf(timeline!) })
    else return violation('the server does not say whether it is the primary')
    return DONE
  }
  const opening = Buffer.concat([query(KIND_QUERY), query(TIMELINE_QUERY)])
  return new Exchange(state, opening, react, ANSWER_BYTES_MAX)
}

/** Of a row with one column: the number of columns, the length of the value, the value. */
function soleValue(row: Uint8Array): string {
  return Buffer.from(row.subarray(6)).toString('latin1')
}

function timelineOf(value: string): number {
  return TIMELINE.test(value) ? Number.parseInt(value, 16) : 0
}

/** Runs statements, one Query each; fails with the first error. Afterwards the session is idle. */
function run(state: ServerState, statements: readonly string[]): Errand {
  // A simple query takes the unnamed statement away.
  state.shared.unnamedOf = null
  let owed = statements.length
  let error: Refused | null = null
  const react: Reaction = (tag, body) => {
    if (tag === BACKEND.ErrorResponse) error ??= refusedBy(body)
    if (tag !== BACKEND.ReadyForQuery) return null
    owed -= 1
    if (owed > 0) return null
    if (error !== null) return failure(error)
    return body[0] === IDLE ? DONE : violation('a transaction is open that must not be')
  }
  return new Exchange(state, Buffer.concat(statements.map(query)), react, ANSWER_BYTES_MAX)
}

function refusedBy(body: Uint8Array): Refused {
  return errorFields(body) ?? { code: PROTOCOL_VIOLATION, message: 'the server fails unreadably' }
}

/** An errand that is over before it has begun. */
function refusal(refused: Refused): Errand {
  return { opening: EMPTY, outcome: failure(refused), take: () => EMPTY }
}

class LogIn implements Errand {
  readonly opening: Uint8Array
  outcome: ErrandOutcome | null = null
  readonly #login: ClientLogin
  readonly #state: ServerState

  constructor(login: ClientLogin, state: ServerState) {
    this.opening = login.startup()
    this.#login = login
    this.#state = state
  }

  take(bytes: Uint8Array): Uint8Array {
    const step = this.#login.take(bytes)
    if (step.kind === 'more') return step.bytes
    if (step.kind === 'failed') {
      const { code, message: text } = step.failure
      this.outcome = failure({ code, message: text })
      return EMPTY
    }
    const { parameters, cancelKey, rest } = step.login
    for (const [name, value] of parameters) this.#state.parameters.set(name, value)
    this.#state.cancelKey = cancelKey
    this.outcome = rest.length === 0 ? DONE : violation('the server goes on behind its login')
    return EMPTY
  }
}

/** A new connection is told who we are, so that its operator can tell. */
const APPLICATION_NAME = 'postern'

const DISCARDS_ALL = /^\s*discard\s+all\s*;?\s*$/i

/** Who logs in, and may say so. */
type Account = Omit<PoolLogin, 'resetQuery' | 'shares'>

/** The errands for which nobody's settings matter. */
export function postgresRoleErrands(account: Account): RoleErrands {
  const { user, database, cleartextPermitted } = account
  const credentials = new Credentials(new Secret(account.password))
  return {
    farewell: message(FRONTEND.Terminate, EMPTY),
    logIn(state) {
      const parameters = [['application_name', APPLICATION_NAME]] as const
      const options = { user, database, credentials, parameters, cleartextPermitted }
      return new LogIn(new ClientLogin(options), state)
    },
    askRole,
    // Reported from PostgreSQL 14 on.
    readOnly: ({ parameters }) => parameters.get('in_hot_standby') === 'on',
  }
}

/** The errands of one pool. */
export function postgresErrands(login: PoolLogin): Errands {
  const { resetQuery, shares } = login
  // Where clients share a connection, what is prepared and set on it must be known afterwards.
  const isThorough = !shares || DISCARDS_ALL.test(resetQuery)
  const resets = isThorough ? [resetQuery] : [resetQuery, 'RESET ALL', 'DEALLOCATE ALL']
  return {
    ...postgresRoleErrands(login),
    assume(startup, baseline) {
      const read = readStartup(startup)
      return read.kind === 'malformed' ? null : assumedFor(read.parameters, baseline)
    },
    prepare(startup, state) {
      const read = readStartup(startup)
      if (read.kind === 'malformed')
        return refusal({ code: PROTOCOL_VIOLATION, message: read.sentence })
      const step = settingsFor(read.parameters, state.parameters)
      if (shares) state.shared.set(unreportedOf(read.parameters, state.parameters))
      return step.kind === 'refused' ? refusal(step.refused) : run(state, [step.sql ?? ''])
    },
    clean: (left, state) => run(state, left === 'transaction' ? ['ROLLBACK', ...resets] : resets),
    probe: (state) => run(state, ['']),
    follow(wanted, state) {
      const { parameters, shared } = state
      const step = profileStep(wanted, parameters, shared.unreported)
      if (step.kind === 'refused') return refusal(step.refused)
      shared.set(wanted.unreported)
      return step.sql === null ? null : run(state, [step.sql])
    },
    watch: (state) =>
      new Exchange(state, EMPTY, (tag, body) => unasked(tag, body), Number.POSITIVE_INFINITY),
  }
}

/** Whatever a server says unasked, but notices and parameters, is the end of its connection. */
function unasked(tag: number, body: Uint8Array): ErrandOutcome {
  if (tag === BACKEND.ErrorResponse) return failure(refusedBy(body))
  return violation('the server speaks unasked')
}
