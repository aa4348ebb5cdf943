import { expect, test } from 'bun:test'
import { Counter, Histogram, Registry } from 'prom-client'
import { claimedNames, familiesOf, registerFamily } from '../../src/metrics/family.ts'

test("prom-client's own metrics and ours are read alike", async () => {
  const registry = new Registry()
  new Counter({ name: 'c', help: 'two\nlines', registers: [registry] }).inc(2)
  new Histogram({ name: 'h', help: 'h', buckets: [1], registers: [registry] }).observe(3)
  registerFamily(registry, { name: 'f', type: 'counter', help: '' }, async () => [
    { labels: { a: 'b' }, value: 1 },
  ])
  const families = await familiesOf(registry)
  expect(families).toEqual([
    { name: 'c', type: 'counter', help: 'two\\nlines', lines: ['c 2'] },
    {
      name: 'h',
      type: 'histogram',
      help: 'h',
      lines: ['h_bucket{le="1"} 0', 'h_bucket{le="+Inf"} 1', 'h_sum 3', 'h_count 1'],
    },
    { name: 'f', type: 'counter', help: '', lines: ['f{a="b"} 1'] },
  ])
})

test('a family without samples has no lines', async () => {
  const registry = new Registry()
  registerFamily(registry, { name: 'f', type: 'gauge', help: 'x' }, () => [])
  expect((await familiesOf(registry))[0]?.lines).toEqual([])
})

test('a histogram claims the names of its parts, a counter only its own', () => {
  expect(claimedNames('x', 'counter')).toEqual(['x'])
  expect(claimedNames('x', 'histogram')).toContain('x_bucket')
})
