import { afterEach, beforeEach, describe, expect, type Mock, spyOn, test } from 'bun:test'
import { pino } from 'pino'
import { HookTally } from '../../src/hooks/tally.ts'

let now = 0
let clock: Mock<() => number>
beforeEach(() => {
  now = 0
  clock = spyOn(performance, 'now').mockImplementation(() => now)
})
afterEach(() => clock.mockRestore())

function bench(): { tally: HookTally; lines: string[]; later: (ms: number) => void } {
  const lines: string[] = []
  const log = pino({ base: null, timestamp: false }, { write: (line) => void lines.push(line) })
  const later = (ms: number): void => {
    now += ms
  }
  return { tally: new HookTally(log), lines, later }
}

describe('failures', () => {
  test('are counted by plugin and hook', () => {
    const { tally } = bench()
    tally.stepFailed('guard', 'onOpening', 'it fell')
    tally.stepFailed('guard', 'onOpening', 'it fell')
    tally.failed('guard', 'onClosed')
    tally.failed('audit', 'onClosed')
    expect(tally.failures()).toEqual([
      { plugin: 'guard', hook: 'onOpening', count: 2 },
      { plugin: 'guard', hook: 'onClosed', count: 1 },
      { plugin: 'audit', hook: 'onClosed', count: 1 },
    ])
  })

  test('are logged once a second for each plugin and hook, with how many were not', () => {
    const { tally, lines, later } = bench()
    for (let count = 0; count < 5; count++) tally.stepFailed('guard', 'onOpening', 'it fell')
    tally.stepFailed('guard', 'onRun', 'it fell')
    expect(lines).toHaveLength(2)
    expect(lines[0]).toContain('plugin \\"guard\\" failed at onOpening: it fell')
    later(1000)
    tally.stepFailed('guard', 'onOpening', 'it fell again')
    expect(lines).toHaveLength(3)
    expect(JSON.parse(lines[2]!)).toMatchObject({ level: 40, alike: 4 })
    later(999)
    tally.stepFailed('guard', 'onOpening', 'too soon')
    expect(lines).toHaveLength(3)
  })

  test('of however many kinds are remembered by a bounded number', () => {
    const { tally, lines } = bench()
    for (let kind = 0; kind <= 10_000; kind++) tally.limited(`kind ${kind}`, 'odd')
    expect(lines).toHaveLength(10_001)
    tally.limited('kind 10000', 'odd')
    expect(lines).toHaveLength(10_001)
    tally.limited('kind 0', 'odd')
    expect(lines).toHaveLength(10_002)
  })
})

test('drops and denials are counted and not logged', () => {
  const { tally, lines } = bench()
  tally.dropped('audit', 'onTrafficToServer')
  tally.dropped('audit', 'onTrafficToServer')
  tally.denied('onTrafficFromClient')
  tally.denied('onTrafficFromServer')
  tally.denied('onTrafficFromClient')
  expect(tally.drops()).toEqual([{ plugin: 'audit', hook: 'onTrafficToServer', count: 2 }])
  expect(tally.denials()).toEqual([
    { hook: 'onTrafficFromClient', count: 2 },
    { hook: 'onTrafficFromServer', count: 1 },
  ])
  expect(lines).toEqual([])
})
