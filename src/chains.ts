/**
 * The steps of all plugins as chains: put in order, and with what of the stream each of them wants,
 * in the terms of the protocol.
 */
import type { Logger } from 'pino'
import { GatewayError } from './base/errors.ts'
import type { ChainStep } from './hooks/chain.ts'
import { HOOKS, type ObservingHook } from './hooks/hook.ts'
import { type Observer, ObserverDesk } from './hooks/observers.ts'
import { openingChain } from './hooks/opening.ts'
import { inOrder } from './hooks/order.ts'
import type { FromClientStep, FromServerStep, Unit } from './hooks/step.ts'
import type { HookTally } from './hooks/tally.ts'
import type { PluginRegistry } from './plugins/registry.ts'
import type { Protocol, Wanted } from './protocols/protocol.ts'
import { RAW } from './protocols/raw.ts'
import type { ServiceHooks } from './tcp/surroundings.ts'

/** The part of a registry that chains are made from. */
export type PluginsInOrder = Pick<PluginRegistry, 'placed' | 'plugins'>

/** The steps of all ready plugins for one hook, in order. */
export function stepsOf<Step extends { readonly plugin: string; readonly priority: number }>(
  registry: PluginsInOrder,
  log: Logger,
  pick: (steps: PluginRegistry['plugins'][number]['steps']) => Step | undefined,
): readonly Step[] {
  const steps = registry.placed.flatMap(({ plugin, spec: { priority } }) => {
    const step = pick(plugin.steps)
    if (step === undefined) return []
    // One that runs on from an earlier generation may have another place in the order now.
    return [step.priority === priority ? step : { ...step, priority }]
  })
  return inOrder(steps, (loser, winner) =>
    log.warn(
      { plugin: loser.plugin },
      `its step is replaced by that of "${winner.plugin}", which has the same priority`,
    ),
  )
}

/** All observing steps, by hook. */
export function assembleDesk(
  registry: PluginsInOrder,
  queuedMax: number,
  tally: HookTally,
): ObserverDesk {
  const byHook = new Map<ObservingHook, readonly Observer[]>()
  for (const hook of HOOKS) {
    if (hook.kind !== 'observes') continue
    const steps = stepsOf(registry, tally.log, (all) => all.observers[hook.name])
    // The tags are narrowed for each protocol where a service is assembled.
    byHook.set(
      hook.name,
      steps.map((step) => ({ step, tags: null })),
    )
  }
  const deciders = registry.plugins
    .filter(({ steps }) => steps.onTrafficFromClient ?? steps.onTrafficFromServer)
    .map(({ name }) => name)
  return new ObserverDesk(byHook, new Set(deciders), queuedMax, tally)
}

/** Whose steps there are, and who counts what becomes of them. */
interface Stepping {
  readonly registry: PluginsInOrder
  readonly desk: ObserverDesk
  readonly tally: HookTally
}

/** The chains of one service: every plugin's steps, cut the way this protocol cuts. */
export function assembleHooks(
  protocol: Protocol,
  balancer: { named(block: string): unknown },
  { registry, desk, tally }: Stepping,
): ServiceHooks {
  const { log } = tally
  const opening = stepsOf(registry, log, (all) => all.onOpening)
  const fromClient = stepsOf(registry, log, (all) => all.onTrafficFromClient)
  const fromServer = stepsOf(registry, log, (all) => all.onTrafficFromServer)
  const keepsRequest =
    fromServer.some((step) => step.needsRequest) || desk.of('onTrafficToClient').length > 0
  const opens = openingChain(opening, {
    failed: (plugin, cause) => tally.stepFailed(plugin, 'onOpening', cause),
    routeFlaw: (block) =>
      balancer.named(block) === undefined ? `there is no block "${block}"` : null,
  })
  return {
    opening: opens,
    observers: desk,
    fromClient: {
      decides: 'onTrafficFromClient',
      observes: 'onTrafficToServer',
      edges: fromClient.filter((step) => step.seesEdges),
      keepsRequest,
      ...direction(protocol, 'client', fromClient, desk.of('onTrafficToServer')),
    },
    fromServer: {
      decides: 'onTrafficFromServer',
      observes: 'onTrafficToClient',
      edges: [],
      keepsRequest: false,
      ...direction(protocol, 'server', fromServer, desk.of('onTrafficToClient')),
    },
  }
}

const UNITS: readonly Unit[] = ['message', 'batch', 'reply']

/** One direction's steps and observers with their tags, and what of the stream they want. */
function direction(
  protocol: Protocol,
  from: 'client' | 'server',
  steps: readonly (FromClientStep | FromServerStep)[],
  observed: readonly Observer[],
): { steps: ChainStep[]; observers: Observer[]; wanted: Wanted } {
  const chain = steps.map((step) => ({
    plugin: step.plugin,
    onFailure: step.onFailure,
    unit: step.unit,
    tags: tagsOf(protocol, from, step),
    step,
  }))
  const observers = observed.map(({ step }) => ({ step, tags: tagsOf(protocol, from, step) }))
  const all = [...chain, ...observers.map(({ step, tags }) => ({ unit: step.unit, tags }))]
  if (all.length === 0) return { steps: chain, observers, wanted: { cut: 'message', tags: null } }
  const union = new Uint8Array(256)
  let widest = 0
  for (const { unit, tags } of all) {
    widest = Math.max(widest, UNITS.indexOf(unit))
    for (let tag = 0; tag < union.length; tag++) union[tag]! |= tags === null ? 1 : tags[tag]!
  }
  return { steps: chain, observers, wanted: { cut: UNITS[widest]!, tags: union } }
}

function tagsOf(
  protocol: Protocol,
  from: 'client' | 'server',
  { plugin, messages }: { readonly plugin: string; readonly messages: readonly string[] | null },
): Uint8Array | null {
  if (messages === null || protocol === RAW) return null
  const tags = new Uint8Array(256)
  for (const name of messages) {
    const tag = protocol.tag(from, name)
    if (tag === undefined) {
      const place = `plugin "${plugin}" asks for the message "${name}"`
      throw new GatewayError('PLUGIN_MANIFEST', `${place}, which no ${from} sends`)
    }
    tags[tag] = 1
  }
  return tags
}
