import { expect, test } from 'bun:test'
import { CallCounts, LATENCY_BOUNDS_SECONDS } from '../../src/metrics/calls.ts'

test('calls are counted and timed hook by hook, and in all', () => {
  const counts = new CallCounts()
  counts.took('onOpening', 0.0005)
  counts.took('onTrafficFromClient', 0.0005)
  counts.took('onTrafficFromClient', 1_000_000)
  expect(counts.calls).toBe(3)
  expect(counts.spentMs).toBeCloseTo(1_000_000.001)
  const [opening, fromClient] = counts.hooks()
  expect(opening?.buckets[0]).toBe(1)
  expect(fromClient?.buckets[0]).toBe(1)
  expect(fromClient?.buckets[LATENCY_BOUNDS_SECONDS.length]).toBe(1)
  expect(fromClient?.spentMs).toBeCloseTo(1_000_000.0005)
})

test('a failure counts for its hook, also where no call was made', () => {
  const counts = new CallCounts()
  counts.failed('onOpening')
  expect([counts.calls, counts.failures]).toEqual([0, 1])
  expect(counts.hooks().map(({ hook, failures }) => [hook, failures])).toEqual([['onOpening', 1]])
})
