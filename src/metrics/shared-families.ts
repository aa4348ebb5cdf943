/** The families that speak of plugin data which gateways share; none is there where none do. */
import type { Meter } from './meter.ts'

export interface SharedCounts {
  readonly isUp: boolean
  readonly queued: number
  readonly stalenessMs: number
  readonly sent: number
  readonly received: number
  readonly unqueued: number
  readonly refused: number
  readonly refusedThere: number
  readonly malformed: number
  readonly lost: number
  readonly readings: number
}

export interface SharedSources {
  /** Null where nothing is shared. */
  readonly shared: () => SharedCounts | null
}

type Row = readonly [string, 'counter' | 'gauge', string, (counts: SharedCounts) => number]

const ROWS: readonly Row[] = [
  ['postern_store_up', 'gauge', '1: plugin data are shared; 0: not now.', ({ isUp }) => +isUp],
  [
    'postern_store_staleness_seconds',
    'gauge',
    'For how long plugin data may lack what others wrote.',
    ({ stalenessMs }) => stalenessMs / 1000,
  ],
  ['postern_store_queued', 'gauge', 'Changed keys that wait to be sent.', ({ queued }) => queued],
  ['postern_store_sent_total', 'counter', 'Changes that were sent.', ({ sent }) => sent],
  ['postern_store_received_total', 'counter', 'Changes of others.', ({ received }) => received],
  [
    'postern_store_readings_total',
    'counter',
    'Times that all was read.',
    ({ readings }) => readings,
  ],
  ['postern_store_losses_total', 'counter', 'Connections lost or not made.', ({ lost }) => lost],
]

/** What did not arrive, by what was in its way. */
const DROPS: readonly (readonly [string, keyof SharedCounts])[] = [
  ['queue', 'unqueued'],
  ['store', 'refusedThere'],
  ['budget', 'refused'],
  ['malformed', 'malformed'],
]

export function declareSharedFamilies(meter: Meter, { shared }: SharedSources): void {
  for (const [name, type, help, read] of ROWS) {
    meter.sampled(name, type, help, () => {
      const counts = shared()
      return counts === null ? [] : [{ labels: {}, value: read(counts) }]
    })
  }
  const refused = 'Changes that were not taken: queue (here), store (there), budget, malformed.'
  meter.sampled('postern_store_refused_total', 'counter', refused, () => {
    const counts = shared()
    if (counts === null) return []
    return DROPS.map(([cause, key]) => ({ labels: { cause }, value: Number(counts[key]) }))
  })
}
