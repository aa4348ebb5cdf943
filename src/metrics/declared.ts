/** The metrics that plugins declare: checked, kept apart by plugin, and bounded. */
import type { Registry } from 'prom-client'
import { GatewayError } from '../base/errors.ts'
import { checkSpecs, defaultBuckets } from './declaration.ts'
import {
  claimedNames,
  type FamilyType,
  type FamilyValue,
  isFamilyType,
  PLUGIN_LABEL,
  registerFamily,
} from './family.ts'
import { emptyBuckets, histogramValues, observe } from './histogram.ts'
import type { MetricSpec, PluginMetrics, SeriesBudget } from './meter.ts'

/** A label value is cut here: it is a name, not a place for statements. */
export const LABEL_VALUE_LENGTH_MAX = 128

/** One line, or for a histogram the lines, of one set of label values. */
interface Series {
  readonly labels: Readonly<Record<string, string>>
  /** Histograms: the sum of what was observed. */
  value: number
  /** Histograms only: observations at most each bound, not added up; the last is without bound. */
  readonly buckets: number[]
}

/** The series of one metric of one plugin; shared by declarations of the same shape. */
interface Store {
  readonly spec: MetricSpec
  readonly bounds: readonly number[]
  readonly series: Map<string, Series>
}

interface Declaration {
  readonly stores: readonly Store[]
}

/** All that one plugin declared: twice while a reload has its old and its new instance. */
class Ledger {
  declarations: readonly Declaration[] = []
  seriesCount = 0
  refused = 0

  /** The newest store of that family, which is the one the page shows. */
  newest(family: string): Store | undefined {
    for (const declaration of this.declarations.toReversed()) {
      const store = declaration.stores.find(({ spec }) => spec.name === family)
      if (store !== undefined) return store
    }
    return undefined
  }

  recount(): void {
    const stores = new Set(this.declarations.flatMap((declaration) => declaration.stores))
    this.seriesCount = 0
    for (const store of stores) this.seriesCount += store.series.size * linesOf(store)
  }
}

export class DeclaredMetrics {
  readonly #registry: Registry
  /** Where a declaration brings none of its own. */
  readonly #budget: SeriesBudget
  readonly #ledgers = new Map<string, Ledger>()
  /** The families of plugins that stand in the registry now, and their types there. */
  readonly #registered = new Map<string, MetricSpec['type']>()

  constructor(registry: Registry, seriesMax: number) {
    this.#registry = registry
    this.#budget = { seriesMax, onSpent: () => undefined }
  }

  declare(
    plugin: string,
    specs: readonly MetricSpec[],
    budget: SeriesBudget = this.#budget,
  ): PluginMetrics {
    checkSpecs(plugin, specs)
    for (const spec of specs) this.#refuseClash(plugin, spec)
    const ledger = this.#ledgers.get(plugin) ?? new Ledger()
    this.#ledgers.set(plugin, ledger)
    const declaration = { stores: specs.map((spec) => storeFor(ledger, spec)) }
    ledger.declarations = [...ledger.declarations, declaration]
    // A counter that was never moved is a zero, not a gap; of a gauge nothing is known yet.
    for (const store of declaration.stores) {
      if (store.spec.labels.length === 0 && store.spec.type !== 'gauge') {
        this.#seriesOf(ledger, store, [], budget)
      }
    }
    for (const spec of specs) this.#show(spec.name)
    return {
      record: (id, value, labels) => {
        const recorded = this.#record(ledger, declaration.stores[id], value, labels, budget)
        if (!recorded) ledger.refused += 1
        return recorded
      },
      withdraw: () => this.#withdraw(plugin, ledger, declaration),
    }
  }

  /** Series in use, a plugin. */
  seriesCounts(): readonly FamilyValue[] {
    return this.#eachLedger((ledger) => ledger.seriesCount)
  }

  /** Records that were refused, a plugin. */
  refusals(): readonly FamilyValue[] {
    return this.#eachLedger((ledger) => ledger.refused)
  }

  #eachLedger(read: (ledger: Ledger) => number): readonly FamilyValue[] {
    return [...this.#ledgers].map(([plugin, ledger]) => ({
      labels: { [PLUGIN_LABEL]: plugin },
      value: read(ledger),
    }))
  }

  #record(
    ledger: Ledger,
    store: Store | undefined,
    value: number,
    labels: readonly string[],
    budget: SeriesBudget,
  ): boolean {
    if (store === undefined || labels.length !== store.spec.labels.length) return false
    if (!Number.isFinite(value) || (store.spec.type === 'counter' && value < 0)) return false
    const series = this.#seriesOf(ledger, store, labels, budget)
    if (series === null) return false
    add(store, series, value)
    return true
  }

  /** The series of these label values, or null where there is none and no budget for one. */
  #seriesOf(
    ledger: Ledger,
    store: Store,
    labels: readonly string[],
    { seriesMax, onSpent }: SeriesBudget,
  ): Series | null {
    const key = keyOf(labels)
    const known = store.series.get(key)
    if (known !== undefined) return known
    const lines = linesOf(store)
    if (ledger.seriesCount + lines > seriesMax) {
      onSpent()
      return null
    }
    ledger.seriesCount += lines
    const made = newSeries(store, labels)
    store.series.set(key, made)
    return made
  }

  #withdraw(plugin: string, ledger: Ledger, declaration: Declaration): void {
    ledger.declarations = ledger.declarations.filter((other) => other !== declaration)
    ledger.recount()
    if (ledger.declarations.length === 0) this.#ledgers.delete(plugin)
    for (const { spec } of declaration.stores) this.#show(spec.name)
  }

  /** Brings the registry's family of that name in line with what is declared now. */
  #show(name: string): void {
    const newest = this.#storesOf(name).at(-1)?.[1].spec
    const shown = this.#registered.get(name)
    if (shown !== undefined && shown !== newest?.type) {
      this.#registry.removeSingleMetric(name)
      this.#registered.delete(name)
    }
    if (newest === undefined || this.#registered.has(name)) return
    this.#registered.set(name, newest.type)
    registerFamily(this.#registry, newest, () => this.#valuesOf(name, newest.type))
  }

  #storesOf(name: string): readonly (readonly [plugin: string, store: Store])[] {
    const stores: (readonly [string, Store])[] = []
    for (const [plugin, ledger] of this.#ledgers) {
      const store = ledger.newest(name)
      if (store !== undefined) stores.push([plugin, store])
    }
    return stores
  }

  #valuesOf(name: string, type: FamilyType): readonly FamilyValue[] {
    const ofType = this.#storesOf(name).filter(([, store]) => store.spec.type === type)
    return ofType.flatMap(([plugin, store]) => valuesOf(plugin, store))
  }

  /** Other plugins and the gateway itself hold their names; a plugin's own may change its type. */
  #refuseClash(plugin: string, spec: MetricSpec): void {
    const claimed = new Set(claimedNames(spec.name, spec.type))
    for (const { name, type: typeText } of this.#registry.getMetricsAsArray()) {
      const type = String(typeText)
      const names = claimedNames(name, isFamilyType(type) ? type : 'untyped')
      if (!names.some((taken) => claimed.has(taken))) continue
      const others = this.#storesOf(name).filter(([other]) => other !== plugin)
      if (name === spec.name && type === spec.type && this.#registered.has(name)) continue
      if (this.#registered.has(name) && others.length === 0) continue
      const owner = others[0] === undefined ? 'the gateway itself' : `the plugin ${others[0][0]}`
      throw new GatewayError(
        'PLUGIN_MANIFEST',
        `${plugin}: its metric ${spec.name} (${spec.type}) clashes with ${name} (${type}) of ` +
          `${owner}; rename one of them, or give both the same type`,
      )
    }
  }
}

function storeFor(ledger: Ledger, spec: MetricSpec): Store {
  const known = ledger.newest(spec.name)
  const bounds = spec.type === 'histogram' ? (spec.buckets ?? defaultBuckets) : []
  const shape = JSON.stringify([spec.type, spec.labels, bounds])
  if (known !== undefined) {
    const knownShape = JSON.stringify([known.spec.type, known.spec.labels, known.bounds])
    if (knownShape === shape) return known
  }
  return { spec, bounds, series: new Map() }
}

/** How many lines of a page one set of labels takes. */
function linesOf(store: Store): number {
  return store.spec.type === 'histogram' ? store.bounds.length + 3 : 1
}

/** Different label values never give the same key: each but a single one carries its length. */
function keyOf(labels: readonly string[]): string {
  if (labels.length === 0) return ''
  if (labels.length === 1) return cut(labels[0] ?? '')
  let key = ''
  for (const label of labels) {
    const text = cut(label)
    key += `${text.length}:${text}`
  }
  return key
}

/** Halves of characters all print alike: two series must not differ by them alone. */
function cut(text: string): string {
  const short = text.length > LABEL_VALUE_LENGTH_MAX ? text.slice(0, LABEL_VALUE_LENGTH_MAX) : text
  return short.isWellFormed() ? short : short.toWellFormed()
}

function newSeries(store: Store, values: readonly string[]): Series {
  const named = store.spec.labels.map((label, index) => [label, cut(values[index] ?? '')])
  const buckets = store.spec.type === 'histogram' ? emptyBuckets(store.bounds) : []
  return { labels: Object.fromEntries(named), value: 0, buckets }
}

function add(store: Store, series: Series, value: number): void {
  if (store.spec.type === 'gauge') {
    series.value = value
    return
  }
  series.value += value
  if (store.spec.type === 'counter') return
  observe(series.buckets, store.bounds, value)
}

function valuesOf(plugin: string, store: Store): readonly FamilyValue[] {
  const values: FamilyValue[] = []
  for (const series of store.series.values()) {
    const labels = { ...series.labels, [PLUGIN_LABEL]: plugin }
    const { value, buckets } = series
    if (store.spec.type !== 'histogram') values.push({ labels, value })
    else {
      const { spec, bounds } = store
      values.push(...histogramValues(spec.name, labels, bounds, { buckets, sum: value }))
    }
  }
  return values
}
