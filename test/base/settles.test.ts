import { expect, test } from 'bun:test'
import { settlesIn } from '../../src/base/settles.ts'

test('what settles in time, by a value or by an error, has settled', async () => {
  expect(await settlesIn(10_000, Promise.resolve(1))).toBe(true)
  expect(await settlesIn(10_000, Promise.reject(new Error('no')))).toBe(true)
})

test('what does not settle is waited for no longer than said', async () => {
  expect(await settlesIn(1, new Promise(() => undefined))).toBe(false)
})
