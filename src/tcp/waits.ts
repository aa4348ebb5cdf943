/**
 * How long a session has waited, and for what. It is looked at on every beat, so that nothing is
 * paid a chunk: what the data path notes here are times that it knows already.
 */
import type { Refusal } from '../hooks/verdict.ts'
import type { ServerPatience } from '../upstream/upstream.ts'
import type { Account } from './account.ts'
import * as refusals from './refusals.ts'

/** A client that takes no bytes, or whose server hangs, is cut off this long after its end. */
const LINGER_MS = 10_000

/** A limit that was reached: what to count, and what to tell the client. */
export interface Overdue {
  readonly counted: Extract<keyof Account, `${string}Timeouts` | `${string}Deadlines`>
  readonly refusal: Refusal
}

export interface ClientPatience {
  /** 0: none, like all of them. */
  readonly loginTimeoutMs: number
  readonly idleTimeoutMs: number
}

/** How a session is at a beat. */
export interface Standing {
  readonly loggedIn: boolean
  /** A reply is owed, or a step has not decided yet about what came. */
  readonly underWay: boolean
  /** Bytes are awaited from the server, and from nobody else. */
  readonly awaitsServer: boolean
  /** Bytes that the server has not taken yet. */
  readonly keptForServer: number
}

export class Waits {
  /** When bytes last came from the client, and from the server. */
  clientSpoke: number
  serverSpoke: number
  /** -1: the session is not closing. */
  #closingSince = -1
  #client: ClientPatience
  readonly #since: number
  #server: ServerPatience | null = null
  #connectedAt = 0
  /** When the beat first saw that the server is awaited; -1: it is not. */
  #awaitedSince = -1
  /** When the beat first saw so many bytes kept for the server; -1: none are. */
  #keptSince = -1
  #kept = 0

  constructor(client: ClientPatience, now: number) {
    this.#client = client
    this.#since = now
    this.clientSpoke = now
    this.serverSpoke = now
  }

  /** Other limits hold for the client from now on. */
  renew(client: ClientPatience): void {
    this.#client = client
  }

  /** There is a connection to a server, which has limits of its own. */
  connected(server: ServerPatience | null, now: number): void {
    this.#server = server
    this.#connectedAt = now
    this.#awaitedSince = -1
    this.#keptSince = -1
  }

  closes(now: number): void {
    this.#closingSince = now
  }

  /** True where the last words have been offered for long enough. */
  lingered(now: number): boolean {
    return this.#closingSince >= 0 && now - this.#closingSince >= LINGER_MS
  }

  /** True where neither side has said anything for as long as any end takes. */
  silent(now: number): boolean {
    return now - Math.max(this.clientSpoke, this.serverSpoke) >= LINGER_MS
  }

  /** The limit that is reached at a beat; null as long as there is none. */
  overdue(now: number, standing: Standing): Overdue | null {
    if (this.#closingSince >= 0) return null
    const { loginTimeoutMs, idleTimeoutMs } = this.#client
    if (loginTimeoutMs > 0 && !standing.loggedIn && now - this.#since >= loginTimeoutMs) {
      return { counted: 'loginTimeouts', refusal: refusals.timedOut('no login', loginTimeoutMs) }
    }
    if (idleTimeoutMs > 0 && !standing.underWay) {
      const spoke = Math.max(this.clientSpoke, this.serverSpoke)
      if (now - spoke >= idleTimeoutMs) {
        const refusal = refusals.timedOut('nothing happened', idleTimeoutMs)
        return { counted: 'idleTimeouts', refusal }
      }
    }
    return this.#server === null ? null : this.#serverOverdue(this.#server, now, standing)
  }

  #serverOverdue(server: ServerPatience, now: number, standing: Standing): Overdue | null {
    const { receiveDeadlineMs, receiveTimeoutMs, sendDeadlineMs } = server
    if (receiveDeadlineMs > 0 && now - this.#connectedAt >= receiveDeadlineMs) {
      return { counted: 'receiveDeadlines', refusal: refusals.outlived(receiveDeadlineMs) }
    }
    const awaited = standing.awaitsServer && standing.keptForServer === 0
    if (receiveTimeoutMs > 0 && this.#awaitedFor(now, awaited) >= receiveTimeoutMs) {
      return { counted: 'receiveTimeouts', refusal: refusals.unanswered(receiveTimeoutMs) }
    }
    if (sendDeadlineMs > 0 && this.#keptFor(now, standing.keptForServer) >= sendDeadlineMs) {
      return { counted: 'sendDeadlines', refusal: refusals.untaken(sendDeadlineMs) }
    }
    return null
  }

  #awaitedFor(now: number, awaited: boolean): number {
    if (!awaited) this.#awaitedSince = -1
    else if (this.#awaitedSince < 0) this.#awaitedSince = now
    return awaited ? now - Math.max(this.#awaitedSince, this.serverSpoke) : 0
  }

  /** While bytes are kept the client is paused, so fewer of them mean that some were taken. */
  #keptFor(now: number, kept: number): number {
    if (kept === 0) this.#keptSince = -1
    else if (this.#keptSince < 0 || kept !== this.#kept) this.#keptSince = now
    this.#kept = kept
    return kept === 0 ? 0 : now - this.#keptSince
  }
}
