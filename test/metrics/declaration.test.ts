import { expect, test } from 'bun:test'
import { GatewayError } from '../../src/base/errors.ts'
import { checkSpecs } from '../../src/metrics/declaration.ts'
import type { MetricSpec } from '../../src/metrics/meter.ts'

const fine: MetricSpec = { name: 'statements_total', type: 'counter', help: 'x', labels: ['kind'] }

/** A spec with a type that only a manifest from outside can have. */
function ofType(type: string): MetricSpec {
  const spec: MetricSpec = JSON.parse(JSON.stringify({ ...fine, type }))
  return spec
}

test('what the manual shows is accepted', () => {
  checkSpecs('audit', [
    fine,
    { name: 'a:b_1', type: 'gauge', help: '', labels: [] },
    { name: 'seconds', type: 'histogram', help: '', labels: [], buckets: [0.1, 1, 10] },
  ])
})

test.each<readonly [string, readonly MetricSpec[], RegExp]>([
  ['a bad name', [{ ...fine, name: 'a-b' }], /metrics\[0\]: the name "a-b" must match/],
  ['a line feed behind a name', [{ ...fine, name: 'a\n' }], /must match/],
  ['a long name', [{ ...fine, name: 'a'.repeat(200) }], /longer than 128/],
  ["the gateway's own names", [{ ...fine, name: 'postern_x' }], /postern_ are the gateway's own/],
  ['an unknown type', [ofType('summary')], /counter, gauge or histogram, not "summary"/],
  ['a long help', [{ ...fine, help: 'x'.repeat(2000) }], /help is longer/],
  ['a bad label', [{ ...fine, labels: ['a-b'] }], /the label "a-b" must match/],
  ['the label plugin', [{ ...fine, labels: ['plugin'] }], /"plugin" is set by the gateway/],
  ['a label of Prometheus', [{ ...fine, labels: ['__name__'] }], /begins with __/],
  ['a label twice', [{ ...fine, labels: ['a', 'a'] }], /"a" is named twice/],
  ['too many labels', [{ ...fine, labels: Array(17).fill('a') }], /more than 16 labels/],
  ['le on a histogram', [{ ...fine, type: 'histogram', labels: ['le'] }], /belongs to the buckets/],
  ['buckets on a counter', [{ ...fine, buckets: [1] }], /only a histogram has buckets/],
  ['no buckets', [{ ...fine, type: 'histogram', buckets: [] }], /between 1 and 64/],
  ['falling buckets', [{ ...fine, type: 'histogram', buckets: [2, 1] }], /larger than the one/],
  ['endless buckets', [{ ...fine, type: 'histogram', buckets: [1, Infinity] }], /finite/],
  ['a metric twice', [fine, fine], /statements_total: is declared twice/],
  [
    'a name that a histogram needs',
    [
      { ...fine, name: 'x', type: 'histogram' },
      { ...fine, name: 'x_count' },
    ],
    /x_count: clashes with x/,
  ],
  ['too many metrics', Array(129).fill(fine), /declares 129 metrics; at most 128/],
])('%s is refused, naming plugin and metric', (_, specs, message) => {
  const check = () => checkSpecs('audit', specs)
  expect(check).toThrow(GatewayError)
  expect(check).toThrow(/^audit: /)
  expect(check).toThrow(message)
})
