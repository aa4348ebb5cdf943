/**
 * One immutable configuration with everything built from it. This is the one assembly, read from
 * top to bottom: configuration -> plugins -> chains -> upstreams -> listeners.
 */
import type { Logger } from 'pino'
import { type Address, requiredAddress } from './base/address.ts'
import { GatewayError, sentenceOf } from './base/errors.ts'
import { assembleBlocks, type Blocks } from './blocks.ts'
import { assembleDesk, assembleHooks, stepsOf } from './chains.ts'
import { announcements, newClientParams, runParams } from './config/announcements.ts'
import { dottedKeys, withChanges } from './config/dotted.ts'
import type { LoadedConfig } from './config/load.ts'
import type { Config, ServerConfig } from './config/schema.ts'
import { refuseOtherWorkers, refuseTooManyWorkers, workersOf } from './config/workers.ts'
import type { ObserverDesk } from './hooks/observers.ts'
import { runSettings } from './hooks/settings.ts'
import type { HookTally } from './hooks/tally.ts'
import type { Lasting } from './lasting.ts'
import type { Plugin, PluginSpec, PluginSurroundings } from './plugins/plugin.ts'
import { PluginRegistry } from './plugins/registry.ts'
import { type SharingSettings, sharingSettings } from './plugins/shared/settings.ts'
import { specOf } from './plugins/spec.ts'
import { POSTGRES } from './protocols/postgres/postgres.ts'
import type { Protocol } from './protocols/protocol.ts'
import { RAW } from './protocols/raw.ts'
import type { Account } from './tcp/account.ts'
import { type Listening, newListener } from './tcp/listening.ts'
import { createGate } from './tcp/pools.ts'
import type { ListenerOptions } from './tcp/surroundings.ts'
import { Tenancy } from './tcp/tenancy.ts'
import { tlsOptionsOf } from './tcp/tls-options.ts'
import type { Upstream } from './upstream/upstream.ts'

/** One server group: its listener, which the next generation may go on with, and its options. */
export interface Service {
  readonly group: string
  readonly listener: Listening
  readonly options: ListenerOptions
  readonly blocks: Blocks
}

export interface Generation {
  /** Counts the configurations that were taken into use, from 1. */
  readonly number: number
  readonly loaded: LoadedConfig
  /** As loaded, with what plugins changed. */
  readonly config: Config
  readonly registry: PluginRegistry
  readonly services: readonly Service[]
  readonly desk: ObserverDesk
  /** The sessions that use what was built here. */
  readonly tenancy: Tenancy
  /** Where the data of plugins are shared; null: nowhere. */
  readonly sharing: SharingSettings | null
}

const PROTOCOLS: Readonly<Record<ServerConfig['protocol'], Protocol>> = {
  postgres: POSTGRES,
  raw: RAW,
}

export interface BuildOptions {
  readonly surroundings: PluginSurroundings
  readonly lasting: Lasting
  /** The one that is current; null at the start. What has not changed is taken over from it. */
  readonly before: Generation | null
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
  const { before, lasting, surroundings } = options
  const { log } = surroundings
  const { tally } = lasting
  const rules = {
    log,
    compatibility: loaded.plugins.compatibilityPolicy,
    pingPeriodMs: loaded.plugins.healthCheckPeriod,
    ...(before === null ? {} : { consequence: 'the configuration is not taken into use' }),
    holdings: lasting.plugins,
  }
  const registry = new PluginRegistry(rules, before?.registry.placed)
  const services: Service[] = []
  try {
    const sharing = sharingSettings(loaded.plugins)
    await startPlugins(registry, loaded, options)
    if (loaded.handed === undefined) refuseCrowds(registry, loaded)
    const isTrial = options.everyPlugin && loaded.handed === undefined
    if (before === null && !isTrial) await share(lasting, sharing)
    const desk = assembleDesk(registry, loaded.plugins.observersQueuedMax, tally)
    options.bound?.(registry)
    const config = await settleConfig(registry, loaded, tally)
    refuseOtherWorkers(loaded.config, config)
    if (loaded.handed === undefined) {
      for (const { hook, params } of announcements(config)) await desk.tell(hook, params)
    }
    const tenancy = new Tenancy()
    const parts = { config, loaded, registry, desk, tally, log, tenancy, lasting, before }
    for (const [group, server] of Object.entries(config.servers)) {
      const service = await assembleService(group, server, parts)
      for (const upstream of service.blocks.balancer.upstreams) lasting.upstreams.hold(upstream)
      for (const pool of service.blocks.pools.values()) lasting.pools.hold(pool)
      services.push(service)
    }
    const number = loaded.handed?.generation ?? (before?.number ?? 0) + 1
    return { number, loaded, config, registry, services, desk, tenancy, sharing }
  } catch (thrown) {
    await releaseBuilt({ registry, services }, lasting)
    throw thrown
  }
}

/** The first clients shall find what plugins of other gateways know, if that can be had in time. */
async function share({ shared }: Lasting, sharing: SharingSettings | null): Promise<void> {
  shared.share(sharing)
  await shared.first()
}

/** Takes down what was built, but for what another generation holds; its listeners are let be. */
export async function releaseBuilt(
  { registry, services }: Pick<Generation, 'registry' | 'services'>,
  lasting: Lasting,
): Promise<void> {
  for (const { blocks } of services) {
    for (const pool of blocks.pools.values()) await lasting.pools.release(pool)
    for (const upstream of blocks.balancer.upstreams) await lasting.upstreams.release(upstream)
  }
  await registry.stop()
}

/** Plugins, in the order of the file. The runtimes are loaded only where a plugin needs them. */
async function startPlugins(
  registry: PluginRegistry,
  loaded: LoadedConfig,
  { surroundings, lasting, everyPlugin }: BuildOptions,
): Promise<void> {
  const specs = loaded.plugins.plugins
    .filter(({ enabled, priority }) => enabled && (loaded.handed?.plugins.has(priority) ?? true))
    .map((entry) => attached(specOf(entry, loaded.plugins), loaded))
  const make = async (spec: PluginSpec): Promise<Plugin> => {
    if (spec.runtime === 'wasm') {
      const { createWasmPlugin } = await import('./plugins/wasm/plugin.ts')
      return createWasmPlugin(spec, surroundings, lasting.stores)
    }
    if (spec.attachedTo !== undefined) {
      const { createAttachedPlugin } = await import('./plugins/grpc/attached.ts')
      return createAttachedPlugin(spec, surroundings, spec.attachedTo)
    }
    const { createGrpcPlugin } = await import('./plugins/grpc/plugin.ts')
    return createGrpcPlugin(spec, surroundings)
  }
  if (!everyPlugin) return registry.start(specs, make)
  const failures = await registry.tryAll(specs, make)
  if (failures.length === 0) return
  throw new GatewayError('PLUGIN_FILE', failures.map(sentenceOf).join('\n'))
}

/** Throws CONFIG_INVALID where more than one process cannot serve by what is configured. */
function refuseCrowds({ placed }: PluginRegistry, { config }: LoadedConfig): void {
  const workers = workersOf(config)
  if (workers === 1) return
  refuseTooManyWorkers(config)
  for (const { plugin } of placed) {
    const most = plugin.manifest?.workersMax ?? null
    if (most === null || workers <= most) continue
    const problem = `plugin "${plugin.name}" works with ${most} worker at most`
    const why = 'what it keeps in one of them is not seen by the others'
    const cure = `set workers: ${most}, or take the plugin out`
    throw new GatewayError('CONFIG_INVALID', `${problem}, not with ${workers}: ${why}; ${cure}`)
  }
}

/** A plugin whose process is run by another process is only reached from here. */
function attached(spec: PluginSpec, { handed }: LoadedConfig): PluginSpec {
  const id = handed?.plugins.get(spec.priority) ?? null
  return id === null ? spec : { ...spec, attachedTo: id }
}

/** The configuration with what onConfigLoaded steps changed. */
async function settleConfig(
  registry: PluginRegistry,
  loaded: LoadedConfig,
  tally: HookTally,
): Promise<Config> {
  const steps = stepsOf(registry, tally.log, (all) => all.onConfigLoaded)
  if (steps.length === 0 || loaded.handed !== undefined) return loaded.config
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
  readonly loaded: LoadedConfig
  readonly registry: PluginRegistry
  readonly desk: ObserverDesk
  readonly tally: HookTally
  readonly log: Logger
  readonly tenancy: Tenancy
  readonly lasting: Lasting
  readonly before: Generation | null
}

async function assembleService(
  group: string,
  server: ServerConfig,
  parts: Parts,
): Promise<Service> {
  const { config, tally, log, tenancy, lasting } = parts
  const protocol = PROTOCOLS[server.protocol]
  const before = serviceBefore(group, parts.before)
  const address = await settleAddress(group, server, parts)
  const { sockets } = lasting
  const share = sockets === null ? undefined : (limit: number): number => sockets.share(limit)
  const blocks = assembleBlocks({ group, server, protocol, config, log, before, share })
  const { balancer, pools } = blocks
  const hooks = assembleHooks(protocol, balancer, parts)
  const { account, budget } = lasting.book(group, server.bufferedBytesMax)
  const options: ListenerOptions = {
    group,
    address,
    socketMode: Number.parseInt(server.socketMode, 8),
    protocol,
    hooks,
    balancer,
    pools,
    gate: createGate({
      group,
      server,
      clients: config.clients[group] ?? {},
      pools: config.pools[group] ?? {},
      hasDecider: hooks.fromClient.steps.length > 0,
      turnedAway: tellTurnedAway(group, account, tally),
    }),
    tls: tlsOptionsOf(group, server, account.tls, log),
    limits: { messageBytesMax: server.messageBytesMax, budget },
    sessionsMax: server.sessionsMax,
    sharing: sockets,
    loginTimeoutMs: server.loginTimeout,
    idleTimeoutMs: server.idleTimeout,
    account,
    tenancy,
    log,
    ...tellers(group, tally),
    serverConnected: tellNewClient(group, parts),
  }
  const listener = newListener(options, before?.listener ?? null)
  return { group, listener, options, blocks }
}

/**
 * Who is told of what happens to sessions. Made apart, like all that is called later: a function
 * keeps what those beside it use, and must not keep the generation before, and all before that.
 */
function tellers(group: string, tally: HookTally) {
  return {
    stepFailed: (plugin: string, hook: string, cause: string) =>
      tally.stepFailed(plugin, hook, cause),
    denied: (hook: string) => tally.denied(hook),
    upstreamFailed: ({ block, address }: Upstream, cause: string) =>
      tally.limited(
        `${group}.${block}`,
        `cannot connect to ${address} (clients.${group}.${block}): ${cause}`,
      ),
  }
}

function tellTurnedAway(group: string, account: Account, tally: HookTally) {
  return (reason: string): void => {
    account.loginsRefused += 1
    tally.limited(`${group}.login`, `a client was not let in: ${reason}`)
  }
}

/** The service of a group as the generation before has it. */
function serviceBefore(group: string, before: Generation | null) {
  const service = before?.services.find((other) => other.group === group)
  return before === null || service === undefined ? null : { ...service, config: before.config }
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

/** Where to listen, with what onRun steps changed. They are asked of new addresses only. */
async function settleAddress(
  group: string,
  server: ServerConfig,
  { loaded, registry, tally, before }: Parts,
): Promise<Address> {
  const handed = loaded.handed?.addresses[group]
  if (handed !== undefined) return handed
  const known = serviceBefore(group, before)
  const had = known?.config.servers[group]
  if (known !== null && had?.address === server.address && had.network === server.network) {
    return known.options.address
  }
  const key = `servers.${group}.address`
  const steps = stepsOf(registry, tally.log, (all) => all.onRun)
  if (steps.length === 0) return requiredAddress(server.address, server.network, key)
  const outcome = await runSettings(steps, await runParams(server), {
    failed: (plugin, cause) => tally.stepFailed(plugin, 'onRun', cause),
    flaw: ({ address = server.address }) => {
      if (typeof address !== 'string') return 'the address that it returned is no text'
      return flawOf(() => requiredAddress(address, server.network, 'the address that it returned'))
    },
  })
  if (outcome.kind === 'refused') throw refusedBy(outcome.plugin, 'onRun', outcome.cause)
  const { address } = outcome.changes
  const settled = typeof address === 'string' && address !== '' ? address : server.address
  return requiredAddress(settled, server.network, key)
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
