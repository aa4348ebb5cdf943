/** How much of the loop a plugin may take, on a clock turned by hand. */
import { expect, test } from 'bun:test'
import { LoopShare } from '../../../src/plugins/wasm/share.ts'

test('calls within the share are permitted for ever', () => {
  const share = new LoopShare(50)
  for (let now = 0; now < 20_000; now += 10) expect(share.add(4.9, now)).toBe(true)
})

test('calls over the share are told within the second', () => {
  const share = new LoopShare(50)
  let now = 0
  while (share.add(9, now)) now += 10
  expect(now).toBeGreaterThan(400)
  expect(now).toBeLessThan(1000)
})

test('a slow call that is permitted, and some of them, are not over the share', () => {
  const share = new LoopShare(50)
  expect(share.add(50, 5000)).toBe(true)
  for (let call = 0; call < 9; call++) expect(share.add(50, 5050 + call)).toBe(true)
  expect(share.add(50, 5100)).toBe(false)
})

test('what is a second old does not count, what is younger does', () => {
  const share = new LoopShare(50)
  expect(share.add(400, 1000)).toBe(true)
  expect(share.spentMs(1949)).toBe(400)
  expect(share.add(200, 1949)).toBe(false)
  expect(share.spentMs(2001)).toBe(200)
  expect(share.spentMs(60_000)).toBe(0)
  expect(share.add(400, 60_001)).toBe(true)
})

test('a share of all of it says never no', () => {
  const share = new LoopShare(100)
  for (let now = 0; now < 100; now++) expect(share.add(1000, now)).toBe(true)
})

test('what was held against a plugin once is forgiven', () => {
  const share = new LoopShare(10)
  expect(share.add(101, 500)).toBe(false)
  share.forgive()
  expect(share.spentMs(500)).toBe(0)
  expect(share.add(100, 501)).toBe(true)
})
