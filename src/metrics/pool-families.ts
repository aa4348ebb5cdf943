/** The families of pools: connections by state, and what waiting for one has cost. */
import type { Meter } from './meter.ts'
import { declareSharingFamilies, type SharingSource } from './sharing-families.ts'

/** One pool; structural, so that nothing here depends on the data path. */
export interface PoolSource extends SharingSource {
  readonly pool: {
    readonly sizeMax: number
    readonly kept: { readonly length: number }
    readonly lent: number
    readonly waiting: number
    readonly counts: {
      readonly waits: number
      readonly waitedMs: number
      readonly waitTimeouts: number
      readonly opened: number
      readonly reused: number
      readonly discarded: number
    }
  }
}

type Count = keyof PoolSource['pool']['counts']

const COUNTS: readonly (readonly [string, string, Count])[] = [
  ['postern_pool_waits_total', 'Clients that had to wait for a connection.', 'waits'],
  ['postern_pool_wait_timeouts_total', 'Clients that waited in vain.', 'waitTimeouts'],
  ['postern_pool_opened_total', 'Connections opened.', 'opened'],
  ['postern_pool_reused_total', 'Kept connections lent again.', 'reused'],
  ['postern_pool_discarded_total', 'Connections thrown away as unclean or dead.', 'discarded'],
]

export function declarePoolFamilies(meter: Meter, pools: () => readonly PoolSource[]): void {
  const each = (read: (pool: PoolSource['pool']) => number) =>
    pools().map(({ upstream: { group, block }, pool }) => ({
      labels: { group, block },
      value: read(pool),
    }))
  meter.sampled('postern_pool_connections', 'gauge', 'Connections, by who has them.', () =>
    pools().flatMap(({ upstream: { group, block }, pool }) => [
      { labels: { group, block, state: 'kept' }, value: pool.kept.length },
      { labels: { group, block, state: 'lent' }, value: pool.lent },
    ]),
  )
  meter.sampled('postern_pool_waiting', 'gauge', 'Clients that wait now.', () =>
    each(({ waiting }) => waiting),
  )
  const most = 'Connections at once; +Inf where they are not bounded.'
  meter.sampled('postern_pool_size', 'gauge', most, () => each(({ sizeMax }) => sizeMax))
  const waited = 'Seconds that clients have waited, all together.'
  meter.sampled('postern_pool_wait_seconds_total', 'counter', waited, () =>
    each(({ counts }) => counts.waitedMs / 1000),
  )
  for (const [name, help, key] of COUNTS) {
    meter.sampled(name, 'counter', help, () => each(({ counts }) => counts[key]))
  }
  declareSharingFamilies(meter, pools)
}
