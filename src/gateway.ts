/** The gateway's life: start, reload, drain and stop. */
import type { Logger } from 'pino'
import { type ControlServer, startControl } from './admin/control.ts'
import { MetricsHttp } from './admin/metrics-http.ts'
import { reapFor, reapProcesses } from './admin/process-notes.ts'
import type { ReloadReport, StatusReport, UpgradeReport } from './admin/report.ts'
import { openRunFolder, type RunFolder } from './admin/run-folder.ts'
import { joinServiceManager, type ServiceManager } from './admin/service-manager.ts'
import { commit, version } from './base/build.ts'
import { GatewayError } from './base/errors.ts'
import { createLog } from './base/log.ts'
import type { LoadedConfig } from './config/load.ts'
import type { LoggerConfig } from './config/schema.ts'
import { refuseOtherWorkers, workersOf } from './config/workers.ts'
import { Ending, TOLD_WITHIN_MS, tellEnd } from './ending.ts'
import type { Generation } from './generation.ts'
import { Generations } from './generations.ts'
import { Lasting } from './lasting.ts'
import { createMeter, type Meter } from './metrics/meter.ts'
import { createMergedPage } from './metrics/page.ts'
import type { PluginStatus } from './plugins/plugin.ts'
import type { PluginRegistry } from './plugins/registry.ts'
import { declareReadings, statusOf } from './readings.ts'
import { followLogger, Reloads } from './reloads.ts'
import { Scraping } from './scraping.ts'
import { Succession } from './succession.ts'
import { Supervision } from './supervision.ts'
import { Tickers } from './tickers.ts'
import type { Predecessor } from './upgrade/predecessor.ts'

export interface GatewayOptions {
  readonly loaded: LoadedConfig
  /** Loads the configuration again, from where it came; throws as the first time. */
  readonly load: () => LoadedConfig
  /** A missing checksum is permitted, a wrong one only warned of. */
  readonly dev: boolean
  readonly env: Readonly<Record<string, string | undefined>>
  /** The process whose place this one takes; left out: there is none. */
  readonly predecessor?: Predecessor | null
  /** The command line of the process that an upgrade starts. */
  readonly command?: readonly string[]
}

type State = 'starting' | 'ready' | 'draining'

export class Gateway {
  readonly log: Logger
  readonly #options: GatewayOptions
  /** What the log was opened with, of which only the level can change. */
  readonly #logger: LoggerConfig
  readonly #meter: Meter
  readonly #lasting: Lasting
  readonly #generations: Generations
  readonly #scraping: Scraping
  readonly #metricsHttp: MetricsHttp
  readonly #succession: Succession
  /** Null where this process serves the clients itself. */
  readonly #supervision: Supervision | null
  readonly #reloads: Reloads
  #runFolder: RunFolder | null = null
  #control: ControlServer | null = null
  #manager: ServiceManager | null = null
  readonly #tickers = new Tickers()
  #state: State = 'starting'
  #stopping: Promise<void> | null = null
  readonly #ending: Ending
  readonly #startedAt = performance.now()

  constructor(options: GatewayOptions) {
    this.#options = options
    this.#logger = options.loaded.config.loggers.default
    this.log = createLog({ group: 'default', ...this.#logger })
    this.#ending = new Ending(this.log)
    this.#meter = createMeter({ log: this.log })
    this.#succession = this.#succeeding()
    const workers = workersOf(options.loaded.config)
    this.#supervision = workers === 1 ? null : this.#supervising(workers)
    this.#lasting = new Lasting(
      this.log,
      this.#supervision?.sharing ?? this.#succession.soleSockets(),
    )
    this.#generations = new Generations(this.#surroundings(), this.#lasting)
    this.#scraping = new Scraping(this.#meter, this.log)
    this.#metricsHttp = new MetricsHttp({
      page: createMergedPage({
        meter: this.#meter,
        pages: () => this.#scraping.pages(),
        own: async (own) => (await this.#supervision?.families(own)) ?? own,
        log: this.log,
      }),
      ready: () => (this.#state === 'ready' ? [] : [`the gateway is ${this.#state}`]),
      log: this.log,
      sockets: this.#succession.estate,
    })
    this.#reloads = new Reloads({
      log: this.log,
      generation: () => this.#generations.current?.number ?? 0,
      replace: () => this.#replace(),
      begun: () => this.#manager?.reloading(),
      over: () => void (this.#state === 'ready' && this.#manager?.ready()),
    })
  }

  #supervising(workers: number): Supervision {
    const { dev, env } = this.#options
    const folder = (): string => this.#folder(env).path
    return new Supervision({
      workers,
      log: this.log,
      meter: this.#meter,
      dev,
      folder,
      estate: this.#succession.estate,
      cancelBefore: (...cancel) => this.#succession.cancelBefore(...cancel),
    })
  }

  #succeeding(): Succession {
    const { env, predecessor = null, command = [] } = this.#options
    return new Succession({
      log: this.log,
      meter: this.#meter,
      env,
      predecessor,
      command,
      generations: () => this.#generations,
      supervision: () => this.#supervision,
      state: () => this.#state,
      idle: () => this.#reloads.settled(),
      sessions: () => this.#supervision?.sessions ?? this.status().sessions.open,
      introduce: async (pid) => {
        await this.#manager?.handOver(pid)
        this.#manager = null
      },
      stop: () => this.stop('terminated'),
      force: () => this.force(),
    })
  }

  #surroundings() {
    const { dev, env } = this.#options
    return {
      log: this.log,
      meter: this.#meter,
      dev,
      runFolder: () => this.#folder(env).path,
      noteProcess: (pid: number) => {
        const failed = (sentence: string): void => this.log.warn({ pid }, sentence)
        return this.#folder(env).note(pid, failed)
      },
    }
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
      // Another process is the service yet, and has told the service manager how it is.
      if (!this.#succession.isAwaited) await this.#joinManager()
      // First of all what a killed gateway left is ended: its plugins may be in the way of ours.
      this.#folder(this.#options.env)
      await this.#serve(await this.#build({ everyPlugin: false }))
    } catch (thrown) {
      await this.stop()
      throw thrown
    }
  }

  async #joinManager(): Promise<void> {
    this.#manager = await joinServiceManager({
      env: this.#options.env,
      report: () => this.status(),
      failed: (sentence) => this.log.warn({}, sentence),
    })
  }

  async #build({ everyPlugin }: { readonly everyPlugin: boolean }): Promise<Generation> {
    const { loaded } = this.#options
    for (const notice of loaded.notices) this.log.warn(notice)
    const bound = everyPlugin
      ? {}
      : {
          bound: (registry: PluginRegistry) => {
            this.#scraping.use(registry, loaded.plugins)
            registry.watch()
          },
        }
    const generation = await this.#generations.first(loaded, { everyPlugin, ...bound })
    this.#relog(generation.config.loggers.default)
    return generation
  }

  #relog(settled: LoggerConfig): void {
    followLogger(this.log, this.#logger, settled)
  }

  #folder(env: GatewayOptions['env']): RunFolder {
    this.#runFolder ??= openRunFolder(env, { reap: (folder) => reapFor(this.log, folder) })
    return this.#runFolder
  }

  async #serve(generation: Generation): Promise<void> {
    const { config, services, desk } = generation
    declareReadings(this.#meter, this.#sources)
    // Every server boots: plugins are told as often as there are servers.
    for (const _ of services) await desk.tell('onBooting', { status: '1' })
    for (const { listener, blocks } of services) {
      await listener.prepare()
      listener.start()
      if (this.#supervision === null) blocks.watch()
    }
    await this.#supervision?.start(generation)
    for (const { listener } of services) {
      const facts = { server: listener.group, protocol: listener.protocol }
      this.log.info(facts, `listening on ${listener.address}`)
    }
    this.#control = await startControl(this.#folder(this.#options.env), {
      status: () => this.#supervision?.freshStatus(() => this.#ownStatus()) ?? this.status(),
      plugins: () => this.#supervision?.plugins(() => this.#plugins()) ?? this.#plugins(),
      reload: () => this.reload(),
      upgrade: () => this.upgrade(),
    })
    const metrics = await this.#metricsHttp.prepare(config.metrics.default)
    await metrics.commit()
    const isSuccessor = await this.#succession.succeed()
    this.#state = 'ready'
    await this.#succession.serving()
    if (isSuccessor) await this.#joinManager()
    for (const _ of services) await desk.tell('onBooted', { status: '0' })
    this.#tickers.start(generation)
    const upMs = Math.round(performance.now() - this.#startedAt)
    this.log.info({ version, commit, upMs }, 'ready')
    this.#manager?.ready()
  }

  get #sources() {
    return { generations: this.#generations, lasting: this.#lasting, reloads: this.#reloads.counts }
  }

  status(): StatusReport {
    const own = this.#ownStatus()
    return this.#supervision?.status(own) ?? own
  }

  #plugins(): readonly PluginStatus[] {
    return this.#generations.current?.registry.statuses() ?? []
  }

  #ownStatus(): StatusReport {
    return statusOf(this.#sources, {
      state: this.#state,
      uptimeSeconds: (performance.now() - this.#startedAt) / 1000,
      metricsAddress: this.#metricsHttp.url,
      upgrades: this.#succession.upgrading.report,
    })
  }

  /** The files that the current configuration was read from. */
  get files(): readonly string[] {
    return (this.#generations.current?.loaded ?? this.#options.loaded).sources
  }

  /** Has another process take over; never rejects, as `reload`. */
  upgrade(): Promise<UpgradeReport> {
    return this.#succession.upgrading.run()
  }

  /** Resolves when another process serves in place of this one. */
  get replaced(): Promise<void> {
    return this.#succession.upgrading.replaced
  }

  /** Another process serves: lets sessions go on for a while, then stops everything. */
  async leave(): Promise<void> {
    this.#state = 'draining'
    this.#tickers.stop()
    const timeoutMs = this.#generations.current?.config.drainTimeout ?? 0
    const { listeners } = this.#generations
    await Promise.all([
      this.#supervision?.leave(timeoutMs),
      ...listeners.map((listener) => listener.leave(timeoutMs)),
      this.#succession.earlierEnd(2 * timeoutMs),
    ])
    this.log.info('the clients that were left have gone, and this process goes too')
    await this.stop('replaced')
  }

  /** Tells plugins of the signal, and reloads. */
  hangUp(signal: string): Promise<ReloadReport> {
    const desk = this.#generations.current?.desk
    desk?.track(desk.tell('onSignal', { signal }))
    return this.reload()
  }

  /** Takes the configuration into use as it is now; never rejects, for the report says all. */
  reload(): Promise<ReloadReport> {
    return this.#reloads.run()
  }

  /** Builds another generation and has it take over; throws where nothing has changed. */
  async #replace(): Promise<readonly string[]> {
    this.#refuseLate()
    const loaded = this.#options.load()
    for (const notice of loaded.notices) this.log.warn(notice)
    refuseOtherWorkers(this.#options.loaded.config, loaded.config)
    const next = await this.#generations.prepare(loaded)
    try {
      await this.#supervision?.prepare(next)
      const metrics = await this.#metricsHttp.prepare(next.config.metrics.default)
      try {
        this.#refuseLate()
      } catch (thrown) {
        await metrics.abandon()
        throw thrown
      }
      // From here on nothing fails, and nothing waits until the reference is exchanged.
      const committed = this.#supervision?.commit(next)
      const changes = this.#generations.takeOver(next)
      this.#relog(next.config.loggers.default)
      this.#scraping.use(next.registry, loaded.plugins)
      this.#tickers.start(next)
      await metrics.commit()
      await committed
      return changes
    } catch (thrown) {
      if (this.#generations.current !== next) {
        this.#supervision?.abandon(next)
        await this.#generations.drop(next)
      }
      throw thrown
    }
  }

  #refuseLate(): void {
    if (this.#succession.upgrading.isUnderWay) {
      throw new GatewayError('RELOAD_REFUSED', 'an upgrade is under way: it loads the files anew')
    }
    if (this.#state === 'ready') return
    throw new GatewayError('RELOAD_REFUSED', `the gateway is ${this.#state}`)
  }

  /** Tells plugins of the signal, lets sessions end, stops everything. Idempotent. */
  stop(signal = 'unknown'): Promise<void> {
    this.#stopping ??= this.#stop(signal)
    return this.#stopping
  }

  /** Has a stop wait for nobody any more. */
  force(): void {
    this.#ending.force()
  }

  async #stop(signal: string): Promise<void> {
    this.#state = 'draining'
    await this.#succession.stopping()
    const generation = this.#generations.current
    this.#manager?.stopping(generation?.config.drainTimeout ?? 0)
    if (generation !== null) {
      this.#tickers.stop()
      const probes = this.#lasting.upstreams.held.map((upstream) => upstream.stop())
      await this.#ending.told(generation.desk.tell('onSignal', { signal }), 'the signal')
      const { drainTimeout } = generation.config
      const { listeners } = this.#generations
      const served = this.#supervision?.drain(drainTimeout)
      const drained = Promise.all([
        served,
        this.#succession.earlierEnd(drainTimeout + TOLD_WITHIN_MS),
        ...listeners.map((listener) => listener.drain(drainTimeout)),
      ])
      await this.#ending.orForced(drained, () => {
        for (const listener of listeners) listener.force()
        this.#supervision?.force()
        this.#succession.force()
      })
      await this.#ending.unlessForced(Promise.all(probes))
      await this.#ending.told(tellEnd(generation), 'the end of the sessions')
    }
    // A plugin of a reload that is under way may take its time to start.
    const isIdle = await this.#ending.unlessForced(this.#reloads.settled(), TOLD_WITHIN_MS)
    await this.#ending.unlessForced(this.#scraping.stop())
    await this.#metricsHttp.stop()
    const isInOrder = await this.#ending.unlessForced(this.#generations.stop())
    await this.#ending.unlessForced(this.#lasting.shared.stop())
    await this.#control?.stop()
    this.#supervision?.kill()
    if (!(isIdle && isInOrder) && this.#runFolder !== null) reapProcesses(this.#runFolder.path)
    this.#runFolder?.close()
    this.#manager?.leave()
    await new Promise<void>((resolve) => this.log.flush(() => resolve()))
  }
}
