/**
 * One immutable configuration with everything built from it. This is the one assembly, read from
 * top to bottom: configuration -> plugins -> chains -> upstreams -> listeners.
 */
import type { Logger } from 'pino'
import { parseAddress } from './base/address.ts'
import { GatewayError, sentenceOf } from './base/errors.ts'
import { announcements, newClientParams, runParams } from './config/announcements.ts'
import { dottedKeys, withChanges } from './config/dotted.ts'
import type { LoadedConfig } from './config/load.ts'
import type { Config, ServerConfig } from './config/schema.ts'
import type { ChainStep } from './hooks/chain.ts'
import { HOOKS, type ObservingHook } from './hooks/hook.ts'
import { type Observer, ObserverDesk } from './hooks/observers.ts'
import { openingChain } from './hooks/opening.ts'
import { inOrder } from './hooks/order.ts'
import { runSettings } from './hooks/settings.ts'
import type { FromClientStep, FromServerStep, Unit } from './hooks/step.ts'
import { HookTally } from './hooks/tally.ts'
import type { Plugin, PluginSpec, PluginSurroundings } from './plugins/plugin.ts'
import { PluginRegistry } from './plugins/registry.ts'
import { specOf } from './plugins/spec.ts'
import { POSTGRES } from './protocols/postgres/postgres.ts'
import type { Budget, Protocol, Wanted } from './protocols/protocol.ts'
import { RAW } from './protocols/raw.ts'
import { type Account, newAccount } from './tcp/account.ts'
import { Listener } from './tcp/listener.ts'
import { createGate, createServerPool } from './tcp/pools.ts'
import type { ServerPool } from './tcp/server-pool.ts'
import type { ListenerOptions, ServiceHooks } from './tcp/surroundings.ts'
import { tlsOptionsOf } from './tcp/tls-options.ts'
import { balancerOf, createUpstreams } from './tcp/upstreams.ts'
import type { Balancer } from './upstream/balancer.ts'
import type { Upstream } from './upstream/upstream.ts'

/** One server group with its listener, and what it counts. */
export interface Service {
  readonly group: string
  readonly listener: Listener
  readonly balancer: Balancer
  readonly pools: ReadonlyMap<Upstream, ServerPool>
  readonly account: Account
  readonly budget: Budget
}

export interface Generation {
  readonly config: Config
  readonly registry: PluginRegistry
  readonly services: readonly Service[]
  readonly tally: HookTally
  readonly desk: ObserverDesk
}

const PROTOCOLS: Readonly<Record<ServerConfig['protocol'], Protocol>> = {
  postgres: POSTGRES,
  raw: RAW,
}

export interface BuildOptions {
  readonly surroundings: PluginSurroundings
  /** Every plugin that does not start is an error, not only the required ones; all are named. */
  readonly everyPlugin: boolean
  /** Told when the hooks of all plugins are bound, before the first one of them is called. */
  readonly bound?: (registry: PluginRegistry) => void
}

/** Builds everything and starts the plugins; nothing listens and nothing is dialled yet. */
export async function buildGeneration(
  loaded: LoadedConfig,
  options: BuildOptions,
): Promise<Generation> {
  const { log } = options.surroundings
  const registry = new PluginRegistry({
    log,
    compatibility: loaded.plugins.compatibilityPolicy,
    pingPeriodMs: loaded.plugins.healthCheckPeriod,
  })
  try {
    await startPlugins(registry, loaded, options)
    const tally = new HookTally(log)
    const desk = assembleDesk(registry, loaded, tally)
    options.bound?.(registry)
    const config = await settleConfig(registry, loaded, tally)
    for (const { hook, params } of announcements(config)) await desk.tell(hook, params)
    const services: Service[] = []
    for (const [group, server] of Object.entries(config.servers)) {
      services.push(await assembleService(group, server, { config, registry, desk, tally, log }))
    }
    return { config, registry, services, tally, desk }
  } catch (thrown) {
    await registry.stop()
    throw thrown
  }
}

/** Plugins, in the order of the file. The runtimes are loaded only where a plugin needs them. */
async function startPlugins(
  registry: PluginRegistry,
  loaded: LoadedConfig,
  { surroundings, everyPlugin }: BuildOptions,
): Promise<void> {
  const specs = loaded.plugins.plugins
    .filter((entry) => entry.enabled)
    .map((entry) => specOf(entry, loaded.plugins))
  const make = async (spec: PluginSpec): Promise<Plugin> => {
    if (spec.runtime === 'wasm') {
      const { createWasmPlugin } = await import('./plugins/wasm/plugin.ts')
      return createWasmPlugin(spec, surroundings)
    }
    const { createGrpcPlugin } = await import('./plugins/grpc/plugin.ts')
    return createGrpcPlugin(spec, surroundings)
  }
  if (!everyPlugin) return registry.start(specs, make)
  const failures = await registry.tryAll(specs, make)
  if (failures.length === 0) return
  throw new GatewayError('PLUGIN_FILE', failures.map(sentenceOf).join('\n'))
}

/** The steps of all ready plugins for one hook, in order. */
function stepsOf<Step extends { readonly plugin: string; readonly priority: number }>(
  registry: PluginRegistry,
  log: Logger,
  pick: (steps: PluginRegistry['plugins'][number]['steps']) => Step | undefined,
): readonly Step[] {
  const steps = registry.plugins
    .map((plugin) => pick(plugin.steps))
    .filter((step) => step !== undefined)
  return inOrder(steps, (loser, winner) =>
    log.warn(
      { plugin: loser.plugin },
      `its step is replaced by that of "${winner.plugin}", which has the same priority`,
    ),
  )
}

function assembleDesk(
  registry: PluginRegistry,
  loaded: LoadedConfig,
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
  return new ObserverDesk(byHook, new Set(deciders), loaded.plugins.observersQueuedMax, tally)
}

/** The configuration with what onConfigLoaded steps changed. */
async function settleConfig(
  registry: PluginRegistry,
  loaded: LoadedConfig,
  tally: HookTally,
): Promise<Config> {
  const steps = stepsOf(registry, tally.log, (all) => all.onConfigLoaded)
  if (steps.length === 0) return loaded.config
  const outcome = await runSettings(steps, dottedKeys(loaded.config), {
    failed: (plugin, cause) => tally.stepFailed(plugin, 'onConfigLoaded', cause),
    flaw: (changes) => flawOf(() => withChanges(loaded.config, changes)),
  })
  if (outcome.kind === 'refused') throw refusedBy(outcome.plugin, 'onConfigLoaded', outcome.cause)
  const { config, notices } = withChanges(loaded.config, outcome.changes)
  for (const notice of notices) tally.log.warn(notice)
  return config
}

interface Parts {
  readonly config: Config
  readonly registry: PluginRegistry
  readonly desk: ObserverDesk
  readonly tally: HookTally
  readonly log: Logger
}

async function assembleService(
  group: string,
  server: ServerConfig,
  parts: Parts,
): Promise<Service> {
  const { config, tally, log } = parts
  const protocol = PROTOCOLS[server.protocol]
  const clients = config.clients[group] ?? {}
  const proxies = config.proxies[group] ?? {}
  const upstreams = createUpstreams({ group, server, clients, proxies, log })
  const balancer = balancerOf(upstreams, server.loadBalancer)
  const account = newAccount()
  const budget: Budget = { held: 0, heldMax: server.bufferedBytesMax, spent: 0 }
  const hooks = assembleHooks(protocol, balancer, parts)
  const pools = assemblePools(upstreams, protocol, config)
  const listener = new Listener({
    group,
    address: parsed(await settleAddress(server, parts), server.network, `servers.${group}.address`),
    socketMode: Number.parseInt(server.socketMode, 8),
    protocol,
    hooks,
    balancer,
    pools,
    gate: createGate({
      group,
      server,
      clients,
      hasDecider: hooks.fromClient.steps.length > 0,
      turnedAway: (reason) => {
        account.loginsRefused += 1
        tally.limited(`${group}.login`, `a client was not let in: ${reason}`)
      },
    }),
    limits: { messageBytesMax: server.messageBytesMax, budget },
    sessionsMax: server.sessionsMax,
    tls: tlsOptionsOf(group, server, account.tls, log),
    loginTimeoutMs: server.loginTimeout,
    idleTimeoutMs: server.idleTimeout,
    account,
    log,
    stepFailed: (plugin, hook, cause) => tally.stepFailed(plugin, hook, cause),
    denied: (hook) => tally.denied(hook),
    upstreamFailed: (upstream, cause) =>
      tally.limited(
        `${group}.${upstream.block}`,
        `cannot connect to ${upstream.address} (clients.${group}.${upstream.block}): ${cause}`,
      ),
    serverConnected: tellNewClient(group, parts),
  })
  return { group, listener, balancer, pools, account, budget }
}

function assemblePools(upstreams: readonly Upstream[], protocol: Protocol, config: Config) {
  const pools = new Map<Upstream, ServerPool>()
  for (const upstream of upstreams) {
    const { group, block } = upstream
    const pool = createServerPool(upstream, protocol, {
      client: config.clients[group]![block]!,
      pool: config.pools[group]![block]!,
      proxy: config.proxies[group]![block]!,
    })
    if (pool !== null) pools.set(upstream, pool)
  }
  return pools
}

/** Tells plugins of connections to databases; null where none wants to know. */
function tellNewClient(group: string, { config, desk }: Parts): ListenerOptions['serverConnected'] {
  if (desk.of('onNewClient').length === 0) return null
  return ({ block }, { local, remote }) => {
    const client = config.clients[group]![block]!
    const made = { group, block, client, localAddress: local, remoteAddress: remote }
    desk.track(desk.tell('onNewClient', newClientParams(made)))
  }
}

/** Where to listen, with what onRun steps changed. */
async function settleAddress(server: ServerConfig, { registry, tally }: Parts): Promise<string> {
  const steps = stepsOf(registry, tally.log, (all) => all.onRun)
  if (steps.length === 0) return server.address
  const outcome = await runSettings(steps, await runParams(server), {
    failed: (plugin, cause) => tally.stepFailed(plugin, 'onRun', cause),
    flaw: ({ address = server.address }) => {
      if (typeof address !== 'string') return 'the address that it returned is no text'
      return flawOf(() => parsed(address, server.network, 'the address that it returned'))
    },
  })
  if (outcome.kind === 'refused') throw refusedBy(outcome.plugin, 'onRun', outcome.cause)
  const { address } = outcome.changes
  return typeof address === 'string' && address !== '' ? address : server.address
}

function parsed(text: string, network: string, key: string) {
  const address = parseAddress(text, network)
  if (address !== null) return address
  throw new GatewayError('CONFIG_INVALID', `${key}: "${text}" is no address such as HOST:PORT`)
}

/** The chains of one service: every plugin's steps, cut the way this protocol cuts. */
function assembleHooks(
  protocol: Protocol,
  balancer: Balancer,
  { registry, desk, tally, log }: Parts,
): ServiceHooks {
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

/** Why something cannot be used, which throws then; null where it can. */
function flawOf(use: () => unknown): string | null {
  try {
    use()
    return null
  } catch (thrown) {
    return sentenceOf(thrown)
  }
}

function refusedBy(plugin: string, hook: string, cause: string): GatewayError {
  return new GatewayError('PLUGIN_REQUIRED', `plugin "${plugin}" failed at ${hook}: ${cause}`)
}
