import { expect, test } from 'bun:test'
import { emptyBuckets, histogramValues, observe } from '../../src/metrics/histogram.ts'

test('a value lies in the first bucket whose bound it does not pass, or in the last', () => {
  const bounds = [1, 2]
  const buckets = emptyBuckets(bounds)
  for (const value of [0, 1, 1.5, 2, 2.1, Number.POSITIVE_INFINITY]) observe(buckets, bounds, value)
  expect(buckets).toEqual([2, 2, 2])
})

test('on the page buckets are added up, and the last one counts everything', () => {
  const values = histogramValues('h', { a: 'b' }, [1], { buckets: [2, 3], sum: 7 })
  expect(values).toEqual([
    { labels: { a: 'b', le: 1 }, value: 2, metricName: 'h_bucket' },
    { labels: { a: 'b', le: '+Inf' }, value: 5, metricName: 'h_bucket' },
    { labels: { a: 'b' }, value: 7, metricName: 'h_sum' },
    { labels: { a: 'b' }, value: 5, metricName: 'h_count' },
  ])
})
