/** The families of pools whose connections clients share by transactions. */
import type { Meter } from './meter.ts'

/** What such a pool counts; structural, so that nothing here depends on the protocols. */
export interface SharingCounts {
  readonly pinned: number
  readonly pins: Readonly<Record<string, number>>
  readonly pinsRefused: number
  readonly prepares: number
  readonly evictions: number
  readonly statementsRefused: number
}

export interface SharingSource {
  readonly upstream: { readonly group: string; readonly block: string }
  /** Null where clients do not share them so. */
  readonly sharing: SharingCounts | null
}

type Count = Exclude<keyof SharingCounts, 'pins' | 'pinned'>

const COUNTS: readonly (readonly [string, string, Count])[] = [
  ['postern_pool_pins_refused_total', 'Statements refused because of strict.', 'pinsRefused'],
  ['postern_pool_statements_prepared_total', 'Statements prepared again elsewhere.', 'prepares'],
  ['postern_pool_statements_evicted_total', 'Statements closed to make room.', 'evictions'],
  ['postern_pool_statements_refused_total', 'Statements over a limit.', 'statementsRefused'],
]

export function declareSharingFamilies(meter: Meter, pools: () => readonly SharingSource[]): void {
  const each = <Sample>(read: (sharing: SharingCounts, labels: Labels) => Sample): Sample[] =>
    pools().flatMap(({ upstream: { group, block }, sharing }) =>
      sharing === null ? [] : [read(sharing, { group, block })],
    )
  const pinned = 'Sessions that have a connection for themselves, because of what they did.'
  meter.sampled('postern_pool_pinned_sessions', 'gauge', pinned, () =>
    each((sharing, labels) => ({ labels, value: sharing.pinned })),
  )
  const pins = 'Sessions that were given a connection for themselves, by what they did.'
  meter.sampled('postern_pool_pins_total', 'counter', pins, () =>
    each((sharing, labels) =>
      Object.entries(sharing.pins).map(([reason, value]) => ({
        labels: { ...labels, reason },
        value,
      })),
    ).flat(),
  )
  for (const [name, help, key] of COUNTS) {
    meter.sampled(name, 'counter', help, () =>
      each((sharing, labels) => ({ labels, value: sharing[key] })),
    )
  }
}

type Labels = Readonly<Record<string, string>>

/** Two counts as one; gauges too, where `older` is there still. */
export function summedSharing(
  newer: SharingCounts | null,
  older: SharingCounts | null,
): SharingCounts | null {
  if (newer === null || older === null) return newer ?? older
  const pins = Object.entries(newer.pins).map(
    ([reason, count]) => [reason, count + (older.pins[reason] ?? 0)] as const,
  )
  return {
    pinned: newer.pinned + older.pinned,
    pins: Object.fromEntries(pins),
    pinsRefused: newer.pinsRefused + older.pinsRefused,
    prepares: newer.prepares + older.prepares,
    evictions: newer.evictions + older.evictions,
    statementsRefused: newer.statementsRefused + older.statementsRefused,
  }
}
