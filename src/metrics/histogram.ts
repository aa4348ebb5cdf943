/** Histograms: observations counted in buckets, and how they stand on a page. */
import type { FamilyValue } from './family.ts'

/** Counts an observation in the first bucket whose bound it does not pass; the last has none. */
export function observe(buckets: number[], bounds: readonly number[], value: number): void {
  let place = 0
  while (place < bounds.length && value > bounds[place]!) place++
  buckets[place]! += 1
}

/** Buckets for these bounds, all empty. */
export function emptyBuckets(bounds: readonly number[]): number[] {
  return Array.from({ length: bounds.length + 1 }, () => 0)
}

/** The samples of one histogram: its buckets added up, the sum and the count. */
export function histogramValues(
  name: string,
  labels: Readonly<Record<string, string>>,
  bounds: readonly number[],
  { buckets, sum }: { readonly buckets: readonly number[]; readonly sum: number },
): readonly FamilyValue[] {
  let count = 0
  const lines = buckets.map((observed, index) => {
    count += observed
    const le = bounds[index] ?? '+Inf'
    return { labels: { ...labels, le }, value: count, metricName: `${name}_bucket` }
  })
  return [
    ...lines,
    { labels, value: sum, metricName: `${name}_sum` },
    { labels, value: count, metricName: `${name}_count` },
  ]
}
