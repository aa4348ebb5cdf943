/** What a step may decide: one tagged union a hook, so that a wrong answer does not type-check. */

/** Why a query is refused, in PostgreSQL's terms; `code` is a SQLSTATE of five characters. */
export interface Refusal {
  readonly code: string
  readonly message: string
  readonly detail?: string | undefined
  readonly hint?: string | undefined
}

/** The bytes go on as they are. */
export interface Continue {
  readonly kind: 'continue'
}
/** The new bytes go on instead. */
export interface Replace {
  readonly kind: 'replace'
  readonly bytes: Uint8Array
}
/** The bytes go to the client, nothing goes to the server, the session stays open. */
export interface Respond {
  readonly kind: 'respond'
  readonly bytes: Uint8Array
}
/** The protocol says no. */
export interface Deny extends Refusal {
  readonly kind: 'deny'
}
/** The session goes to the upstream block of this name. */
export interface Route {
  readonly kind: 'route'
  readonly block: string
}
/** Last words, if any, then the connection is closed. */
export interface Close {
  readonly kind: 'close'
  readonly bytes?: Uint8Array | undefined
}
/** The step could not decide; its `onFailure` rules. `cause` is a sentence for the log. */
export interface Failure {
  readonly kind: 'failure'
  readonly cause: string
}

export type FromClientVerdict = Continue | Replace | Respond | Deny | Route | Close | Failure
export type FromServerVerdict = Continue | Replace | Deny | Close | Failure
export type TrafficVerdict = FromClientVerdict
export type OpeningVerdict = Continue | Deny | Route | Close | Failure
/** Gives the dotted keys to change (onRun: `address`); behind a last one nobody is asked. */
export interface Merge {
  readonly kind: 'merge'
  readonly changes: Readonly<Record<string, unknown>>
  readonly isLast?: boolean
}
export type SettingsVerdict = Continue | Merge | Failure

/** The verdict nearly every call ends with; shared, so that it allocates nothing. */
export const CONTINUE: Continue = { kind: 'continue' }
