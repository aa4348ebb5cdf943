/** When a worker that died is replaced. */
import { expect, test } from 'bun:test'
import { backoffMs } from '../../src/workers/replacing.ts'

test('the first one at once, then later and later, but soon all the same', () => {
  expect([1, 2, 3, 4, 8, 50].map(backoffMs)).toEqual([0, 100, 200, 400, 5000, 5000])
})
