/**
 * Chooses the upstream of a new session among the blocks of its group. Where some of them are for
 * the primary, those for standbys get only what is sent there by name.
 */
import { attraction, keyOf, type Remote } from './rendezvous.ts'
import type { Upstream } from './upstream.ts'

export type Strategy = 'ROUND_ROBIN' | 'RANDOM' | 'WEIGHTED_ROUND_ROBIN' | 'LEAST_CONNECTIONS'

/** The client's socket, which a choice may depend on; it is read only where it does. */
export type Asking = Remote

export interface Balancing {
  /**
   * Shares by block, for WEIGHTED_ROUND_ROBIN and, where there are any, for LEAST_CONNECTIONS; a
   * block without one gets no sessions.
   */
  readonly weights?: ReadonlyMap<string, number>
  /** Clients stay on their block, found by their address. */
  readonly hash?: { readonly addressOnly: boolean } | undefined
}

export interface Balancer {
  readonly upstreams: readonly Upstream[]
  /** Some of the blocks are for a primary, or for standbys. */
  readonly hasRoles: boolean
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
  /** The upstream itself, or one of the same role that takes its place while it cannot have it. */
  acting(upstream: Upstream, client: Asking): Upstream
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
  const shares = sharesOf(strategy, weights)
  const every = upstreams.map((upstream): Member => {
    return { upstream, weight: shares?.get(upstream.block) ?? (shares === null ? 1 : 0), credit: 0 }
  })
  const hasRoles = upstreams.some(({ role }) => role.wanted !== 'any')
  const members = openOf(every.filter(({ weight }) => weight > 0))
  const byStrategy = STRATEGIES[strategy]
  const choose = hash === undefined ? byStrategy : byAddress(hash.addressOnly, byStrategy)
  /** Of these the ones that are ready; where none is, those that may be; where none may, all. */
  const best = (all: readonly Member[]): readonly Member[] => {
    // Most of the time all are, and then no list is made.
    if (all.every(isReady)) return all
    const lists = [all.filter(isReady), all.filter(({ upstream }) => upstream.role.fits), all]
    return lists.find(({ length }) => length > 0) ?? []
  }
  const others = (failed: Upstream, tried: ReadonlySet<Upstream>): readonly Member[] => {
    const rest = alikeOf(failed, every, members).filter(
      ({ upstream }) => upstream !== failed && !upstream.role.displaced,
    )
    const fresh = rest.filter(({ upstream }) => !tried.has(upstream))
    // A healthy one that was tried has come back since.
    const lists = [fresh.filter(isReady), rest.filter(isReady), fresh]
    return lists.find(({ length }) => length > 0) ?? []
  }
  return {
    upstreams,
    hasRoles,
    next: (client) => choose(best(members), client),
    instead(client, failed, tried) {
      const left = others(failed, tried)
      return left.length === 0 ? null : choose(left, client)
    },
    hasOther: (failed, tried) => others(failed, tried).length > 0,
    named: (block) => upstreams.find((upstream) => upstream.block === block),
    acting(upstream, client) {
      if (upstream.role.wanted === 'any' || upstream.ready) return upstream
      const ready = alikeOf(upstream, every, members).filter(isReady)
      return ready.length === 0 ? upstream : choose(ready, client)
    },
  }
}

function isReady({ upstream }: Member): boolean {
  return upstream.ready
}

/** Shares by block where they count; null: all have the same. */
function sharesOf(
  strategy: Strategy,
  weights: ReadonlyMap<string, number> | undefined,
): ReadonlyMap<string, number> | null {
  if (weights === undefined) return null
  if (strategy === 'WEIGHTED_ROUND_ROBIN') return weights
  return strategy === 'LEAST_CONNECTIONS' && weights.size > 0 ? weights : null
}

/** Those that get the sessions which nobody sends anywhere. */
function openOf(members: readonly Member[]): readonly Member[] {
  const forWrites = members.some(({ upstream }) => upstream.role.wanted === 'primary')
  return forWrites ? members.filter(({ upstream }) => upstream.role.wanted !== 'standby') : members
}

/** Those that can stand in for an upstream: of its role, or all where it has none. */
function alikeOf(
  { role }: Upstream,
  every: readonly Member[],
  members: readonly Member[],
): readonly Member[] {
  if (role.wanted === 'any') return members
  return every.filter(({ upstream }) => upstream.role.wanted === role.wanted)
}

const STRATEGIES: Readonly<Record<Strategy, Choose>> = {
  RANDOM: atRandom,
  ROUND_ROBIN: inTurn,
  WEIGHTED_ROUND_ROBIN: inTurn,
  LEAST_CONNECTIONS: leastBusy,
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

/** The one with the fewest sessions for its weight; among equals in turn. */
function leastBusy(members: readonly Member[]): Upstream {
  // One that stands in for another need not have a share of its own.
  const load = ({ upstream, weight }: Member): number => upstream.sessions / (weight || 1)
  const least = Math.min(...members.map(load))
  return inTurn(members.filter((member) => load(member) === least))
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
