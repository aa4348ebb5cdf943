/** One page out of those of all processes: what is added up, what is told apart, what stays. */
import { describe, expect, test } from 'bun:test'
import type { Family, FamilyType } from '../../src/metrics/family.ts'
import { PageSums } from '../../src/workers/page-sums.ts'

const family = (name: string, type: FamilyType, ...lines: string[]): Family => ({
  name,
  type,
  help: `about ${name}`,
  lines,
})

function pageOf(
  own: readonly Family[],
  workers: readonly (readonly Family[])[],
  sums = new PageSums(),
): string[] {
  const numbered = workers.map((families, worker) => [worker, families] as const)
  return sums.summed(own, new Map(numbered)).flatMap(({ lines }) => lines)
}

const total = (value: number, labels = '{group="default"}') =>
  family('postern_sessions_total', 'counter', `postern_sessions_total${labels} ${value}`)

describe('counters', () => {
  test('are added up, sample by sample', () => {
    const bytes = (one: number, other: number) =>
      family('b_total', 'counter', `b_total{d="in", x="a b"} ${one}`, `b_total{d="out"} ${other}`)
    expect(pageOf([bytes(1, 2)], [[bytes(10, 20)], [bytes(100, 200)]])).toEqual([
      'b_total{d="in", x="a b"} 111',
      'b_total{d="out"} 222',
    ])
  })

  test('keep what workers had counted that are gone', () => {
    const sums = new PageSums()
    sums.gone([total(5)])
    sums.gone([total(7), total(1, '{group="other"}')])
    expect(pageOf([total(0)], [[total(2)]], sums)).toEqual([
      'postern_sessions_total{group="default"} 14',
      'postern_sessions_total{group="other"} 1',
    ])
    expect(pageOf([], [], sums)).toHaveLength(2)
  })

  test('of databases come from workers alone', () => {
    const probes = (value: number) =>
      family('postern_upstream_probes_total', 'counter', `postern_upstream_probes_total ${value}`)
    expect(pageOf([probes(9)], [[probes(1)], [probes(2)]])).toEqual([
      'postern_upstream_probes_total 3',
    ])
  })
})

test('histograms are added up bucket by bucket', () => {
  const histogram = (count: number) =>
    family('h', 'histogram', `h_bucket{le="1"} ${count}`, `h_bucket{le="+Inf"} ${count * 2}`)
  expect(pageOf([], [[histogram(1)], [histogram(2)]])).toEqual([
    'h_bucket{le="1"} 3',
    'h_bucket{le="+Inf"} 6',
  ])
})

describe('gauges', () => {
  const gauge = (name: string, labels: string, value: number | string) =>
    family(name, 'gauge', `${name}${labels} ${value}`)

  test('are added up where the sum is true', () => {
    const open = (value: number) => gauge('postern_sessions_open', '{group="a"}', value)
    expect(pageOf([open(0)], [[open(3)], [open(4)]])).toEqual([
      'postern_sessions_open{group="a"} 7',
    ])
    const size = (value: string) => gauge('postern_pool_size', '', value)
    expect(pageOf([], [[size('+Inf')], [size('+Inf')]])).toEqual(['postern_pool_size +Inf'])
  })

  test('tell their worker where it would not be', () => {
    const up = (value: number) => gauge('postern_upstream_up', '{block="w"}', value)
    expect(pageOf([up(1)], [[up(1)], [up(0)]])).toEqual([
      'postern_upstream_up{block="w",worker="0"} 1',
      'postern_upstream_up{block="w",worker="1"} 0',
    ])
    expect(pageOf([], [[gauge('own_level', '', 5)]])).toEqual(['own_level{worker="0"} 5'])
  })

  test('of the gateway itself are its own', () => {
    const state = (value: number) => gauge('postern_plugin_state', '{state="ready"}', value)
    expect(pageOf([state(1)], [[state(0)], [state(0)]])).toEqual([
      'postern_plugin_state{state="ready"} 1',
    ])
  })

  test('of a worker that is gone are gone', () => {
    const sums = new PageSums()
    sums.gone([gauge('postern_sessions_open', '', 12)])
    expect(pageOf([gauge('postern_sessions_open', '', 0)], [], sums)).toEqual([
      'postern_sessions_open 0',
    ])
  })
})
