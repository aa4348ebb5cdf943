/** The gateway's own metrics: a prom-client registry, and numbers that hot paths keep. */
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import { DeclaredMetrics } from './declared.ts'
import { METRIC_NAME, OWN_PREFIX, registerFamily } from './family.ts'
import { registerProcessMetrics } from './process-metrics.ts'

export interface MetricSpec {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  readonly buckets?: readonly number[] | undefined
}

/** One sample read at scrape time from a number that a hot path keeps. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Metrics that a plugin declares in its manifest; they carry the label `plugin`. */
export interface PluginMeter {
  /** Throws PLUGIN_MANIFEST, naming the metric, where a spec is invalid or clashes. */
  declare(plugin: string, specs: readonly MetricSpec[]): PluginMetrics
}

export interface PluginMetrics {
  /**
   * Counter: adds `value`; gauge: sets it; histogram: observes it. `id` is the position in the
   * declared list, `labels` the values in the declared order. False where the id or the number of
   * labels is wrong, the value is no finite number (or negative for a counter), or a budget of
   * series is spent.
   */
  record(id: number, value: number, labels: readonly string[]): boolean
  /** Takes the plugin's families off the page. */
  withdraw(): void
}

export interface Meter extends PluginMeter {
  readonly registry: Registry
  /** A family whose samples are read when the page is asked for. Names begin with `postern_`. */
  sampled(
    name: string,
    type: 'counter' | 'gauge',
    help: string,
    read: () => readonly Sample[],
  ): void
}

/** Series that one plugin may fill; a histogram takes one for each bucket, and three more. */
export const METRIC_SERIES_MAX = 1000

export interface MeterOptions {
  /** Told once of every family that cannot be read. */
  readonly log?: Logger
  readonly metricSeriesMax?: number
}

/** The meter of one process, with its registry; nothing is kept outside of it. */
export function createMeter(options: MeterOptions = {}): Meter {
  const registry = new Registry()
  registerProcessMetrics(registry)
  const declared = new DeclaredMetrics(registry, options.metricSeriesMax ?? METRIC_SERIES_MAX)
  const broken = new Map<string, number>()
  const meter: Meter = {
    registry,
    declare: (plugin, specs) => declared.declare(plugin, specs),
    sampled: (name, type, help, read) => {
      if (!METRIC_NAME.test(name) || !name.startsWith(OWN_PREFIX)) {
        throw new RangeError(`the metric ${name} must have a name that begins with ${OWN_PREFIX}`)
      }
      // One family that fails to read its numbers must not take the page with it.
      const readSafely = () => {
        try {
          return read()
        } catch (cause) {
          const failures = broken.get(name) ?? 0
          if (failures === 0) options.log?.error(cause, `the metric ${name} cannot be read`)
          broken.set(name, failures + 1)
          return []
        }
      }
      registerFamily(registry, { name, type, help }, readSafely)
    },
  }
  meter.sampled(
    'postern_metric_read_failures_total',
    'counter',
    'Reads of a metric of the gateway that failed, so that it is missing on the page.',
    () => [...broken].map(([metric, value]) => ({ labels: { metric }, value })),
  )
  registerFamily(
    registry,
    {
      name: 'postern_plugin_metric_series',
      type: 'gauge',
      help: 'Series of declared metrics that a plugin fills.',
    },
    () => declared.seriesCounts(),
  )
  registerFamily(
    registry,
    {
      name: 'postern_plugin_metric_refusals_total',
      type: 'counter',
      help: 'Values of declared metrics that were refused: wrong, or over the budget of series.',
    },
    () => declared.refusals(),
  )
  return meter
}
