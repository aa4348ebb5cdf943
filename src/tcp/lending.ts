/**
 * The moments at which a session that shares connections by transactions is given one, and gives
 * it back: at once, without a word to the server.
 */
import type { Refusal } from '../hooks/verdict.ts'
import type { Parts } from './standing.ts'

/** A connection is there for a session, at `now` in milliseconds. */
export function borrow({ server, toClient, waits }: Parts, now: number): void {
  waits.connected(server.upstream.patience, now)
  toClient.readFrom(server.socket!)
}

/** Another session may have the connection from here on, if this one is through with it. */
export function giveBack({ server, conversation, toServer, toClient, waits }: Parts): void {
  if (server.kept === null || conversation.sharing?.releasable !== true) return
  // What came is not settled yet: a step may decide, or has waited for this very connection.
  if (server.outlet.full || toServer.occupied) return
  toClient.letGo()
  // The limits of a connection are none of a session that has none.
  waits.connected(null, 0)
  server.giveBack()
}

/** Whose messages waited for a connection. */
interface Borrowing {
  refuse(refusal: Refusal): void
}

/** What waited for a connection goes on, or the session ends because there is none. */
export function goOn(parts: Parts, refusal: Refusal | null, session: Borrowing): void {
  if (refusal !== null) return session.refuse(refusal)
  parts.toServer.goOn()
  giveBack(parts)
}
