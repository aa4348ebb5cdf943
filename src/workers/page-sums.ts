/**
 * One page of metrics out of those of all processes. Counters and histograms are added up, with
 * those of workers that are gone; a gauge is added up where the sum is true, and tells the worker
 * where it would not be.
 */
import type { Family } from '../metrics/family.ts'

/** Gauges whose sum over processes is what they say. */
const SUMMED: ReadonlySet<string> = new Set([
  'postern_sessions_open',
  'postern_buffered_bytes',
  'postern_generation_sessions',
  'postern_pool_connections',
  'postern_pool_waiting',
  'postern_pool_size',
  'postern_plugin_memory_bytes',
  'postern_plugin_metric_series',
  'process_open_fds',
  'process_resident_memory_bytes',
])
/** What only the gateway itself can say, whatever its workers say. */
const OF_GATEWAY: ReadonlySet<string> = new Set([
  'postern_build_info',
  'postern_start_time_seconds',
  'postern_generation_number',
  'postern_generations_live',
  'postern_plugin_state',
  'postern_plugin_start_time_seconds',
  'postern_plugin_families_dropped',
  'process_start_time_seconds',
  'process_max_fds',
])
/** What only workers have: the gateway itself has databases, but goes to none. */
const OF_WORKERS = /^postern_(?:pool|upstream)_/

type Values = Map<string, number>

export class PageSums {
  /** Counters and histograms of workers that are gone, by family and sample. */
  readonly #past = new Map<string, { readonly family: Family; readonly values: Values }>()

  /** Remembers what a worker had counted. */
  gone(families: readonly Family[]): void {
    for (const family of families) {
      if (family.type === 'gauge') continue
      const known = this.#past.get(family.name)
      const values: Values = known?.values ?? new Map()
      addTo(values, family.lines)
      if (known === undefined) this.#past.set(family.name, { family, values })
    }
  }

  /** `workers`: the last pages of those that run, by their number. */
  summed(
    own: readonly Family[],
    workers: ReadonlyMap<number, readonly Family[]>,
  ): readonly Family[] {
    const all = new Map<string, Sum>()
    const sumOf = (family: Family): Sum => {
      const known = all.get(family.name) ?? { family, values: new Map(), lines: [] }
      all.set(family.name, known)
      return known
    }
    for (const family of own) {
      const sum = sumOf(family)
      if (!OF_WORKERS.test(family.name)) addFamily(sum, family, null)
    }
    for (const [worker, families] of workers) {
      for (const family of families) {
        if (!OF_GATEWAY.has(family.name)) addFamily(sumOf(family), family, worker)
      }
    }
    for (const { family, values } of this.#past.values()) {
      const sum = sumOf(family)
      for (const [sample, value] of values) {
        sum.values.set(sample, (sum.values.get(sample) ?? 0) + value)
      }
    }
    return [...all.values()].map(({ family, values, lines }) => ({
      ...family,
      lines: [...Array.from(values, ([sample, value]) => `${sample} ${textOf(value)}`), ...lines],
    }))
  }
}

interface Sum {
  readonly family: Family
  readonly values: Values
  readonly lines: string[]
}

function addFamily(sum: Sum, family: Family, worker: number | null): void {
  const isSummed = family.type !== 'gauge' || SUMMED.has(family.name)
  if (isSummed) addTo(sum.values, family.lines)
  else if (worker === null) sum.lines.push(...family.lines)
  else sum.lines.push(...family.lines.map((line) => labelled(line, worker)))
}

function addTo(values: Values, lines: readonly string[]): void {
  for (const line of lines) {
    const [sample, value] = cut(line)
    values.set(sample, (values.get(sample) ?? 0) + numberOf(value))
  }
}

/** A sample without its value, and that; a value has no space in it. */
function cut(line: string): readonly [sample: string, value: string] {
  const at = line.lastIndexOf(' ')
  return [line.slice(0, at), line.slice(at + 1)]
}

function labelled(line: string, worker: number): string {
  const [sample, value] = cut(line)
  const label = `worker="${worker}"`
  if (!sample.endsWith('}')) return `${sample}{${label}} ${value}`
  const inner = sample.slice(0, -1)
  return `${inner}${inner.endsWith('{') ? '' : ','}${label}} ${value}`
}

function numberOf(text: string): number {
  if (/^\+?inf$/i.test(text)) return Number.POSITIVE_INFINITY
  if (/^-inf$/i.test(text)) return Number.NEGATIVE_INFINITY
  return Number(text)
}

function textOf(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return Number.isNaN(value) ? 'Nan' : String(value)
}
