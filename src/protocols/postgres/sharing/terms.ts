/** By which terms the clients of a pool share its connections, and what it counts of that. */
import { PIN_REASONS, type PinReason } from './lasting-effects.ts'
import { Profiles } from './profile.ts'
import { StatementBook } from './statements.ts'

export interface SharingAccount {
  /** Sessions that have a connection for themselves now, because of what they did. */
  pinned: number
  /** Times that a session was given one for itself, by reason. */
  readonly pins: Record<PinReason, number>
  /** Statements that were refused instead, because of `strict`. */
  pinsRefused: number
  /** Statements prepared again on another connection, and closed to make room for one. */
  prepares: number
  evictions: number
  /** Statements that were not prepared because a limit was reached. */
  statementsRefused: number
}

export interface SharingLimits {
  /** What needs a connection for itself is refused. */
  readonly strict: boolean
  /** Statements that one server connection has prepared at once. */
  readonly serverStatementsMax: number
  /** Names of statements that one client has at once. */
  readonly clientStatementsMax: number
  /** Texts of the statements of all clients together, in bytes. */
  readonly statementBytesMax: number
}

export interface SharingTerms extends SharingLimits {
  readonly profiles: Profiles
  readonly book: StatementBook
  readonly account: SharingAccount
}

export function newSharingAccount(): SharingAccount {
  const pins = Object.fromEntries(PIN_REASONS.map((reason) => [reason, 0]))
  return {
    pinned: 0,
    pins: pins as Record<PinReason, number>,
    pinsRefused: 0,
    prepares: 0,
    evictions: 0,
    statementsRefused: 0,
  }
}

export function sharingTerms(limits: SharingLimits): SharingTerms {
  return {
    ...limits,
    profiles: new Profiles(),
    book: new StatementBook({ bytesMax: limits.statementBytesMax }),
    account: newSharingAccount(),
  }
}
