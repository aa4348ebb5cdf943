/** Time that passes while nobody listens must not be held against who speaks. */
import { expect, test } from 'bun:test'
import type { Clock } from '../../../src/plugins/clock.ts'
import { afterListening } from '../../../src/plugins/grpc/patience.ts'
import { TurnedClock } from '../turned-clock.ts'

test('a wait ends when its time is up, once', () => {
  const clock = new TurnedClock()
  let calls = 0
  afterListening(clock, 1000, () => calls++)
  clock.turn(999)
  expect(calls).toBe(0)
  clock.turn(1)
  expect(calls).toBe(1)
  clock.turn(10_000)
  expect(calls).toBe(1)
})

test('a wait that is taken back leaves no timer', () => {
  const clock = new TurnedClock()
  let calls = 0
  const takeBack = afterListening(clock, 1000, () => calls++)
  clock.turn(500)
  takeBack()
  expect(clock.waiting).toBe(0)
  clock.turn(1000)
  expect(calls).toBe(0)
})

test('a wait during which nothing could be heard goes on behind that', () => {
  const due: (() => void)[] = []
  const waits: number[] = []
  const clock: Clock = {
    now: () => 0,
    wall: () => 0,
    after: (delayMs, act) => {
      waits.push(delayMs)
      due.push(act)
      return () => undefined
    },
  }
  let isOver = false
  afterListening(clock, 1000, () => {
    isOver = true
  })
  // However long this took, it was one look.
  due.shift()?.()
  expect(isOver).toBeFalse()
  while (due.length > 0) due.shift()?.()
  expect(isOver).toBeTrue()
  expect(waits).toEqual(Array.from({ length: 10 }, () => 100))
})
