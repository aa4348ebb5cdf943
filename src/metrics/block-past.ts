/** How the counts of upstreams and pools of one block are added up; gauges of upstreams are not. */
import type { UpstreamCounts } from './families.ts'
import type { Summing } from './past.ts'
import type { PoolSource } from './pool-families.ts'
import { summedSharing } from './sharing-families.ts'

const nameOf = ({ group, block }: { readonly group: string; readonly block: string }): string =>
  `${group}.${block}`

export const UPSTREAM_SUMMING: Summing<UpstreamCounts> = {
  nameOf,
  sum: (newer, older) => ({
    ...copyOf(newer),
    failures: newer.failures + older.failures,
    sessions: newer.sessions + older.sessions,
    routed: newer.routed + older.routed,
    role: { ...copyOf(newer).role, promotions: newer.role.promotions + older.role.promotions },
    health: {
      usable: newer.health.usable,
      probes: newer.health.probes + older.health.probes,
      probeFailures: newer.health.probeFailures + older.health.probeFailures,
    },
  }),
  // Where nothing is any more, nobody is.
  copy: (counts) => ({ ...copyOf(counts), sessions: 0 }),
}

function copyOf(counts: UpstreamCounts): UpstreamCounts {
  const { group, block, failures, sessions, routed } = counts
  const { usable, probes, probeFailures } = counts.health
  const { wanted, known, promotions } = counts.role
  const health = { usable, probes, probeFailures }
  return { group, block, failures, sessions, routed, role: { wanted, known, promotions }, health }
}

type Counts = PoolSource['pool']['counts']

export const POOL_SUMMING: Summing<PoolSource> = {
  nameOf: ({ upstream }) => nameOf(upstream),
  sum: ({ upstream, pool: newer, sharing }, { pool: older, sharing: before }) => ({
    upstream,
    sharing: summedSharing(sharing, before),
    pool: {
      sizeMax: newer.sizeMax,
      kept: { length: newer.kept.length + older.kept.length },
      lent: newer.lent + older.lent,
      waiting: newer.waiting + older.waiting,
      counts: summedCounts(newer.counts, older.counts),
    },
  }),
  // Of a pool that is gone nothing but its counts is left.
  copy: ({ upstream: { group, block }, pool, sharing }) => ({
    upstream: { group, block },
    sharing: sharing && { ...sharing, pinned: 0, pins: { ...sharing.pins } },
    pool: {
      sizeMax: pool.sizeMax,
      kept: { length: 0 },
      lent: 0,
      waiting: 0,
      counts: { ...pool.counts },
    },
  }),
}

function summedCounts(newer: Counts, older: Counts): Counts {
  return {
    waits: newer.waits + older.waits,
    waitedMs: newer.waitedMs + older.waitedMs,
    waitTimeouts: newer.waitTimeouts + older.waitTimeouts,
    opened: newer.opened + older.opened,
    reused: newer.reused + older.reused,
    discarded: newer.discarded + older.discarded,
  }
}
