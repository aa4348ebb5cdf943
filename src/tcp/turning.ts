/**
 * Whether and whither a session may turn: to another block before it logs in, or between two
 * transactions where its server connection is one of the gateway's own and goes back to its pool.
 */
import type { Conversation, Gate } from '../protocols/protocol.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Arriving } from './admission.ts'
import { noBlock, noPrimary } from './refusals.ts'
import type { Parts } from './standing.ts'
import type { Surroundings } from './surroundings.ts'

/** What a direction reads from while its session has no server. */
export const NO_SOURCE = { pause() {}, resume() {} }

const NOTHING: ReadonlyMap<string, string> = new Map()

/**
 * Why a session cannot turn elsewhere now, as a sentence; null where it can. `gate` is null where
 * the server has let the client in by itself.
 */
export function turnFlaw(
  { conversation, toClient, client, server }: Parts,
  gate: Gate | null,
): string | null {
  if (gate === null && !conversation.routable)
    return 'a session can be routed only before it logs in'
  if (conversation.sharing?.pinned) return PINNED
  const isCalm = toClient.atRest && !client.outlet.full && !server.outlet.full
  return isCalm || conversation.routable ? talkFlaw(conversation) : BUSY
}

const PINNED = 'a session that has a connection for itself cannot be routed any more'
const BUSY = 'a session that is logged in can be routed only between two transactions'

/**
 * The same, as far as what has been said goes. In a pool that lends its connections for whole
 * sessions, what a client has set up by SQL stays behind, as at the end of a session. Statements
 * that it has named it would miss at once: so they keep it where it is.
 */
export function talkFlaw(
  conversation: Pick<Conversation, 'routable' | 'loggedIn' | 'leaves' | 'prepares'>,
): string | null {
  if (conversation.routable) return null
  if (!conversation.loggedIn || conversation.leaves !== 'idle') return BUSY
  if (!conversation.prepares) return null
  return 'it has prepared statements by name, which would stay behind: it cannot be routed any more'
}

/**
 * Where a session goes that a plugin sends to a block: null where it is there already, or why it
 * cannot, as a sentence.
 */
export function destination(
  block: string,
  parts: Parts,
  { balancer, group, gate }: Pick<Surroundings, 'balancer' | 'group' | 'gate'>,
): Upstream | string | null {
  const named = balancer.named(block)
  if (named === undefined) return noBlock(block, group).message
  const upstream = parts.server.acting(named)
  if (upstream === parts.server.upstream) return null
  if (upstream.role.displaced) return noPrimary(upstream).message
  return turnFlaw(parts, gate) ?? upstream
}

/** Gets the session a connection of the upstream that it has turned to. */
export function turn({ server, conversation, connected, refuse }: Arriving): void {
  server.reach(conversation.startup, (refusal) => {
    if (refusal !== null) return refuse(refusal)
    connected()
    // What the client has been told since it came is not known here: it is told all once more.
    if (server.kept !== null) conversation.correct(NOTHING, server.kept.state.parameters)
  })
}
