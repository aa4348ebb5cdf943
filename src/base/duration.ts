/** Durations as Go writes them (`1m30s`) or counts them (nanoseconds), to milliseconds and back. */

/**
 * The longest duration a timer can wait: one millisecond more and setTimeout fires at once.
 * About 24 days and 20 hours.
 */
export const DURATION_MS_MAX = 2_147_483_647

const NANOS_IN_MS = 1_000_000
const NANOS_IN_SECOND = 1_000_000_000

/** Both letters that look like a micro sign are accepted, as in Go. */
const NANOS_IN: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1_000,
  '\u00b5s': 1_000,
  '\u03bcs': 1_000,
  ms: NANOS_IN_MS,
  s: NANOS_IN_SECOND,
  m: 60 * NANOS_IN_SECOND,
  h: 3600 * NANOS_IN_SECOND,
}

/** No text longer than this is a duration; it bounds the work of the expressions below. */
const TEXT_LENGTH_MAX = 64
const INTEGER = /^[+-]?\d+$/
const WHOLE = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$/
const PART = /(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/g

/**
 * Milliseconds of `500ms`, `1m0s`, `1.5h`, `-2s` or of a whole number of nanoseconds; undefined
 * for anything else. Exact to the nanosecond.
 */
export function parseDuration(text: string): number | undefined {
  if (text.length > TEXT_LENGTH_MAX) return undefined
  if (INTEGER.test(text)) return Number(text) / NANOS_IN_MS
  const whole = WHOLE.exec(text)
  if (whole === null) return undefined
  const [, sign, parts] = whole
  let nanos = 0
  for (const [, amount, unit] of (parts ?? '').matchAll(PART)) {
    nanos += Number(amount) * (NANOS_IN[unit ?? ''] ?? Number.NaN)
  }
  const ms = Math.round(nanos) / NANOS_IN_MS
  return sign === '-' ? 0 - ms : ms
}

/** Milliseconds as Go prints a duration: `0s`, `1.5ms`, `30s`, `1m0s`, `1h0m0.25s`. */
export function formatDuration(ms: number): string {
  const nanos = Math.round(Math.abs(ms) * NANOS_IN_MS)
  const sign = ms < 0 && nanos > 0 ? '-' : ''
  if (nanos === 0) return '0s'
  if (nanos < 1_000) return `${sign}${nanos}ns`
  if (nanos < NANOS_IN_MS) return `${sign}${nanos / 1_000}\u00b5s`
  if (nanos < NANOS_IN_SECOND) return `${sign}${nanos / NANOS_IN_MS}ms`
  const minutes = Math.floor(nanos / (60 * NANOS_IN_SECOND))
  const seconds = (nanos - minutes * 60 * NANOS_IN_SECOND) / NANOS_IN_SECOND
  if (minutes === 0) return `${sign}${seconds}s`
  if (minutes < 60) return `${sign}${minutes}m${seconds}s`
  return `${sign}${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}s`
}
