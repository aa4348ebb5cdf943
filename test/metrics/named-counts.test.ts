import { expect, test } from 'bun:test'
import { NamedCounts } from '../../src/metrics/named-counts.ts'

test('every name is there from the first, and each counts for itself', () => {
  const counts = new NamedCounts(['one', 'two'])
  counts.add('two')
  counts.add('two')
  expect([counts.of('one'), counts.of('two')]).toEqual([0, 2])
  expect([...counts.entries()]).toEqual([
    ['one', 0],
    ['two', 2],
  ])
})
