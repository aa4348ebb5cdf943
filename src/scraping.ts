/** Whose pages of metrics are fetched: of the plugins that the configuration in use has. */
import type { Logger } from 'pino'
import type { PluginsConfig } from './config/plugin-schema.ts'
import type { PluginPage } from './metrics/merge.ts'
import type { Meter } from './metrics/meter.ts'
import { type Scrapes, type ScrapeTarget, startScrapes } from './metrics/scrape.ts'
import type { PluginRegistry } from './plugins/registry.ts'

type Keys = Pick<PluginsConfig, 'enableMetricsMerger' | 'metricsMergerPeriod'>

export class Scraping {
  readonly #meter: Meter
  readonly #log: Logger
  #registry: PluginRegistry | null = null
  #periodMs = 0
  /** Begun once, for it declares families. */
  #scrapes: Scrapes | null = null

  constructor(meter: Meter, log: Logger) {
    this.#meter = meter
    this.#log = log
  }

  /** Fetches the pages of these plugins from now on, if that is asked for. */
  use(registry: PluginRegistry, { enableMetricsMerger, metricsMergerPeriod }: Keys): void {
    this.#registry = enableMetricsMerger ? registry : null
    this.#periodMs = metricsMergerPeriod
    if (enableMetricsMerger) this.#scrapes ??= this.#begin()
  }

  pages(): readonly PluginPage[] {
    return this.#scrapes?.pages() ?? []
  }

  async stop(): Promise<void> {
    await this.#scrapes?.stop()
  }

  #begin(): Scrapes {
    const periodMs = (): number => this.#periodMs
    return startScrapes({
      get periodMs() {
        return periodMs()
      },
      targets: () => (this.#registry === null ? [] : scrapeTargets(this.#registry)),
      meter: this.#meter,
      log: this.#log,
    })
  }
}

/** The plugins that run now and serve a page of metrics. */
function scrapeTargets(registry: PluginRegistry): readonly ScrapeTarget[] {
  return registry.plugins.flatMap((plugin) => {
    const socket = plugin.manifest?.metricsSocket ?? null
    const { readySince } = plugin.status()
    return socket === null || readySince === null
      ? []
      : [{ plugin: plugin.name, socket, run: readySince }]
  })
}
