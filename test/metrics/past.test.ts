import { expect, test } from 'bun:test'
import { Past } from '../../src/metrics/past.ts'

interface Counted {
  readonly name: string
  readonly state: string
  count: number
}

const past = () =>
  new Past<Counted>({
    nameOf: ({ name }) => name,
    sum: (newer, older) => ({ ...newer, count: newer.count + older.count }),
    copy: (counts) => ({ ...counts }),
  })

test('counts go on under their name, and what is no count is that of the newest', () => {
  const before = past()
  before.add({ name: 'a', state: 'gone', count: 1 })
  before.add({ name: 'a', state: 'gone', count: 2 })
  const present = [
    { name: 'a', state: 'newer', count: 10 },
    { name: 'b', state: 'only', count: 5 },
    { name: 'a', state: 'older', count: 20 },
  ]
  expect(before.with(present)).toEqual([
    { name: 'a', state: 'newer', count: 33 },
    { name: 'b', state: 'only', count: 5 },
  ])
  // Nothing was changed by asking.
  expect(before.with(present)).toEqual(before.with(present))
})

test('of what is not there nothing is told, and what is remembered is a copy', () => {
  const before = past()
  const counted = { name: 'a', state: 'gone', count: 1 }
  before.add(counted)
  counted.count = 100
  expect(before.with([])).toEqual([])
  expect(before.with([{ name: 'a', state: 'new', count: 1 }])[0]?.count).toBe(2)
})

test('names without end are forgotten, the oldest first', () => {
  const before = past()
  for (let name = 0; name <= 10_000; name++) before.add({ name: `${name}`, state: '', count: 1 })
  const [first, second] = ['0', '1'].map((name) => before.with([{ name, state: '', count: 1 }]))
  expect([first?.[0]?.count, second?.[0]?.count]).toEqual([1, 2])
})
