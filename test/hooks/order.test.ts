import { expect, test } from 'bun:test'
import { inOrder } from '../../src/hooks/order.ts'

const step = (plugin: string, priority: number) => ({ plugin, priority })
const refuse = (): never => {
  throw new Error('nothing is replaced here')
}

test('steps are ordered by priority, lowest first, whatever order they come in', () => {
  const ordered = inOrder([step('c', 1002), step('a', 1000), step('b', 1001)], refuse)
  expect(ordered.map(({ plugin }) => plugin)).toEqual(['a', 'b', 'c'])
})

test('of one priority the later wins, and the loser is told', () => {
  const told: string[] = []
  const ordered = inOrder(
    [step('a', 5), step('b', 5), step('z', 1), step('c', 5)],
    (loser, winner) => told.push(`${loser.plugin} by ${winner.plugin}`),
  )
  expect(ordered.map(({ plugin }) => plugin)).toEqual(['z', 'c'])
  expect(told).toEqual(['a by b', 'b by c'])
})

test('no steps are in order', () => {
  expect(inOrder([], refuse)).toEqual([])
})
