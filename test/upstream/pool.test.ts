import { describe, expect, test } from 'bun:test'
import { type Grant, Pool } from '../../src/upstream/pool.ts'

class Connection {
  readonly name: string
  closed = false
  constructor(name: string) {
    this.name = name
  }
  close(): void {
    this.closed = true
  }
}

type Got = (readonly [taker: string, grant: string])[]

/** A pool, and a taker that notes what it was given. */
function bench(sizeMax: number, waitTimeoutMs = 0) {
  const pool = new Pool<Connection>({ sizeMax, waitTimeoutMs })
  const got: Got = []
  const nameOf = (grant: Grant<Connection>): string =>
    typeof grant === 'string' ? grant : grant.name
  const take = (taker: string) => pool.take((grant) => got.push([taker, nameOf(grant)]))
  return { pool, got, take }
}

describe('a taker', () => {
  test('is given a place at once while there is one, then waits for its turn', () => {
    const { pool, got, take } = bench(2)
    expect([take('a'), take('b')]).toEqual([null, null])
    expect(take('c')).not.toBeNull()
    take('d')
    expect([pool.lent, pool.waiting]).toEqual([2, 2])
    pool.vacate()
    pool.giveBack(new Connection('one'))
    expect(got).toEqual([
      ['a', 'place'],
      ['b', 'place'],
      ['c', 'place'],
      ['d', 'one'],
    ])
    expect([pool.lent, pool.waiting]).toEqual([2, 0])
  })

  test('is given the connection that was used last', () => {
    const { pool, got, take } = bench(2)
    take('a')
    take('b')
    pool.giveBack(new Connection('old'))
    pool.giveBack(new Connection('new'))
    expect([pool.lent, pool.kept.length]).toEqual([0, 2])
    take('c')
    expect(got.at(-1)).toEqual(['c', 'new'])
    expect(pool.counts.reused).toBe(1)
  })

  test('leaves the queue from anywhere in it, once', () => {
    const { pool, got, take } = bench(1)
    const [, one, , three, , five] = ['a', 'one', 'two', 'three', 'four', 'five'].map(take)
    for (const waiting of [three!, one!, five!, three!]) waiting.forget()
    expect(pool.waiting).toBe(2)
    for (const name of ['x', 'y', 'z']) pool.giveBack(new Connection(name))
    expect(got.slice(1)).toEqual([
      ['two', 'x'],
      ['four', 'y'],
    ])
    expect([pool.waiting, pool.kept.length]).toEqual([0, 1])
  })

  test('does not overtake those who wait', () => {
    const { pool, got, take } = bench(1)
    take('a')
    take('b')
    take('c')
    pool.giveBack(new Connection('one'))
    expect(got.at(-1)).toEqual(['b', 'one'])
  })

  test('that leaves while it waits is passed over', () => {
    const { pool, got, take } = bench(1)
    take('a')
    take('b')?.forget()
    take('c')
    pool.vacate()
    expect(got.at(-1)).toEqual(['c', 'place'])
    expect(got).toHaveLength(2)
  })

  test('is told when its time is over, and is counted', async () => {
    const { pool, got, take } = bench(1, 5)
    take('a')
    take('b')
    await Bun.sleep(20)
    expect(got.at(-1)).toEqual(['b', 'late'])
    expect(pool.waiting).toBe(0)
    expect(pool.counts).toMatchObject({ waits: 1, waitTimeouts: 1 })
    expect(pool.counts.waitedMs).toBeGreaterThan(4)
  })
})

describe('a connection', () => {
  test('that dies while it is kept frees its place', () => {
    const { pool, got, take } = bench(1)
    take('a')
    const dying = new Connection('dying')
    pool.giveBack(dying)
    expect(pool.remove(dying)).toBeTrue()
    expect(pool.remove(dying)).toBeFalse()
    pool.vacate()
    take('b')
    expect(got.at(-1)).toEqual(['b', 'place'])
  })

  test('that comes back unclean is counted, and its place goes to the next', () => {
    const { pool, got, take } = bench(1)
    take('a')
    take('b')
    pool.discard()
    expect(got.at(-1)).toEqual(['b', 'place'])
    expect(pool.counts.discarded).toBe(1)
  })
})

test('a retired pool closes what it keeps, and what comes back', () => {
  const { pool, take } = bench(2)
  take('a')
  take('b')
  const [kept, lent] = [new Connection('kept'), new Connection('lent')]
  pool.giveBack(kept)
  pool.retire()
  pool.giveBack(lent)
  expect([kept.closed, lent.closed]).toEqual([true, true])
  expect([pool.lent, pool.kept.length]).toEqual([0, 0])
})
