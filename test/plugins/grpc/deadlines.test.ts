/** Many deadlines over one timer, on a clock that is turned by hand. */
import { expect, test } from 'bun:test'
import { Deadlines, type Timed } from '../../../src/plugins/grpc/deadlines.ts'
import { TurnedClock } from '../turned-clock.ts'

function started() {
  const clock = new TurnedClock()
  const deadlines = new Deadlines<Timed>(clock)
  const expired: string[] = []
  const add = (name: string, timeoutMs: number): Timed => {
    const item = { endsAtMs: deadlines.endOf(timeoutMs), expire: () => expired.push(name) }
    deadlines.add(item)
    return item
  }
  return { clock, deadlines, expired, add }
}

test('each expires at its own time, whatever order they came in', () => {
  const { clock, deadlines, expired, add } = started()
  add('long', 100)
  add('short', 10)
  add('middle', 50)
  clock.turn(9)
  expect(expired).toEqual([])
  clock.turn(1)
  expect(expired).toEqual(['short'])
  clock.turn(40)
  expect(expired).toEqual(['short', 'middle'])
  clock.turn(1000)
  expect(expired).toEqual(['short', 'middle', 'long'])
  expect(deadlines.size).toBe(0)
})

test('one timer waits for all, and none when nothing is left to wait for', () => {
  const { clock, deadlines, expired, add } = started()
  for (let n = 0; n < 1000; n++) deadlines.delete(add(`${n}`, 100))
  expect(clock.waiting).toBe(1)
  add('last', 150)
  expect(clock.waiting).toBe(1)
  clock.turn(100)
  expect(clock.waiting).toBe(1)
  clock.turn(50)
  expect(expired).toEqual(['last'])
  expect(clock.waiting).toBe(0)
})

test('what was taken back does not expire', () => {
  const { clock, deadlines, expired, add } = started()
  const item = add('taken back', 10)
  add('stays', 10)
  deadlines.delete(item)
  clock.turn(10)
  expect(expired).toEqual(['stays'])
})

test('what begins while others expire has its own time', () => {
  const { clock, deadlines, expired, add } = started()
  deadlines.add({ endsAtMs: deadlines.endOf(10), expire: () => add('next', 5) })
  add('later', 100)
  clock.turn(14)
  expect(expired).toEqual([])
  clock.turn(1)
  expect(expired).toEqual(['next'])
  clock.turn(85)
  expect(expired).toEqual(['next', 'later'])
})

test('all may be ended at once, with their timer', () => {
  const { clock, deadlines, expired, add } = started()
  const items = [add('one', 10), add('two', 20)]
  expect(deadlines.clear()).toEqual(items)
  expect(clock.waiting).toBe(0)
  clock.turn(100)
  expect(expired).toEqual([])
})
