import { expect, test } from 'bun:test'
import { Registry } from 'prom-client'
import { GatewayError } from '../../src/base/errors.ts'
import { DeclaredMetrics, LABEL_VALUE_LENGTH_MAX } from '../../src/metrics/declared.ts'
import { registerFamily } from '../../src/metrics/family.ts'
import type { MetricSpec } from '../../src/metrics/meter.ts'

function start(seriesMax = 1000) {
  const registry = new Registry()
  return { registry, declared: new DeclaredMetrics(registry, seriesMax) }
}

const counter: MetricSpec = {
  name: 'statements_total',
  type: 'counter',
  help: '',
  labels: ['kind'],
}
const gauge: MetricSpec = { name: 'depth', type: 'gauge', help: '', labels: [] }
const histogram: MetricSpec = {
  name: 'seconds',
  type: 'histogram',
  help: '',
  labels: [],
  buckets: [0.5, 1],
}

test('a counter adds, a gauge is set, a histogram observes; all carry the plugin', async () => {
  const { registry, declared } = start()
  const metrics = declared.declare('audit', [counter, gauge, histogram])
  metrics.record(0, 2, ['SELECT'])
  metrics.record(0, 3, ['SELECT'])
  metrics.record(1, 7, [])
  metrics.record(1, 4, [])
  for (const value of [0.1, 0.5, 0.7, 9]) metrics.record(2, value, [])
  const page = await registry.metrics()
  for (const line of [
    'statements_total{kind="SELECT",plugin="audit"} 5',
    'depth{plugin="audit"} 4',
    'seconds_bucket{plugin="audit",le="0.5"} 2',
    'seconds_bucket{plugin="audit",le="1"} 3',
    'seconds_bucket{plugin="audit",le="+Inf"} 4',
    'seconds_sum{plugin="audit"} 10.3',
    'seconds_count{plugin="audit"} 4',
  ]) {
    expect(page.split('\n')).toContain(line)
  }
})

test('a counter without labels is a zero before it moves, a gauge is nothing', async () => {
  const { registry, declared } = start()
  declared.declare('a', [{ ...counter, labels: [] }, gauge])
  const page = await registry.metrics()
  expect(page).toContain('statements_total{plugin="a"} 0')
  expect(page).not.toContain('depth{')
})

test('a wrong record is refused and counted', () => {
  const { declared } = start()
  const metrics = declared.declare('a', [counter])
  expect(metrics.record(1, 1, ['x'])).toBe(false)
  expect(metrics.record(-1, 1, ['x'])).toBe(false)
  expect(metrics.record(0.5, 1, ['x'])).toBe(false)
  expect(metrics.record(0, 1, [])).toBe(false)
  expect(metrics.record(0, 1, ['x', 'y'])).toBe(false)
  expect(metrics.record(0, -1, ['x'])).toBe(false)
  expect(metrics.record(0, Number.NaN, ['x'])).toBe(false)
  expect(metrics.record(0, Number.POSITIVE_INFINITY, ['x'])).toBe(false)
  expect(metrics.record(0, 0, ['x'])).toBe(true)
  expect(declared.refusals()).toEqual([{ labels: { plugin: 'a' }, value: 8 }])
})

test('the budget of series is per plugin, and a spent one still counts what it has', () => {
  const { declared } = start(3)
  const greedy = declared.declare('greedy', [counter])
  const modest = declared.declare('modest', [counter])
  const kinds = ['a', 'b', 'c', 'd', 'e']
  expect(kinds.map((kind) => greedy.record(0, 1, [kind]))).toEqual([true, true, true, false, false])
  expect(greedy.record(0, 1, ['a'])).toBe(true)
  expect(modest.record(0, 1, ['a'])).toBe(true)
  expect(declared.seriesCounts()).toEqual([
    { labels: { plugin: 'greedy' }, value: 3 },
    { labels: { plugin: 'modest' }, value: 1 },
  ])
})

test('a histogram costs a series for each of its lines', () => {
  const { declared } = start(9)
  const metrics = declared.declare('a', [{ ...histogram, labels: ['k'] }])
  expect(metrics.record(0, 1, ['x'])).toBe(true)
  expect(metrics.record(0, 1, ['y'])).toBe(false)
  expect(declared.seriesCounts()[0]?.value).toBe(5)
})

test('label values that could be confused are kept apart', async () => {
  const { registry, declared } = start()
  const metrics = declared.declare('a', [{ ...counter, labels: ['a', 'b'] }])
  metrics.record(0, 1, ['x', '1:y'])
  metrics.record(0, 1, ['x1:', 'y'])
  metrics.record(0, 1, ['', ''])
  const page = await registry.metrics()
  expect(page.match(/^statements_total\{.* 1$/gm)).toHaveLength(3)
})

test('a long label value is cut, also amid a character', async () => {
  const { registry, declared } = start()
  const metrics = declared.declare('a', [counter])
  const text = 'x'.repeat(LABEL_VALUE_LENGTH_MAX - 1)
  metrics.record(0, 1, [`${text}👍`])
  metrics.record(0, 1, [`${text}👎👎👎`])
  expect(await registry.metrics()).toContain(`kind="${text}\ufffd",plugin="a"} 2\n`)
})

test('a quote, a backslash and a line feed in a label value are escaped', async () => {
  const { registry, declared } = start()
  declared.declare('a', [counter]).record(0, 1, ['a"b\\c\nd'])
  expect(await registry.metrics()).toContain('kind="a\\"b\\\\c\\nd",plugin="a"} 1')
})

test('two plugins share a family of one type, and the page has it once', async () => {
  const { registry, declared } = start()
  declared.declare('a', [counter]).record(0, 1, ['x'])
  declared.declare('b', [counter]).record(0, 2, ['x'])
  const page = await registry.metrics()
  expect(page.match(/# TYPE statements_total counter/g)).toHaveLength(1)
  expect(page).toContain('{kind="x",plugin="a"} 1')
  expect(page).toContain('{kind="x",plugin="b"} 2')
})

test('a clash of types between two plugins is an error that names both', () => {
  const { declared } = start()
  declared.declare('first', [counter])
  const clash = () => declared.declare('second', [{ ...counter, type: 'gauge' }])
  expect(clash).toThrow(GatewayError)
  expect(clash).toThrow(/^second: its metric statements_total \(gauge\) .* the plugin first;/)
})

test("a name that another family's samples have is a clash as well", () => {
  const { declared } = start()
  declared.declare('first', [histogram])
  expect(() => declared.declare('second', [{ ...counter, name: 'seconds_count' }])).toThrow(
    /seconds_count .* clashes with seconds \(histogram\) of the plugin first/,
  )
})

test("the gateway's own families are not for plugins", () => {
  const { registry, declared } = start()
  registerFamily(registry, { name: 'process_x', type: 'gauge', help: '' }, () => [])
  expect(() => declared.declare('a', [{ ...gauge, name: 'process_x' }])).toThrow(
    /clashes with process_x \(gauge\) of the gateway itself/,
  )
})

test('what was withdrawn is gone from the page, and its name is free', async () => {
  const { registry, declared } = start()
  const metrics = declared.declare('a', [counter])
  metrics.record(0, 1, ['x'])
  metrics.withdraw()
  metrics.withdraw()
  expect(await registry.metrics()).not.toContain('statements_total')
  expect(declared.seriesCounts()).toEqual([])
  declared.declare('b', [{ ...counter, type: 'gauge' }])
})

test('a declaration that is refused leaves nothing behind', async () => {
  const { registry, declared } = start()
  declared.declare('a', [gauge])
  expect(() => declared.declare('b', [counter, { ...gauge, type: 'counter' }])).toThrow()
  expect(await registry.metrics()).not.toContain('statements_total')
})

test('old and new instance of a plugin count on together while a reload has both', async () => {
  const { registry, declared } = start()
  const before = declared.declare('a', [counter])
  before.record(0, 1, ['x'])
  const after = declared.declare('a', [counter])
  after.record(0, 1, ['x'])
  before.record(0, 1, ['x'])
  before.withdraw()
  expect(await registry.metrics()).toContain('statements_total{kind="x",plugin="a"} 3')
  expect(declared.seriesCounts()[0]?.value).toBe(1)
})

test('a new instance may change a type; if it goes, the old one is back', async () => {
  const { registry, declared } = start()
  declared.declare('a', [counter]).record(0, 1, ['x'])
  const changed = declared.declare('a', [{ ...counter, type: 'gauge' }])
  changed.record(0, 9, ['x'])
  expect(await registry.metrics()).toContain('# TYPE statements_total gauge\n')
  expect(await registry.metrics()).toContain('plugin="a"} 9')
  changed.withdraw()
  expect(await registry.metrics()).toContain('# TYPE statements_total counter\n')
  expect(await registry.metrics()).toContain('plugin="a"} 1')
})
