import { expect, test } from 'bun:test'
import { POOL_SUMMING, UPSTREAM_SUMMING } from '../../src/metrics/block-past.ts'
import { Past } from '../../src/metrics/past.ts'

test('failures and probes of a block are added up, and it is up as its newest upstream is', () => {
  const upstream = (block: string, count: number, usable: boolean, present = count) => ({
    group: 'default',
    block,
    failures: count,
    sessions: present,
    routed: count * 1000,
    role: { wanted: 'primary', known: usable ? 'primary' : 'standby', promotions: count } as const,
    health: { usable, probes: count * 10, probeFailures: count * 100 },
  })
  const past = new Past(UPSTREAM_SUMMING)
  past.add(upstream('writes', 1, true))
  const all = past.with([
    upstream('writes', 2, false),
    upstream('reads', 5, true),
    upstream('writes', 4, true),
  ])
  expect(all).toEqual([upstream('writes', 7, false, 6), upstream('reads', 5, true)])
})

const sharing = (count: number) => ({
  pinned: count,
  pins: { listen: count, lock: 0 },
  pinsRefused: count,
  prepares: count,
  evictions: count,
  statementsRefused: count,
})

test('pools of a block are added up; of one that is gone the counts alone', () => {
  const pool = (count: number) => ({
    upstream: { group: 'default', block: 'writes' },
    sharing: sharing(count),
    pool: {
      sizeMax: count,
      kept: { length: count },
      lent: count,
      waiting: count,
      counts: {
        waits: count,
        waitedMs: count,
        waitTimeouts: count,
        opened: count,
        reused: count,
        discarded: count,
      },
    },
  })
  const past = new Past(POOL_SUMMING)
  past.add(pool(1))
  const [all] = past.with([pool(2), pool(4)])
  expect(all?.sharing).toEqual({ ...sharing(7), pinned: 6 })
  expect(all?.pool).toEqual({
    sizeMax: 2,
    kept: { length: 6 },
    lent: 6,
    waiting: 6,
    counts: { ...pool(7).pool.counts },
  })
})
