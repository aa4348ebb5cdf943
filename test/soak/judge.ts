/** Tells growth without end from memory that comes and goes. Pure. */
import { median } from '../bench/report.ts'
import type { Sample } from './sample.ts'

const MEBIBYTE = 1024 * 1024
const HOUR_MS = 3_600_000
/** The second half is cut into so many slices, and each counts by its lowest sample. */
const SLICES = 10

export type Figure = 'memoryBytes' | 'guestBytes' | 'descriptors'

/**
 * What may rise, over the second half of the time: the first is for warming up, when code is
 * compiled, bounded tables fill and the heap finds its size. A figure has grown where its slope is
 * above `perHour`, above `sharePerHour` of what it is, and has made up `rise` in that half; the
 * first bound is for what is small, the second for what is large, and the third for short soaks,
 * where an hour's slope would be made of nothing but noise.
 */
export interface Bound {
  readonly title: string
  readonly perHour: number
  readonly sharePerHour: number
  readonly rise: number
}

export const BOUNDS: Readonly<Record<Figure, Bound>> = {
  // At 200 statements a second 16 MiB an hour are 23 bytes a statement.
  memoryBytes: {
    title: 'resident memory',
    perHour: 16 * MEBIBYTE,
    sharePerHour: 0.1,
    rise: 6 * MEBIBYTE,
  },
  // It grows by pages of 64 KiB and never shrinks, and all that it keeps is bounded.
  guestBytes: {
    title: 'memory of the plugin',
    perHour: MEBIBYTE,
    sharePerHour: 0.1,
    rise: MEBIBYTE / 2,
  },
  descriptors: { title: 'open descriptors', perHour: 6, sharePerHour: 0.1, rise: 3 },
}

/** Below this the first half is too short to warm up in, and nothing is judged. */
export const JUDGED_MINUTES_MIN = 10

/**
 * The rise an hour over the second half. What waits for the collector comes and goes by tens of
 * megabytes and what a leak holds stays, so each slice counts by its lowest sample; the median of
 * the slopes between all slices (Theil and Sen) then lets no single one count for much.
 */
export function slopePerHour(samples: readonly Sample[], figure: Figure): number {
  const lows = lowsOf(secondHalf(samples), figure)
  const slopes = lows.flatMap((one, at) =>
    lows.slice(at + 1).map((other) => (other.value - one.value) / (other.atMs - one.atMs)),
  )
  return slopes.length === 0 ? 0 : median(slopes) * HOUR_MS
}

function secondHalf(samples: readonly Sample[]): readonly Sample[] {
  const halfMs = (samples.at(-1)?.atMs ?? 0) / 2
  return samples.filter(({ atMs }) => atMs >= halfMs)
}

interface Low {
  readonly atMs: number
  readonly value: number
}

function lowsOf(samples: readonly Sample[], figure: Figure): Low[] {
  const slices = Math.min(SLICES, samples.length)
  return Array.from({ length: slices }, (_, slice) => {
    const from = Math.floor((slice * samples.length) / slices)
    const to = Math.floor(((slice + 1) * samples.length) / slices)
    const points = samples.slice(from, to).map((each) => ({
      atMs: each.atMs,
      value: each[figure],
    }))
    return points.reduce((low, point) => (point.value < low.value ? point : low))
  })
}

/** In words what has grown without end, or null. */
export function growthOf(samples: readonly Sample[], figure: Figure): string | null {
  const last = samples.at(-1)
  if (last === undefined) return null
  const { title, perHour, sharePerHour, rise } = BOUNDS[figure]
  const slope = slopePerHour(samples, figure)
  const risen = (slope * last.atMs) / 2 / HOUR_MS
  const most = Math.max(perHour, sharePerHour * last[figure])
  if (slope <= most || risen <= rise) return null
  const shown = (value: number): string =>
    figure === 'descriptors' ? value.toFixed(1) : `${(value / MEBIBYTE).toFixed(1)} MiB`
  return `${title} grows by ${shown(slope)} an hour (at most ${shown(most)})`
}

/** How long the load has lasted. */
export function minutesOf(samples: readonly Sample[]): number {
  return (samples.at(-1)?.atMs ?? 0) / 60_000
}

/** The sample at a part of the time, such as 0.1. */
export function sampleAt(samples: readonly Sample[], part: number): Sample | null {
  const wantedMs = (samples.at(-1)?.atMs ?? 0) * part
  return samples.find(({ atMs }) => atMs >= wantedMs) ?? null
}
