/** What the data path counts, as plain numbers: metrics read them when a page is asked for. */

export interface Account {
  sessionsOpen: number
  sessionsTotal: number
  /** Refused because of `sessionsMax`. */
  sessionsRefused: number
  bytesFromClient: number
  bytesToServer: number
  bytesFromServer: number
  bytesToClient: number
  /** Sessions closed for bytes that were not of the protocol. */
  violations: number
  loginTimeouts: number
  /** Clients that the gateway itself did not let in. */
  loginsRefused: number
  idleTimeouts: number
  upstreamFailures: number
  cancelRequests: number
  /** Sessions ended because something inside went wrong. */
  internalErrors: number
}

export function newAccount(): Account {
  return {
    sessionsOpen: 0,
    sessionsTotal: 0,
    sessionsRefused: 0,
    bytesFromClient: 0,
    bytesToServer: 0,
    bytesFromServer: 0,
    bytesToClient: 0,
    violations: 0,
    loginTimeouts: 0,
    loginsRefused: 0,
    idleTimeouts: 0,
    upstreamFailures: 0,
    cancelRequests: 0,
    internalErrors: 0,
  }
}
