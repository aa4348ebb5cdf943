/** What the server's end of a session asks of it, and what is known of a way to a server. */
import type { Refusal } from '../hooks/verdict.ts'
import type { Asking } from '../upstream/balancer.ts'
import type { Grant } from '../upstream/pool.ts'
import type { Keeping, KeptServer } from './kept-server.ts'
import type { ServerOwner } from './server-owner.ts'

/** Told how the way to a server ended: null, or why there is none. */
export type Arrived = (refusal: Refusal | null) => void

/** The client's socket of the moment, as far as its addresses go. */
export interface Addressed {
  readonly socket: Asking
}

export interface ServerSideOwner extends ServerOwner {
  /** Something inside went wrong. */
  broke(thrown: unknown): void
  /** A connection that is shared by transactions is there, for now. */
  borrowed(): void
  /** What had to wait for one may go on; or it cannot. */
  fetched(refusal: Refusal | null): void
}

/** A grant of a pool on its way to a client. */
export interface Taking {
  readonly keeping: Keeping
  readonly grant: Exclude<Grant<KeptServer>, 'late'>
  readonly startup: Uint8Array
  readonly way: number
  readonly arrived: Arrived
}
