/**
 * Fetches the pages of plugins that serve Prometheus text on a Unix socket of their own, again and
 * again. A plugin that fails, stalls or overdoes it loses its own page and harms no other.
 */
import { lstat } from 'node:fs/promises'
import type { Logger } from 'pino'
import { sentenceOf } from '../base/errors.ts'
import type { Family } from './family.ts'
import { markedSample, type PluginPage } from './merge.ts'
import type { Meter } from './meter.ts'
import { PAGE_SERIES_MAX, parsePageInTurns } from './parse.ts'

/** What a page may weigh, before it is read as text. */
export const PAGE_BYTES_MAX = 1024 * 1024
/** How long a plugin may take from the connection to the last byte. */
export const SCRAPE_MS_MAX = 1000

/** The path is fixed by GatewayD's contract, whatever endpoint a plugin says it has. */
const PAGE_URL = 'http://plugins/metrics'

export interface ScrapeTarget {
  readonly plugin: string
  /** Path of the Unix socket on which the plugin serves its page. */
  readonly socket: string
  /** Tells one process of the plugin from the next: the page of an earlier one is not shown. */
  readonly run: number
}

export interface ScrapeOptions {
  /** The plugins that run now and serve metrics; asked before every round and every page. */
  readonly targets: () => readonly ScrapeTarget[]
  readonly periodMs: number
  /** Gets families about the scrapes. */
  readonly meter: Meter
  readonly log: Logger
  readonly bytesMax?: number
  readonly seriesMax?: number
  readonly timeoutMs?: number
}

/** How the last scrape of one plugin went. */
interface ScrapeReport {
  readonly plugin: string
  readonly up: boolean
  readonly seconds: number
  /** Failed scrapes so far. */
  readonly failures: number
}

export interface Scrapes {
  /** The last pages of plugins that run and whose last scrape succeeded. */
  pages(): readonly PluginPage[]
  /** One round now, or the one under way; resolves when every plugin has answered or failed. */
  round(): Promise<void>
  /** Idempotent; scrapes under way are broken off. */
  stop(): Promise<void>
}

/** Begins with a round at once. Once a meter: it registers families. */
export function startScrapes(options: ScrapeOptions): Scrapes {
  const scrapes = new PluginScrapes(options)
  registerReports(options.meter, () => scrapes.reports())
  scrapes.start()
  return scrapes
}

function registerReports(meter: Meter, reports: () => readonly ScrapeReport[]): void {
  const read = (value: (report: ScrapeReport) => number) => () =>
    reports().map((report) => ({
      labels: { plugin: report.plugin },
      value: value(report),
    }))
  meter.sampled(
    'postern_plugin_scrape_up',
    'gauge',
    'Whether the last scrape of the metrics of a plugin succeeded.',
    read(({ up }) => (up ? 1 : 0)),
  )
  meter.sampled(
    'postern_plugin_scrape_seconds',
    'gauge',
    'What the last scrape of the metrics of a plugin took.',
    read(({ seconds }) => seconds),
  )
  meter.sampled(
    'postern_plugin_scrape_failures_total',
    'counter',
    'Scrapes of the metrics of a plugin that failed.',
    read(({ failures }) => failures),
  )
}

interface Outcome {
  readonly run: number
  readonly page: PluginPage | null
  readonly seconds: number
}

class PluginScrapes implements Scrapes {
  readonly #options: ScrapeOptions
  readonly #stopped = new AbortController()
  /** By plugin; only of plugins that are targets still. */
  #outcomes: ReadonlyMap<string, Outcome> = new Map()
  /** Failed scrapes so far, of plugins that are targets still. */
  readonly #failures = new Map<string, number>()
  #timer: ReturnType<typeof setTimeout> | null = null
  #round: Promise<void> | null = null
  #running: Promise<void> | null = null

  constructor(options: ScrapeOptions) {
    this.#options = options
  }

  start(): void {
    this.#running = this.#roundThenWait()
  }

  pages(): readonly PluginPage[] {
    const pages: PluginPage[] = []
    for (const { plugin, run } of this.#options.targets()) {
      const outcome = this.#outcomes.get(plugin)
      if (outcome?.run === run && outcome.page !== null) pages.push(outcome.page)
    }
    return pages
  }

  reports(): readonly ScrapeReport[] {
    return [...this.#outcomes].map(([plugin, { page, seconds }]) => ({
      plugin,
      up: page !== null,
      seconds,
      failures: this.#failures.get(plugin) ?? 0,
    }))
  }

  round(): Promise<void> {
    this.#round ??= this.#scrapeAll().finally(() => {
      this.#round = null
    })
    return this.#round
  }

  async #scrapeAll(): Promise<void> {
    const targets = this.#options.targets()
    const outcomes = await Promise.all(
      targets.map(async (target) => [target.plugin, await this.#scrape(target)] as const),
    )
    this.#outcomes = new Map(outcomes)
    const now = new Set(this.#options.targets().map(({ plugin }) => plugin))
    for (const plugin of this.#failures.keys()) if (!now.has(plugin)) this.#failures.delete(plugin)
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#running
  }

  async #roundThenWait(): Promise<void> {
    try {
      await this.round()
    } catch (cause) {
      this.#options.log.error(cause, 'a round of reading the metrics of plugins failed')
    }
    if (this.#stopped.signal.aborted) return
    this.#timer = setTimeout(() => this.start(), this.#options.periodMs)
    this.#timer.unref()
  }

  /** Never throws: a failure is an outcome without a page. */
  async #scrape(target: ScrapeTarget): Promise<Outcome> {
    const began = performance.now()
    const seconds = () => (performance.now() - began) / 1000
    const { plugin, run } = target
    const failedBefore = this.#outcomes.get(plugin)?.page === null
    try {
      const page = { plugin, families: await this.#fetchFamilies(target) }
      if (failedBefore) this.#options.log.info({ plugin }, 'the metrics of the plugin are back')
      return { run, page, seconds: seconds() }
    } catch (cause) {
      if (this.#stopped.signal.aborted) return { run, page: null, seconds: seconds() }
      this.#failures.set(plugin, (this.#failures.get(plugin) ?? 0) + 1)
      // Said once, not in every round; the counter goes on.
      const level = failedBefore ? 'debug' : 'warn'
      const because = sentenceOf(cause)
      this.#options.log[level](
        { plugin, socket: target.socket, cause: because },
        'the metrics of the plugin cannot be read',
      )
      return { run, page: null, seconds: seconds() }
    }
  }

  async #fetchFamilies(target: ScrapeTarget): Promise<readonly Family[]> {
    await refuseForeignSocket(target.socket)
    const timeout = AbortSignal.timeout(this.#options.timeoutMs ?? SCRAPE_MS_MAX)
    const answer = await fetch(PAGE_URL, {
      unix: target.socket,
      signal: AbortSignal.any([timeout, this.#stopped.signal]),
      // A plugin must not send us elsewhere, nor unpack a bomb in our memory.
      redirect: 'error',
      decompress: false,
      keepalive: false,
      headers: { accept: 'text/plain;version=0.0.4', 'accept-encoding': 'identity' },
    })
    const bytes = await readBounded(answer, this.#options.bytesMax ?? PAGE_BYTES_MAX)
    if (answer.status !== 200) throw new Error(`its answer has the status ${answer.status}`)
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return parsePageInTurns(text, {
      write: markedSample(target.plugin),
      seriesMax: this.#options.seriesMax ?? PAGE_SERIES_MAX,
    })
  }
}

/** The usual path lies in /tmp, where anybody may put a socket of that name. */
async function refuseForeignSocket(path: string): Promise<void> {
  const found = await lstat(path)
  if (!found.isSocket()) throw new Error(`${path} is no socket`)
  const ourselves = process.geteuid?.() ?? found.uid
  if (found.uid !== ourselves && found.uid !== 0) {
    throw new Error(`${path} belongs to the user ${found.uid}, not to the gateway's`)
  }
}

async function readBounded(answer: Response, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of answer.body ?? []) {
    length += chunk.length
    // Leaving the loop cancels the rest.
    if (length > bytesMax) throw new Error(`its page is larger than ${bytesMax} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
