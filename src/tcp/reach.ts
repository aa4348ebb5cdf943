/**
 * Connects a session to the upstream that was chosen for it or, where that cannot be reached and
 * nobody insists on it, to the next one of its group: healthy ones first, but none is refused that
 * has not been tried. Waits between attempts are for when there is no other.
 */
import type { SocketHandler } from 'bun'
import type { Asking, Balancer } from '../upstream/balancer.ts'
import type { Dialled, Upstream } from '../upstream/upstream.ts'
import type { Account } from './account.ts'

/** Times that a session may go on to another block, for each block of its group. */
const HOPS_A_BLOCK = 2

export interface Around<Owner> {
  readonly balancer: Balancer
  readonly account: Account
  readonly serverHandlers: SocketHandler<Owner>
  upstreamFailed(upstream: Upstream, cause: string): void
}

export interface Journey<Owner> {
  readonly from: Upstream
  /** A plugin or a CancelRequest names the upstream: no other will do. */
  readonly fixed: boolean
  readonly owner: Owner
  /** False once the session has ended, or has gone elsewhere. */
  wanted(upstream: Upstream): boolean
  /** Told before another upstream is tried. */
  moved(upstream: Upstream): void
}

export interface Reached<Owner> {
  /** The one that was tried last. */
  readonly upstream: Upstream
  readonly dialled: Dialled<Owner>
}

/** Settles when there is a connection, or nothing that may be tried is left. */
export async function reach<Owner extends Asking>(
  { balancer, account, serverHandlers, upstreamFailed }: Around<Owner>,
  { from, fixed, owner, wanted, moved }: Journey<Owner>,
): Promise<Reached<Owner>> {
  // No session wanders about for ever, whatever upstreams do meanwhile.
  let hopsLeft = fixed ? 0 : HOPS_A_BLOCK * balancer.upstreams.length
  const tried = new Set<Upstream>()
  for (let upstream = from; ; hopsLeft--) {
    tried.add(upstream)
    const isWanted = (): boolean => wanted(upstream)
    const elsewhere = (): boolean => hopsLeft > 0 && balancer.hasOther(upstream, tried)
    const dialled = await upstream.dial(serverHandlers, owner, isWanted, elsewhere)
    if (dialled.kind === 'connected' || !isWanted()) return { upstream, dialled }
    account.upstreamFailures += 1
    upstreamFailed(upstream, dialled.cause)
    const other = hopsLeft > 0 ? balancer.instead(owner, upstream, tried) : null
    if (other === null) return { upstream, dialled }
    account.failovers += 1
    upstream = other
    moved(other)
  }
}
