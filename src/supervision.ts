/**
 * A gateway whose clients are served by workers: what it hands to them of a generation, what it
 * tells them of its plugins, and how what they have counted becomes one page and one status.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { PluginReport, StatusReport } from './admin/report.ts'
import { GatewayError, sentenceOf } from './base/errors.ts'
import { configOfWorker } from './config/workers.ts'
import type { Generation } from './generation.ts'
import type { Family } from './metrics/family.ts'
import type { Meter } from './metrics/meter.ts'
import type { Plugin } from './plugins/plugin.ts'
import type { Estate } from './tcp/estate.ts'
import { HeldSockets } from './tcp/sharing.ts'
import { GROUPS_MAX, TurnsPage, turnsBytes } from './tcp/turns.ts'
import { Crew, type CrewOptions } from './workers/crew.ts'
import {
  CHANNEL_VERSION,
  type Handed,
  type ToWorker,
  type WorkerReport,
} from './workers/messages.ts'
import { PageSums } from './workers/page-sums.ts'
import { NO_TOTALS, pluginsWith, statusWith, totalsWith } from './workers/report-sums.ts'

const PAGE_FILE = 'turns'
/** What a worker may take beside the start of its plugins. */
const READY_BESIDE_MS = 10_000
const CHECK_WITHIN_MS = 1000

export interface SupervisionOptions {
  readonly workers: number
  readonly log: Logger
  readonly meter: Meter
  readonly dev: boolean
  /** Private folder of the gateway. */
  readonly folder: () => string
  readonly estate: Estate
  /** A CancelRequest whose key no worker knows; `done` is told whether anybody did. */
  readonly cancelBefore: CrewOptions['cancelBefore']
}

export class Supervision {
  readonly sharing: HeldSockets
  readonly #options: SupervisionOptions
  readonly #crew: Crew
  readonly #sums = new PageSums()
  readonly #numbers = new Map<string, number>()
  readonly #ids = new Map<Plugin, number>()
  #idsGiven = 0
  #gone = NO_TOTALS
  #page: TurnsPage | null = null
  /** What workers that are started are handed. */
  #generation: Generation | null = null
  #isRunning = false

  constructor(options: SupervisionOptions) {
    this.#options = options
    this.sharing = new HeldSockets(
      () => this.#turns(),
      () => this.#numbers,
      options.estate,
    )
    this.#crew = new Crew({
      workers: options.workers,
      log: options.log,
      start: (worker) => this.#start(worker),
      readyWithinMs: () => this.#readyWithinMs(),
      silenceMsMax: () => this.#generation?.config.workerTimeout ?? 0,
      cancelBefore: options.cancelBefore,
      told: {
        gone: (worker, report) => this.#lost(worker, report),
        doubted: (plugin) => this.#check(plugin),
      },
    })
    declareWorkers(options.meter, this.#crew, () => this.#page)
  }

  /** Starts the workers on what the generation listens on; resolves when all of them serve. */
  async start(generation: Generation): Promise<void> {
    this.#generation = generation
    this.#isRunning = true
    await this.#crew.start()
    this.sharing.handedOut()
  }

  /** Has all workers prepare a generation; where one refuses, none has changed. */
  async prepare(next: Generation): Promise<void> {
    try {
      const handedTo = this.#handing(
        next,
        this.sharing.fresh.map(({ group }) => group),
      )
      await this.#crew.prepare(handedTo, this.sharing.fresh)
    } catch (thrown) {
      this.#crew.abandon(next.number)
      throw thrown
    }
  }

  abandon(next: Generation): void {
    this.#crew.abandon(next.number)
  }

  /** All have prepared it; resolves when all use it. */
  async commit(next: Generation): Promise<void> {
    this.#generation = next
    this.sharing.handedOut()
    await this.#crew.commit(next.number)
    const placed = new Set(next.registry.plugins)
    for (const [plugin] of this.#ids) {
      if (!placed.has(plugin) && plugin.status().state === 'stopped') this.#ids.delete(plugin)
    }
  }

  drain(timeoutMs: number): Promise<void> {
    return this.#isRunning ? this.#crew.drain(timeoutMs) : Promise.resolve()
  }

  /** The workers accept clients, who were those of another process until now. */
  admit(): void {
    this.#crew.tell({ kind: 'admit' })
  }

  /** Carries a CancelRequest to whichever worker knows its key. */
  cancel(group: string, request: Uint8Array, done: (known: boolean) => void): void {
    this.#crew.cancel(group, request, done)
  }

  /** Another process serves: lets sessions go on for a while, and then ends them. */
  leave(timeoutMs: number): Promise<void> {
    return this.#isRunning ? this.#crew.drain(timeoutMs, timeoutMs) : Promise.resolve()
  }

  force(): void {
    this.#crew.force()
  }

  /** Ends workers that are left. */
  kill(): void {
    this.#crew.kill()
  }

  /** Clients of all workers, as they are now. */
  get sessions(): number {
    const page = this.#page
    if (page === null) return 0
    return this.#crew.seats.reduce((sum, { worker }) => sum + page.sessionsOf(worker), 0)
  }

  /** With the last reports: some seconds old where they were not asked for just now. */
  status(own: StatusReport): StatusReport {
    const workers = this.#crew.seats.map(({ worker, process, report, generation, restarts }) => ({
      worker,
      pid: process?.pid ?? null,
      sessions: this.#page?.sessionsOf(worker) ?? report?.status.sessions.open ?? 0,
      generation,
      restarts,
    }))
    const reports = this.#reports().map(({ status }) => status)
    return { ...statusWith(own, reports, this.#gone), workers }
  }

  async freshStatus(own: () => StatusReport): Promise<StatusReport> {
    await this.#crew.refresh()
    return this.status(own())
  }

  async plugins(own: () => readonly PluginReport[]): Promise<readonly PluginReport[]> {
    await this.#crew.refresh()
    return pluginsWith(
      own(),
      this.#reports().map(({ plugins }) => plugins),
    )
  }

  async families(own: readonly Family[]): Promise<readonly Family[]> {
    await this.#crew.refresh()
    const pages = this.#crew.seats.flatMap(({ worker, report }) =>
      report === null ? [] : [[worker, report.families] as const],
    )
    return this.#sums.summed(own, new Map(pages))
  }

  #reports(): readonly WorkerReport[] {
    return this.#crew.seats.flatMap(({ report }) => report ?? [])
  }

  /** Made at its first use, for the folder is made late. */
  #turns(): TurnsPage {
    if (this.#page !== null) return this.#page
    const { workers } = this.#options
    const file = this.#pageFile
    writeFileSync(file, new Uint8Array(turnsBytes(workers)), { mode: 0o600 })
    this.#page = new TurnsPage(Bun.mmap(file, { shared: true }), workers)
    return this.#page
  }

  get #pageFile(): string {
    return join(this.#options.folder(), PAGE_FILE)
  }

  #start(worker: number) {
    const generation = this.#generation
    if (generation === null) throw new GatewayError('WORKER', 'there is nothing to serve yet')
    const { workers, dev } = this.#options
    this.#turns()
    const { sockets } = this.sharing
    const handed = this.#handing(
      generation,
      sockets.map(({ group }) => group),
    )(worker)
    const message: ToWorker = {
      kind: 'start',
      channel: CHANNEL_VERSION,
      worker,
      workers,
      supervisor: process.pid,
      page: this.#pageFile,
      logger: generation.config.loggers.default,
      dev,
      isHeld: !this.#options.estate.isAdmitted,
      handed,
    }
    return { message, sockets }
  }

  #handing(generation: Generation, sockets: string[]): (worker: number) => Handed {
    const { number, config, loaded, services, registry } = generation
    for (const { group } of services) this.#number(group)
    const started: Handed['started'] = []
    const attachments: Handed['attachments'] = []
    for (const { plugin, spec } of registry.placed) {
      if (plugin.manifest === null) continue
      const id = plugin.attachment === undefined ? null : this.#idOf(plugin)
      started.push([spec.priority, id])
      if (id !== null) attachments.push([id, reachOf(plugin)])
    }
    const held = new Map(this.sharing.sockets.map(({ group, address }) => [group, address]))
    const addresses = services.map(({ group, options }) => [
      group,
      held.get(group) ?? options.address,
    ])
    return (worker) => ({
      generation: number,
      config: configOfWorker(config, worker, this.#options.workers),
      plugins: loaded.plugins,
      addresses: Object.fromEntries(addresses),
      started,
      attachments,
      sockets,
      numbers: [...this.#numbers],
    })
  }

  #number(group: string): void {
    if (this.#numbers.has(group)) return
    if (this.#numbers.size >= GROUPS_MAX) {
      const problem = `more than ${GROUPS_MAX} server groups, over all reloads`
      throw new GatewayError('WORKER', `${problem}, cannot be counted by workers; restart`)
    }
    this.#numbers.set(group, this.#numbers.size)
  }

  /** Gives a plugin its number, and tells workers of it from then on. */
  #idOf(plugin: Plugin): number {
    const known = this.#ids.get(plugin)
    if (known !== undefined) return known
    this.#idsGiven += 1
    const id = this.#idsGiven
    this.#ids.set(plugin, id)
    plugin.onStateChange = () => this.#tell(plugin, id)
    return id
  }

  #tell(plugin: Plugin, id: number): void {
    // What is ready is adopted a moment later.
    queueMicrotask(() => this.#crew.tell({ kind: 'plugin', id, reach: reachOf(plugin) }))
  }

  #check(id: number): void {
    const found = [...this.#ids].find(([, known]) => known === id)
    if (found === undefined) return
    const [plugin] = found
    const checked = plugin.check?.(CHECK_WITHIN_MS) ?? Promise.resolve()
    checked.then(
      () => this.#tell(plugin, id),
      (thrown) => this.#options.log.error({ plugin: plugin.name }, sentenceOf(thrown)),
    )
  }

  #lost(worker: number, report: WorkerReport | null): void {
    this.#page?.clear(worker)
    if (report === null) return
    this.#sums.gone(report.families)
    this.#gone = totalsWith(this.#gone, report.status)
  }

  #readyWithinMs(): number {
    const { plugins = [] } = this.#generation?.loaded.plugins ?? {}
    return plugins.reduce((sum, { startTimeout }) => sum + startTimeout, READY_BESIDE_MS)
  }
}

function reachOf(plugin: Plugin) {
  const attachment = plugin.attachment?.() ?? null
  if (attachment !== null) return attachment
  const { state, lastError } = plugin.status()
  return `the plugin is ${state}${lastError === '' ? '' : `: ${lastError}`}`
}

function declareWorkers(meter: Meter, crew: Crew, page: () => TurnsPage | null): void {
  const each = (read: (seat: Crew['seats'][number]) => number) => () =>
    crew.seats.map((seat) => ({ labels: { worker: String(seat.worker) }, value: read(seat) }))
  meter.sampled(
    'postern_worker_up',
    'gauge',
    '1: the worker serves clients.',
    each(({ isServing }) => Number(isServing)),
  )
  meter.sampled(
    'postern_worker_sessions',
    'gauge',
    'Clients connected now, by the worker that serves them.',
    each(({ worker }) => page()?.sessionsOf(worker) ?? 0),
  )
  meter.sampled(
    'postern_worker_restarts_total',
    'counter',
    'Workers that were replaced because they had died.',
    each(({ restarts }) => restarts),
  )
  const carried = 'CancelRequests carried from one worker to the others.'
  meter.sampled('postern_worker_cancels_carried_total', 'counter', carried, () => [
    { labels: {}, value: crew.cancelsForwarded },
  ])
}
