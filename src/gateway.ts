/** The gateway's life: start, drain and stop. It holds the current generation. */
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import { type ControlServer, startControl } from './admin/control.ts'
import { type AdminHttp, startAdminHttp } from './admin/http.ts'
import { reapProcesses } from './admin/process-notes.ts'
import type { StatusReport } from './admin/report.ts'
import { openRunFolder, type RunFolder } from './admin/run-folder.ts'
import { joinServiceManager, type ServiceManager } from './admin/service-manager.ts'
import { commit, version } from './base/build.ts'
import { type CertificatePair, readPair } from './base/certificates.ts'
import { createLog, setLevel } from './base/log.ts'
import { settlesIn } from './base/settles.ts'
import type { LoadedConfig } from './config/load.ts'
import { buildGeneration, type Generation } from './generation.ts'
import { startTicker } from './hooks/ticker.ts'
import { declareFamilies } from './metrics/families.ts'
import { createMeter, type Meter } from './metrics/meter.ts'
import { createMergedPage } from './metrics/page.ts'
import type { PluginCounts } from './metrics/plugin-families.ts'
import { type Scrapes, startScrapes } from './metrics/scrape.ts'
import { PLUGIN_STATES, type Plugin } from './plugins/plugin.ts'
import type { PluginRegistry } from './plugins/registry.ts'

export interface GatewayOptions {
  readonly loaded: LoadedConfig
  /** A missing checksum is permitted, a wrong one only warned of. */
  readonly dev: boolean
  readonly env: Readonly<Record<string, string | undefined>>
}

/** How long a stop waits for plugins to be told: once of the signal, once of the end. */
const TOLD_WITHIN_MS = 5000

type State = 'starting' | 'ready' | 'draining'

export class Gateway {
  readonly log: Logger
  readonly #options: GatewayOptions
  readonly #meter: Meter
  #runFolder: RunFolder | null = null
  #generation: Generation | null = null
  #scrapes: Scrapes | null = null
  #http: AdminHttp | null = null
  #control: ControlServer | null = null
  #manager: ServiceManager | null = null
  #tickers: readonly (() => void)[] = []
  #state: State = 'starting'
  #stopping: Promise<void> | null = null
  readonly #startedAt = performance.now()

  constructor(options: GatewayOptions) {
    this.#options = options
    this.log = createLog({ group: 'default', ...options.loaded.config.loggers.default })
    this.#meter = createMeter({ log: this.log })
  }

  /** Loads everything and starts the plugins, then takes it down: nothing listens or is dialled. */
  async check(): Promise<void> {
    try {
      await this.#build({ everyPlugin: true })
    } finally {
      await this.stop()
    }
  }

  /** Resolves when clients can connect; throws a GatewayError, with everything taken down. */
  async start(): Promise<void> {
    try {
      this.#manager = await joinServiceManager({
        env: this.#options.env,
        report: () => this.status(),
        failed: (sentence) => this.log.warn({}, sentence),
      })
      // First of all what a killed gateway left is ended: its plugins may be in the way of ours.
      this.#folder(this.#options.env)
      await this.#build({ everyPlugin: false })
      await this.#serve()
    } catch (thrown) {
      await this.stop()
      throw thrown
    }
  }

  async #build({ everyPlugin }: { readonly everyPlugin: boolean }): Promise<void> {
    const { loaded, dev, env } = this.#options
    for (const notice of loaded.notices) this.log.warn(notice)
    const surroundings = {
      log: this.log,
      meter: this.#meter,
      dev,
      runFolder: () => this.#folder(env).path,
      noteProcess: (pid: number) => {
        const failed = (sentence: string): void => this.log.warn({ pid }, sentence)
        return this.#folder(env).note(pid, failed)
      },
    }
    const bound = everyPlugin ? {} : { bound: (all: PluginRegistry) => this.#look(all) }
    this.#generation = await buildGeneration(loaded, { surroundings, everyPlugin, ...bound })
    this.#relog(this.#generation.config.loggers.default)
  }

  /** The log was opened before plugins could change what is set for it: the level can follow. */
  #relog(settled: LoadedConfig['config']['loggers'][string]): void {
    const { level, ...others } = this.#options.loaded.config.loggers.default
    if (settled.level !== level) setLevel(this.log, settled.level)
    if (isDeepStrictEqual({ ...others, level: settled.level }, settled)) return
    const problem = 'plugins changed keys of loggers.default other than its level: without effect'
    this.log.warn(`${problem}, for the log is open already`)
  }

  #folder(env: GatewayOptions['env']): RunFolder {
    this.#runFolder ??= openRunFolder(env, { reap: (folder) => reapFor(this.log, folder) })
    return this.#runFolder
  }

  /** Looks after plugins whose hooks are bound: at their metrics and at their health. */
  #look(registry: PluginRegistry): void {
    const { plugins } = this.#options.loaded
    if (plugins.enableMetricsMerger) {
      this.#scrapes = startScrapes({
        periodMs: plugins.metricsMergerPeriod,
        targets: () => scrapeTargets(registry),
        meter: this.#meter,
        log: this.log,
      })
    }
    registry.watch()
  }

  async #serve(): Promise<void> {
    const generation = this.#generation!
    const { config, services, desk } = generation
    this.#declareFamilies(generation)
    // Every server boots: plugins are told as often as there are servers.
    for (const _ of services) await desk.tell('onBooting', { status: '1' })
    for (const { listener, balancer } of services) {
      await listener.prepare()
      listener.start()
      for (const upstream of balancer.upstreams) upstream.watch()
      this.log.info(
        { server: listener.group, protocol: listener.protocol },
        `listening on ${listener.address}`,
      )
    }
    this.#control = await startControl(this.#folder(this.#options.env), {
      status: () => this.status(),
      plugins: () => generation.registry.statuses(),
    })
    await this.#serveMetrics(config.metrics.default)
    this.#state = 'ready'
    for (const _ of services) await desk.tell('onBooted', { status: '0' })
    this.#tickers = startTickers(generation)
    const upMs = Math.round(performance.now() - this.#startedAt)
    this.log.info({ version, commit, upMs }, 'ready')
    this.#manager?.ready()
  }

  async #serveMetrics(metrics: LoadedConfig['config']['metrics'][string]): Promise<void> {
    if (!metrics.enabled) return
    this.#http = await startAdminHttp({
      address: metrics.address,
      path: metrics.path,
      page: createMergedPage({
        meter: this.#meter,
        pages: () => this.#scrapes?.pages() ?? [],
        log: this.log,
      }),
      healthy: () => [],
      ready: () => (this.#state === 'ready' ? [] : [`the gateway is ${this.#state}`]),
      log: this.log,
      tls: certificateOf(metrics, this.log),
    })
    this.log.info({}, `metrics on ${this.#http.url}${metrics.path}`)
  }

  status(): StatusReport {
    const generation = this.#generation
    const services = generation?.services ?? []
    const sum = (read: (account: (typeof services)[number]['account']) => number): number =>
      services.reduce((total, { account }) => total + read(account), 0)
    const states = generation?.registry.statuses().map(({ state }) => state) ?? []
    return {
      version,
      pid: process.pid,
      uptimeSeconds: (performance.now() - this.#startedAt) / 1000,
      state: this.#state,
      generation: 1,
      listeners: services.map(({ group, listener }) => ({
        group,
        address: listener.address,
        protocol: listener.protocol,
        sessions: listener.sessions,
        sessionsMax: listener.sessionsMax,
      })),
      upstreams: services.flatMap(({ balancer }) =>
        balancer.upstreams.map(({ group, block, address, reachable, lastError }) => ({
          group,
          block,
          address,
          reachable,
          lastError,
        })),
      ),
      sessions: {
        open: sum((account) => account.sessionsOpen),
        total: sum((account) => account.sessionsTotal),
        refused: sum((account) => account.sessionsRefused),
      },
      bytes: {
        fromClients: sum((account) => account.bytesFromClient),
        toServers: sum((account) => account.bytesToServer),
        fromServers: sum((account) => account.bytesFromServer),
        toClients: sum((account) => account.bytesToClient),
      },
      plugins: {
        total: states.length,
        ready: states.filter((state) => state === 'ready').length,
      },
      metricsAddress: this.#http?.url ?? '',
    }
  }

  #declareFamilies(generation: Generation): void {
    const { services, registry, tally } = generation
    declareFamilies(this.#meter, {
      listeners: () => services,
      upstreams: () => services.flatMap(({ balancer }) => balancer.upstreams),
      pools: () => services.flatMap(({ pools }) => [...pools.values()]),
      plugins: () => registry.plugins.map(countsOf),
      stepFailures: () => tally.failures(),
      observersDropped: () => tally.drops(),
      denied: () => tally.denials(),
      states: PLUGIN_STATES,
    })
  }

  /** Tells plugins of the signal, lets sessions end, stops everything. Idempotent. */
  stop(signal = 'unknown'): Promise<void> {
    this.#stopping ??= this.#stop(signal)
    return this.#stopping
  }

  async #stop(signal: string): Promise<void> {
    this.#state = 'draining'
    const generation = this.#generation
    this.#manager?.stopping(generation?.config.drainTimeout ?? 0)
    if (generation !== null) {
      for (const stop of this.#tickers) stop()
      const probes = generation.services.flatMap(({ balancer }) =>
        balancer.upstreams.map((upstream) => upstream.stop()),
      )
      await this.#told(generation.desk.tell('onSignal', { signal }), 'the signal')
      const { drainTimeout } = generation.config
      await Promise.all(generation.services.map(({ listener }) => listener.drain(drainTimeout)))
      await this.#told(tellEnd(generation), 'the end of the sessions')
      await Promise.all(probes)
    }
    await this.#scrapes?.stop()
    await this.#http?.stop()
    await generation?.registry.stop()
    await this.#control?.stop()
    this.#runFolder?.close()
    this.#manager?.leave()
    await new Promise<void>((resolve) => this.log.flush(() => resolve()))
  }

  /** Waits until plugins were told; one that hangs must not keep the gateway from stopping. */
  async #told(telling: Promise<void>, what: string): Promise<void> {
    if (await settlesIn(TOLD_WITHIN_MS, telling)) return
    this.log.warn({}, `a plugin was not told of ${what} within ${TOLD_WITHIN_MS} ms; stopping on`)
  }
}

/** Of the ends of sessions plugins are told behind what was said before. */
async function tellEnd({ desk, services }: Generation): Promise<void> {
  await desk.quiet()
  for (const { listener } of services) {
    await desk.tell('onShutdown', { connections: listener.sessions })
  }
}

/** With what the page of metrics is served over HTTPS; null: over HTTP. */
function certificateOf(
  { certFile, keyFile }: LoadedConfig['config']['metrics'][string],
  log: Logger,
): CertificatePair | null {
  if (certFile === '') return null
  const pair = readPair(
    { key: 'metrics.default.certFile', path: certFile },
    { key: 'metrics.default.keyFile', path: keyFile },
  )
  for (const warning of pair.warnings) log.warn(warning)
  return pair
}

/** Ends what a killed gateway left; false where something of it is left even so. */
function reapFor(log: Logger, folder: string): boolean {
  const { ended, left, unreadable } = reapProcesses(folder)
  for (const pid of ended) log.warn({ pid }, 'ended a plugin that a killed gateway had left')
  for (const note of unreadable) {
    log.warn({}, `${note} cannot be read: if a killed gateway left that process, end it yourself`)
  }
  for (const pid of left) {
    log.error({ pid }, 'a plugin that a killed gateway had left does not end; end it yourself')
  }
  return left.length === 0
}

/** One for each server that asks for it. */
function startTickers({ config, services, desk }: Generation): readonly (() => void)[] {
  return services.flatMap(({ group, listener }) => {
    const { enableTicker, tickInterval } = config.servers[group]!
    if (!enableTicker) return []
    return [startTicker({ intervalMs: tickInterval, desk, connections: () => listener.sessions })]
  })
}

/** What the metrics tell of one plugin. */
function countsOf(plugin: Plugin): PluginCounts {
  const { name, runtime, state, restarts, readySince } = plugin.status()
  const { sandbox } = plugin
  return {
    name,
    runtime,
    state,
    restarts,
    readySince,
    calls: plugin.calls.hooks(),
    sandbox:
      sandbox === undefined
        ? null
        : {
            ...sandbox.consumption,
            traps: sandbox.traps.entries(),
            limitHits: sandbox.hits.entries(),
            memoryBytes: sandbox.memoryBytes,
          },
  }
}

function scrapeTargets(registry: PluginRegistry) {
  return registry.plugins.flatMap((plugin) => {
    const socket = plugin.manifest?.metricsSocket ?? null
    const { readySince } = plugin.status()
    return socket === null || readySince === null
      ? []
      : [{ plugin: plugin.name, socket, run: readySince }]
  })
}
