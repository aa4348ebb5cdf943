/** The gateway's life: start, reload, drain and stop. */
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import { type ControlServer, startControl } from './admin/control.ts'
import { MetricsHttp } from './admin/metrics-http.ts'
import { reapFor, reapProcesses } from './admin/process-notes.ts'
import type { ReloadReport, StatusReport } from './admin/report.ts'
import { openRunFolder, type RunFolder } from './admin/run-folder.ts'
import { joinServiceManager, type ServiceManager } from './admin/service-manager.ts'
import { commit, version } from './base/build.ts'
import { GatewayError, sentenceOf } from './base/errors.ts'
import { createLog, setLevel } from './base/log.ts'
import { settlesIn } from './base/settles.ts'
import type { LoadedConfig } from './config/load.ts'
import type { LoggerConfig } from './config/schema.ts'
import { refuseOtherWorkers, workersOf } from './config/workers.ts'
import type { Generation } from './generation.ts'
import { Generations } from './generations.ts'
import { startTicker } from './hooks/ticker.ts'
import { Lasting } from './lasting.ts'
import { createMeter, type Meter } from './metrics/meter.ts'
import { createMergedPage } from './metrics/page.ts'
import type { PluginStatus } from './plugins/plugin.ts'
import type { PluginRegistry } from './plugins/registry.ts'
import { declareReadings, type ReloadCounts, statusOf } from './readings.ts'
import { Scraping } from './scraping.ts'
import { Supervision } from './supervision.ts'

export interface GatewayOptions {
  readonly loaded: LoadedConfig
  /** Loads the configuration again, from where it came; throws as the first time. */
  readonly load: () => LoadedConfig
  /** A missing checksum is permitted, a wrong one only warned of. */
  readonly dev: boolean
  readonly env: Readonly<Record<string, string | undefined>>
}

/** How long a stop waits for plugins to be told, and for a reload that is under way. */
const TOLD_WITHIN_MS = 5000
/** How long a stop that is forced waits for what it ends. */
const FORCED_WITHIN_MS = 500

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
  /** Null where this process serves the clients itself. */
  readonly #supervision: Supervision | null
  readonly #reloads: ReloadCounts = { done: 0, refused: 0, lastError: '' }
  #runFolder: RunFolder | null = null
  #control: ControlServer | null = null
  #manager: ServiceManager | null = null
  #tickers: readonly (() => void)[] = []
  #state: State = 'starting'
  #stopping: Promise<void> | null = null
  readonly #forced = Promise.withResolvers<void>()
  #reloading: Promise<ReloadReport> | null = null
  #nextReload: Promise<ReloadReport> | null = null
  readonly #startedAt = performance.now()

  constructor(options: GatewayOptions) {
    this.#options = options
    this.#logger = options.loaded.config.loggers.default
    this.log = createLog({ group: 'default', ...this.#logger })
    this.#meter = createMeter({ log: this.log })
    const workers = workersOf(options.loaded.config)
    this.#supervision = workers === 1 ? null : this.#supervising(workers)
    this.#lasting = new Lasting(this.log, this.#supervision?.sharing)
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
    })
  }

  #supervising(workers: number): Supervision {
    const { dev, env } = this.#options
    const folder = (): string => this.#folder(env).path
    return new Supervision({ workers, log: this.log, meter: this.#meter, dev, folder })
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
      this.#manager = await joinServiceManager({
        env: this.#options.env,
        report: () => this.status(),
        failed: (sentence) => this.log.warn({}, sentence),
      })
      // First of all what a killed gateway left is ended: its plugins may be in the way of ours.
      this.#folder(this.#options.env)
      await this.#serve(await this.#build({ everyPlugin: false }))
    } catch (thrown) {
      await this.stop()
      throw thrown
    }
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

  /** The log is open for good, so that only its level can follow what is set for it. */
  #relog(settled: LoggerConfig): void {
    const { level: _opened, ...others } = this.#logger
    setLevel(this.log, settled.level)
    if (isDeepStrictEqual({ ...others, level: settled.level }, settled)) return
    const problem = 'keys of loggers.default other than its level have changed: without effect'
    this.log.warn(`${problem} until the next start, for the log is open already`)
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
    })
    const metrics = await this.#metricsHttp.prepare(config.metrics.default)
    await metrics.commit()
    this.#state = 'ready'
    for (const _ of services) await desk.tell('onBooted', { status: '0' })
    this.#tickers = startTickers(generation)
    const upMs = Math.round(performance.now() - this.#startedAt)
    this.log.info({ version, commit, upMs }, 'ready')
    this.#manager?.ready()
  }

  get #sources() {
    return { generations: this.#generations, lasting: this.#lasting, reloads: this.#reloads }
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
    })
  }

  /** The files that the current configuration was read from. */
  get files(): readonly string[] {
    return (this.#generations.current?.loaded ?? this.#options.loaded).sources
  }

  /** Tells plugins of the signal, and reloads. */
  hangUp(signal: string): Promise<ReloadReport> {
    const desk = this.#generations.current?.desk
    desk?.track(desk.tell('onSignal', { signal }))
    return this.reload()
  }

  /**
   * Takes the configuration into use as it is now. Never rejects: where anything fails, nothing has
   * changed, and the report says why. What is asked while one is under way is one more, together.
   */
  reload(): Promise<ReloadReport> {
    const begin = (): Promise<ReloadReport> => {
      this.#nextReload = null
      this.#reloading = this.#reload()
      return this.#reloading
    }
    this.#nextReload ??= (this.#reloading ?? Promise.resolve()).then(begin)
    return this.#nextReload
  }

  async #reload(): Promise<ReloadReport> {
    const startedAt = performance.now()
    this.#manager?.reloading()
    const report = (
      parts: Pick<ReloadReport, 'outcome' | 'changes' | 'problems'>,
    ): ReloadReport => ({
      ...parts,
      generation: this.#generations.current?.number ?? 0,
      tookMs: Math.round(performance.now() - startedAt),
    })
    try {
      const changes = await this.#replace()
      this.#reloads.done += 1
      this.#reloads.lastError = ''
      const done = report({ outcome: 'done', changes, problems: [] })
      const { generation, tookMs } = done
      this.log.info({ generation, tookMs, changes }, 'the configuration was reloaded')
      return done
    } catch (thrown) {
      const sentence = sentenceOf(thrown)
      this.#reloads.refused += 1
      this.#reloads.lastError = sentence
      // A sentence of ours says it all; behind anything else is a fault of ours.
      const facts = thrown instanceof GatewayError ? {} : { err: thrown }
      this.log.error(facts, `the configuration was not reloaded, nothing has changed: ${sentence}`)
      return report({ outcome: 'refused', changes: [], problems: sentence.split('\n') })
    } finally {
      if (this.#state === 'ready') this.#manager?.ready()
    }
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
      for (const stop of this.#tickers) stop()
      this.#tickers = startTickers(next)
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
    this.#forced.resolve()
  }

  async #stop(signal: string): Promise<void> {
    this.#state = 'draining'
    const generation = this.#generations.current
    this.#manager?.stopping(generation?.config.drainTimeout ?? 0)
    if (generation !== null) {
      for (const stop of this.#tickers) stop()
      const probes = this.#lasting.upstreams.held.map((upstream) => upstream.stop())
      await this.#told(generation.desk.tell('onSignal', { signal }), 'the signal')
      const { drainTimeout } = generation.config
      const { listeners } = this.#generations
      const served = this.#supervision?.drain(drainTimeout)
      const drained = Promise.all([
        served,
        ...listeners.map((listener) => listener.drain(drainTimeout)),
      ])
      const forced = this.#forced.promise.then(() => {
        for (const listener of listeners) listener.force()
        this.#supervision?.force()
        return settlesIn(FORCED_WITHIN_MS, drained)
      })
      await Promise.race([drained, forced])
      await this.#unlessForced(Promise.all(probes))
      await this.#told(tellEnd(generation), 'the end of the sessions')
    }
    // A plugin of a reload that is under way may take its time to start.
    const reloading = this.#reloading ?? Promise.resolve()
    const isIdle = await this.#unlessForced(reloading, TOLD_WITHIN_MS)
    await this.#unlessForced(this.#scraping.stop())
    await this.#metricsHttp.stop()
    const isInOrder = await this.#unlessForced(this.#generations.stop())
    await this.#unlessForced(this.#lasting.shared.stop())
    await this.#control?.stop()
    this.#supervision?.kill()
    if (!(isIdle && isInOrder) && this.#runFolder !== null) reapProcesses(this.#runFolder.path)
    this.#runFolder?.close()
    this.#manager?.leave()
    await new Promise<void>((resolve) => this.log.flush(() => resolve()))
  }

  /** Waits, but not much longer than until a stop is forced; false where it did not settle. */
  #unlessForced(promise: Promise<unknown>, boundMs?: number): Promise<boolean> {
    const settled = boundMs === undefined ? promise.then(() => true) : settlesIn(boundMs, promise)
    const forced = this.#forced.promise.then(() => settlesIn(FORCED_WITHIN_MS, promise))
    return Promise.race([settled, forced])
  }

  /** Waits until plugins were told; one that hangs must not keep the gateway from stopping. */
  async #told(telling: Promise<void>, what: string): Promise<void> {
    if (await this.#unlessForced(telling, TOLD_WITHIN_MS)) return
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

/** One for each server that asks for it. */
function startTickers({ config, services, desk }: Generation): readonly (() => void)[] {
  return services.flatMap(({ group, listener }) => {
    const { enableTicker, tickInterval } = config.servers[group]!
    if (!enableTicker) return []
    return [
      startTicker({
        intervalMs: tickInterval,
        desk,
        connections: () => listener.sessionsEverywhere,
      }),
    ]
  })
}
