/** Chooses the upstream of a new session among the blocks of its group. */
import { attraction, keyOf, type Remote } from './rendezvous.ts'
import type { Upstream } from './upstream.ts'

export type Strategy = 'ROUND_ROBIN' | 'RANDOM' | 'WEIGHTED_ROUND_ROBIN'

/** The client's socket, which a choice may depend on; it is read only where it does. */
export type Asking = Remote

export interface Balancing {
  /** Shares by block, for WEIGHTED_ROUND_ROBIN; a block without one gets no sessions. */
  readonly weights?: ReadonlyMap<string, number>
  /** Clients stay on their block, found by their address. */
  readonly hash?: { readonly addressOnly: boolean } | undefined
}

export interface Balancer {
  readonly upstreams: readonly Upstream[]
  /** A healthy upstream; where none is, any: nobody is refused before it has been tried. */
  next(client: Asking): Upstream
  /**
   * Where to go when `failed` could not be reached: to another healthy upstream or, where none is,
   * to one that is not among those `tried`. Null where there is neither.
   */
  instead(client: Asking, failed: Upstream, tried: ReadonlySet<Upstream>): Upstream | null
  /** True where `instead` would find one; chooses nothing. */
  hasOther(failed: Upstream, tried: ReadonlySet<Upstream>): boolean
  /** The upstream of a block by its name. */
  named(block: string): Upstream | undefined
}

/** One block that gets sessions. */
interface Member {
  readonly upstream: Upstream
  readonly weight: number
  /** What it is owed of the sessions so far, for choices in turn. */
  credit: number
}

type Choose = (members: readonly Member[], client: Asking) => Upstream

/** Balances over all blocks, or over those with weights where the strategy is weighted. */
export function createBalancer(
  upstreams: readonly Upstream[],
  strategy: Strategy,
  { weights, hash }: Balancing = {},
): Balancer {
  const isWeighted = strategy === 'WEIGHTED_ROUND_ROBIN' && weights !== undefined
  const members = upstreams
    .map((upstream) => ({ upstream, weight: isWeighted ? (weights.get(upstream.block) ?? 0) : 1 }))
    .filter(({ weight }) => weight > 0)
    .map((member): Member => ({ ...member, credit: 0 }))
  const byStrategy = strategy === 'RANDOM' ? atRandom : inTurn
  const choose = hash === undefined ? byStrategy : byAddress(hash.addressOnly, byStrategy)
  const healthy = (): readonly Member[] => {
    // Most of the time all are, and then no list is made.
    if (members.every(({ upstream }) => upstream.health.usable)) return members
    const usable = members.filter(({ upstream }) => upstream.health.usable)
    return usable.length === 0 ? members : usable
  }
  const others = (failed: Upstream, tried: ReadonlySet<Upstream>): readonly Member[] => {
    const rest = members.filter(({ upstream }) => upstream !== failed)
    const fresh = rest.filter(({ upstream }) => !tried.has(upstream))
    const usable = ({ upstream }: Member): boolean => upstream.health.usable
    // A healthy one that was tried has come back since.
    const best = [fresh.filter(usable), rest.filter(usable), fresh]
    return best.find(({ length }) => length > 0) ?? []
  }
  return {
    upstreams,
    next: (client) => choose(healthy(), client),
    instead(client, failed, tried) {
      const left = others(failed, tried)
      return left.length === 0 ? null : choose(left, client)
    },
    hasOther: (failed, tried) => others(failed, tried).length > 0,
    named: (block) => upstreams.find((upstream) => upstream.block === block),
  }
}

function atRandom(members: readonly Member[]): Upstream {
  return members[Math.floor(Math.random() * members.length)]!.upstream
}

/**
 * Smooth weighted round robin: all earn their weight, who is owed most is next and pays for all.
 * With equal weights it is the order of the file, and evenly so while some are left out.
 */
function inTurn(members: readonly Member[]): Upstream {
  let total = 0
  let next = members[0]!
  for (const member of members) {
    member.credit += member.weight
    total += member.weight
    if (member.credit > next.credit) next = member
  }
  next.credit -= total
  return next.upstream
}

/** The block that attracts the client most; `otherwise` for clients without an address. */
function byAddress(addressOnly: boolean, otherwise: Choose): Choose {
  return (members, client) => {
    if (members.length === 1) return members[0]!.upstream
    const key = keyOf(client, addressOnly)
    if (key === '') return otherwise(members, client)
    let next = members[0]!.upstream
    let strongest = -1
    for (const { upstream, weight } of members) {
      const pull = attraction(key, upstream.group, upstream.block, weight)
      // The order of the file must not matter, not even where two are equal.
      if (pull > strongest || (pull === strongest && upstream.block < next.block)) {
        next = upstream
        strongest = pull
      }
    }
    return next
  }
}
