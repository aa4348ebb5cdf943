/** The gateway's own metrics: a prom-client registry, and numbers that hot paths keep. */
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import { DeclaredMetrics } from './declared.ts'
import {
  type FamilyHead,
  type FamilyValue,
  METRIC_NAME,
  OWN_PREFIX,
  registerFamily,
} from './family.ts'
import { histogramValues } from './histogram.ts'
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
  declare(plugin: string, specs: readonly MetricSpec[], budget?: SeriesBudget): PluginMetrics
}

/** How many series the metrics of one plugin may fill. */
export interface SeriesBudget {
  readonly seriesMax: number
  /** Told each time a value was refused because all of them are in use. */
  readonly onSpent: () => void
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
  /** A family of histograms that share their bounds, read like a sampled one. */
  histograms(
    name: string,
    help: string,
    bounds: readonly number[],
    read: () => readonly HistogramSample[],
  ): void
}

/** One histogram: counts of its buckets, not added up, and the sum of what was observed. */
export interface HistogramSample {
  readonly labels: Readonly<Record<string, string>>
  readonly buckets: readonly number[]
  readonly sum: number
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
  const own = (head: FamilyHead, read: () => readonly FamilyValue[]): void => {
    const { name } = head
    if (!METRIC_NAME.test(name) || !name.startsWith(OWN_PREFIX)) {
      throw new RangeError(`the metric ${name} must have a name that begins with ${OWN_PREFIX}`)
    }
    // One family that fails to read its numbers must not take the page with it.
    registerFamily(registry, head, () => {
      try {
        return read()
      } catch (cause) {
        const failures = broken.get(name) ?? 0
        if (failures === 0) options.log?.error(cause, `the metric ${name} cannot be read`)
        broken.set(name, failures + 1)
        return []
      }
    })
  }
  const meter: Meter = {
    registry,
    declare: (plugin, specs, budget) => declared.declare(plugin, specs, budget),
    sampled: (name, type, help, read) => own({ name, type, help }, read),
    histograms: (name, help, bounds, read) =>
      own({ name, type: 'histogram', help }, () =>
        read().flatMap(({ labels, ...counts }) => histogramValues(name, labels, bounds, counts)),
      ),
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
