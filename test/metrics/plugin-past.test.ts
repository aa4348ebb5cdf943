import { expect, test } from 'bun:test'
import { CallCounts } from '../../src/metrics/calls.ts'
import { Past } from '../../src/metrics/past.ts'
import type { PluginCounts } from '../../src/metrics/plugin-families.ts'
import { PLUGIN_SUMMING } from '../../src/metrics/plugin-past.ts'

function counted(name: string, calls: CallCounts, more: Partial<PluginCounts> = {}): PluginCounts {
  return {
    name,
    runtime: 'wasm',
    state: 'ready',
    restarts: 1,
    readySince: 1,
    calls: calls.hooks(),
    sandbox: null,
    ...more,
  }
}

function called(hook: string, times: number): CallCounts {
  const counts = new CallCounts()
  for (let time = 0; time < times; time++) counts.took(hook, 1)
  counts.failed(hook)
  return counts
}

const total = ({ calls }: PluginCounts, hook: string): number =>
  calls.find((each) => each.hook === hook)?.buckets.reduce((sum, count) => sum + count, 0) ?? 0

test('the counts of a plugin go on behind those of the ones of its name before', () => {
  const past = new Past(PLUGIN_SUMMING)
  past.add(counted('audit', called('onOpening', 3)))
  past.add(counted('audit', called('onClosed', 2)))
  const [audit, other] = past.with([
    counted('audit', called('onOpening', 4), { state: 'failing' }),
    counted('other', called('onOpening', 1)),
  ])
  expect([total(audit!, 'onOpening'), total(audit!, 'onClosed')]).toEqual([7, 2])
  expect(audit).toMatchObject({ state: 'failing', restarts: 3 })
  expect(audit!.calls.map(({ failures }) => failures)).toEqual([2, 1])
  expect(total(other!, 'onOpening')).toBe(1)
})

test('two that run under one name are one, in the state of the first', () => {
  const past = new Past(PLUGIN_SUMMING)
  past.add(counted('audit', called('onOpening', 1)))
  const sandbox = {
    traps: [['stack', 1]] as const,
    limitHits: [],
    fuel: 5,
    deadlineHits: 1,
    deadlineExtensions: 0,
    memoryBytes: 100,
  }
  const newer = counted('audit', called('onOpening', 2), { state: 'starting', sandbox })
  const older = counted('audit', called('onOpening', 4), {
    sandbox: {
      ...sandbox,
      traps: [
        ['stack', 2],
        ['deadline', 3],
      ],
      memoryBytes: 999,
    },
  })
  const all = past.with([newer, older])
  expect(all).toHaveLength(1)
  expect(total(all[0]!, 'onOpening')).toBe(7)
  expect(all[0]).toMatchObject({ state: 'starting', restarts: 3 })
  expect(all[0]!.sandbox).toMatchObject({ fuel: 10, deadlineHits: 2, memoryBytes: 100 })
  expect([...all[0]!.sandbox!.traps]).toEqual([
    ['stack', 3],
    ['deadline', 3],
  ])
})

test('what is remembered is a copy, and of plugins that do not run nothing is told', () => {
  const past = new Past(PLUGIN_SUMMING)
  const calls = called('onOpening', 1)
  past.add(counted('audit', calls))
  calls.took('onOpening', 1)
  expect(past.with([])).toEqual([])
  const [audit] = past.with([counted('audit', called('onOpening', 1))])
  expect(total(audit!, 'onOpening')).toBe(2)
})
