import { expect, test } from 'bun:test'
import { poolSize } from '../../src/config/pool-size.ts'

test('a pool has ten connections where the number says nothing, and two at least', () => {
  expect([-5, 0, 1, 2, 3, 500].map(poolSize)).toEqual([10, 10, 2, 2, 3, 500])
})
