/** The gateway's life: start, drain and stop. It holds the current generation. */
import type { Logger } from 'pino'
import { type ControlServer, startControl } from './admin/control.ts'
import { type AdminHttp, startAdminHttp } from './admin/http.ts'
import type { StatusReport } from './admin/report.ts'
import { openRunFolder, type RunFolder } from './admin/run-folder.ts'
import { commit, version } from './base/build.ts'
import { createLog } from './base/log.ts'
import type { LoadedConfig } from './config/load.ts'
import { buildGeneration, type Generation } from './generation.ts'
import { declareFamilies } from './metrics/families.ts'
import { createMeter, type Meter } from './metrics/meter.ts'
import { createMergedPage } from './metrics/page.ts'
import { type Scrapes, startScrapes } from './metrics/scrape.ts'
import { PLUGIN_STATES } from './plugins/plugin.ts'

export interface GatewayOptions {
  readonly loaded: LoadedConfig
  /** A missing checksum is permitted, a wrong one only warned of. */
  readonly dev: boolean
  readonly env: Readonly<Record<string, string | undefined>>
}

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
    const runFolder = (): string => this.#folder(env).path
    const surroundings = { log: this.log, meter: this.#meter, dev, runFolder }
    this.#generation = await buildGeneration(loaded, { surroundings, everyPlugin })
  }

  #folder(env: GatewayOptions['env']): RunFolder {
    this.#runFolder ??= openRunFolder(env)
    return this.#runFolder
  }

  async #serve(): Promise<void> {
    const generation = this.#generation!
    const { config } = generation
    this.#declareFamilies(generation)
    await generation.desk.tell('onBooting', { status: '1' })
    for (const { listener } of generation.services) {
      listener.start()
      this.log.info(
        { server: listener.group, protocol: listener.protocol },
        `listening on ${listener.address}`,
      )
    }
    this.#control = await startControl(this.#folder(this.#options.env), {
      status: () => this.status(),
      plugins: () => generation.registry.statuses(),
    })
    await this.#serveMetrics(generation, config.metrics.default)
    this.#state = 'ready'
    await generation.desk.tell('onBooted', { status: '0' })
    const upMs = Math.round(performance.now() - this.#startedAt)
    this.log.info({ version, commit, upMs }, 'ready')
  }

  async #serveMetrics(
    generation: Generation,
    metrics: LoadedConfig['config']['metrics'][string],
  ): Promise<void> {
    const { plugins } = this.#options.loaded
    this.#scrapes = plugins.enableMetricsMerger
      ? startScrapes({
          periodMs: plugins.metricsMergerPeriod,
          targets: () => scrapeTargets(generation),
          meter: this.#meter,
          log: this.log,
        })
      : null
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
    })
    this.log.info({}, `metrics on http://${this.#http.address}${metrics.path}`)
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
      metricsAddress: this.#http?.address ?? '',
    }
  }

  #declareFamilies(generation: Generation): void {
    const { services, registry, tally } = generation
    declareFamilies(this.#meter, {
      listeners: () => services,
      upstreams: () => services.flatMap(({ balancer }) => balancer.upstreams),
      plugins: () => registry.statuses(),
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
    if (generation !== null) {
      await generation.desk.tell('onSignal', { signal })
      const { drainTimeout } = generation.config
      await Promise.all(generation.services.map(({ listener }) => listener.drain(drainTimeout)))
      // Of the ends of sessions plugins are told behind what was said before.
      await generation.desk.quiet()
      await generation.desk.tell('onShutdown', { connections: 0 })
    }
    await this.#scrapes?.stop()
    await this.#http?.stop()
    await generation?.registry.stop()
    await this.#control?.stop()
    this.#runFolder?.close()
    await new Promise<void>((resolve) => this.log.flush(() => resolve()))
  }
}

function scrapeTargets({ registry }: Generation) {
  return registry.plugins.flatMap((plugin) => {
    const socket = plugin.manifest?.metricsSocket ?? null
    return socket === null || plugin.status().state !== 'ready'
      ? []
      : [{ plugin: plugin.name, socket }]
  })
}
