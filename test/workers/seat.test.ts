import { expect, test } from 'bun:test'
import { isSilent, newSeat } from '../../src/workers/seat.ts'

const PERIOD_MS = 1000

/** Whether it counts as silent at each of so many looks in which nothing is heard. */
function looks(count: number, silenceMsMax: number): boolean[] {
  const seat = newSeat(0)
  return Array.from({ length: count }, () => isSilent(seat, PERIOD_MS, silenceMsMax))
}

test('a worker is silent when it was asked and not heard for as long as is permitted', () => {
  expect(looks(4, 2000)).toEqual([false, false, true, true])
  expect(looks(3, 500)).toEqual([false, true, true])
})

test('it is never silent where that is no matter', () => {
  expect(looks(1000, 0)).not.toContain(true)
})

test('whoever is heard begins anew', () => {
  const seat = newSeat(0)
  for (let look = 0; look < 100; look++) {
    expect(isSilent(seat, PERIOD_MS, 2000)).toBe(false)
    if (look % 2 === 1) seat.unheardMs = 0
  }
})
