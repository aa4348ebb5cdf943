/** Whether a session may go over to what another generation has built, and when. */
import type { ObservingHook } from '../hooks/hook.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { DirectionHooks } from './direction-hooks.ts'
import type { Parts } from './standing.ts'
import type { ServiceHooks, Surroundings } from './surroundings.ts'

/** What observers are told of sessions, beside their traffic. */
const LIFE_HOOKS: readonly ObservingHook[] = ['onOpened', 'onTraffic', 'onClosing', 'onClosed']

/**
 * - `now`: for this session nothing changes, so that it need not wait for anything
 * - `at-rest`: between two exchanges
 * - `never`: it speaks another protocol, or its upstream is gone
 */
export type Moment = 'now' | 'at-rest' | 'never'

export function momentToMove(upstream: Upstream, from: Surroundings, to: Surroundings): Moment {
  if (from.protocol !== to.protocol) return 'never'
  // Who lets clients in has told them of the server behind it.
  if ((from.gate === null) !== (to.gate === null)) return 'never'
  if (from.gate?.shares !== to.gate?.shares) return 'never'
  if (to.balancer.named(upstream.block) !== upstream) return 'never'
  const same = from.limits.messageBytesMax === to.limits.messageBytesMax
  return same && areAlike(from.hooks, to.hooks) ? 'now' : 'at-rest'
}

/**
 * Has the parts of a session work for another generation; false where they cannot now: then the
 * session hears of every progress, to try again.
 */
export function goOver(parts: Parts, from: Surroundings, to: Surroundings): boolean {
  const { conversation, toServer, toClient, server, waits } = parts
  const moment = momentToMove(server.upstream, from, to)
  const atRest = conversation.atRest && toServer.atRest && toClient.atRest
  // How a client may encrypt and log in is settled by where it has begun to.
  const may = conversation.loggedIn && (moment === 'now' || (moment === 'at-rest' && atRest))
  if (!may) {
    toServer.attend()
    toClient.attend()
    return false
  }
  const { fromClient, fromServer } = to.hooks
  if (moment === 'at-rest') {
    const wishes = { fromClient: fromClient.wanted, fromServer: fromServer.wanted }
    conversation.rewatch({ ...wishes, limits: to.limits })
  }
  toServer.rehook(fromClient)
  toClient.rehook(fromServer)
  server.renew(to)
  waits.renew(to)
  to.tenancy.enter()
  from.tenancy.leave()
  return true
}

/** True where the same plugins, in the same order, are asked and told the same. */
export function areAlike(one: ServiceHooks, other: ServiceHooks): boolean {
  return (
    directionsAlike(one.fromClient, other.fromClient) &&
    directionsAlike(one.fromServer, other.fromServer) &&
    LIFE_HOOKS.every((hook) => sameEach(tellersOf(one, hook), tellersOf(other, hook)))
  )
}

function directionsAlike(one: DirectionHooks, other: DirectionHooks): boolean {
  return (
    one.keepsRequest === other.keepsRequest &&
    sameEach(one.steps.map(decideOf), other.steps.map(decideOf)) &&
    sameEach(one.edges.map(decideOfEdge), other.edges.map(decideOfEdge)) &&
    sameEach(one.observers.map(tellOf), other.observers.map(tellOf))
  )
}

// A step is put in its place anew by each generation; what it calls tells whose it is.
const decideOf = ({ step }: DirectionHooks['steps'][number]): unknown => step.decide
const decideOfEdge = ({ decide }: DirectionHooks['edges'][number]): unknown => decide
const tellOf = ({ step }: DirectionHooks['observers'][number]): unknown => step.tell

function tellersOf({ observers }: ServiceHooks, hook: ObservingHook): readonly unknown[] {
  return observers?.of(hook).map(tellOf) ?? []
}

function sameEach(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.length === other.length && one.every((item, index) => item === other[index])
}
