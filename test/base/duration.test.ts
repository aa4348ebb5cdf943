/** Durations read and written as Go does. */
import { describe, expect, test } from 'bun:test'
import { formatDuration, parseDuration } from '../../src/base/duration.ts'

describe('parseDuration', () => {
  const accepted: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['0s', 0],
    ['500ms', 500],
    ['1m0s', 60_000],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['1.s', 1000],
    ['1h0m0.25s', 3_600_250],
    ['1h30m', 5_400_000],
    ['10us', 0.01],
    ['10\u00b5s', 0.01],
    ['10\u03bcs', 0.01],
    ['1ns', 0.000_001],
    ['-2s', -2000],
    ['+2s', 2000],
    ['5000000000', 5000],
    ['1500000', 1.5],
    ['1.1s', 1100],
  ]
  for (const [text, ms] of accepted) {
    test(`reads ${text} as ${ms} ms`, () => expect(parseDuration(text)).toBe(ms))
  }

  for (const text of ['', 's', '1.5', '5 s', '5sec', '1d', '1h-5m', '--1s', '1e3s', 'NaN']) {
    test(`refuses "${text}"`, () => expect(parseDuration(text)).toBeUndefined())
  }

  test('refuses a text of any length in no time', () => {
    const started = performance.now()
    expect(parseDuration('1'.repeat(1_000_000))).toBeUndefined()
    expect(parseDuration(`${'1s'.repeat(500_000)}x`)).toBeUndefined()
    expect(performance.now() - started).toBeLessThan(100)
  })
})

describe('formatDuration', () => {
  const written: readonly (readonly [number, string])[] = [
    [0, '0s'],
    [500, '500ms'],
    [1.5, '1.5ms'],
    [0.01, '10\u00b5s'],
    [0.000_001, '1ns'],
    [30_000, '30s'],
    [60_000, '1m0s'],
    [61_500, '1m1.5s'],
    [3_600_250, '1h0m0.25s'],
    [-2000, '-2s'],
  ]
  for (const [ms, text] of written) {
    test(`writes ${ms} ms as ${text}`, () => expect(formatDuration(ms)).toBe(text))
  }

  test('what it writes reads back as the same duration', () => {
    for (let ms = 0; ms < 10_000_000; ms = ms * 1.7 + 0.25) {
      const rounded = Math.round(ms * 1_000_000) / 1_000_000
      expect(parseDuration(formatDuration(ms))).toBe(rounded)
    }
  })
})
