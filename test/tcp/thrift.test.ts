import { expect, test } from 'bun:test'
import { Thrift } from '../../src/tcp/thrift.ts'

/** A collection that takes `pauseMs` on a clock that only it moves. */
function collector(pauseMs: number) {
  const state = { now: 1000, collections: 0 }
  const thrift = new Thrift(
    () => {
      state.collections += 1
      state.now += pauseMs
    },
    () => state.now,
  )
  return { state, thrift }
}

test('nothing is collected while little is kept', () => {
  const { state, thrift } = collector(1)
  for (let times = 0; times < 39; times++) thrift.kept(100_000)
  expect(state.collections).toBe(0)
  thrift.kept(100_000)
  expect(state.collections).toBe(1)
})

test('collections take no more than half a percent of the time, however much is kept', () => {
  const { state, thrift } = collector(10)
  for (let ms = 0; ms < 20_000; ms++) {
    thrift.kept(10_000_000)
    state.now += 1
  }
  const share = (state.collections * 10) / (state.now - 1000)
  expect(share).toBeLessThanOrEqual(0.0051)
  expect(state.collections).toBeGreaterThan(5)
})
