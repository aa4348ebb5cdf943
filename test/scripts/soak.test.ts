/** Proves what the soak stands on: how growth is told from noise, and what counts as wrong. */
import { describe, expect, test } from 'bun:test'
import { type Figure, growthOf, sampleAt, slopePerHour } from '../soak/judge.ts'
import { readOptions } from '../soak/options.ts'
import { type Outcome, recordOf, table, verdictLines } from '../soak/report.ts'
import { Page, type Sample } from '../soak/sample.ts'
import { Tally } from '../soak/tally.ts'

const MEBIBYTE = 1024 * 1024
const SAMPLES = 240
const WARM_MEBIBYTES = 150

/** An hour of samples, of which one figure is a function of the time in hours. */
function hour(figure: Figure, valueAt: (hours: number, sample: number) => number): Sample[] {
  return Array.from({ length: SAMPLES }, (_, at) => {
    const atMs = ((at + 1) * 3_600_000) / SAMPLES
    const still = { memoryBytes: WARM_MEBIBYTES * MEBIBYTE, guestBytes: MEBIBYTE, descriptors: 30 }
    const counted = { atMs, statements: at * 3000, wrong: 0, failures: 0 }
    return { ...counted, ...still, [figure]: valueAt(atMs / 3_600_000, at) }
  })
}

const memory = (mebibytesAt: (hours: number, sample: number) => number): Sample[] =>
  hour('memoryBytes', (hours, sample) => mebibytesAt(hours, sample) * MEBIBYTE)

/** What is not collected yet: up to 40 MiB, and a spike now and then. */
const uncollected = (sample: number): number => (sample % 7) * 6 + (sample % 31 === 0 ? 60 : 0)

describe('growth', () => {
  test('is found under what waits for the collector', () => {
    const leaking = memory((hours, at) => WARM_MEBIBYTES + 24 * hours + uncollected(at))
    expect(slopePerHour(leaking, 'memoryBytes') / MEBIBYTE).toBeCloseTo(24, 0)
    expect(growthOf(leaking, 'memoryBytes')).toMatch(
      /^resident memory grows by 2\d\.\d MiB an hour \(at most 2\d\.\d MiB\)|at most 1\d/,
    )
  })

  test('is not what waits for the collector, nor the warming up, nor one step', () => {
    const collected = memory((_, at) => WARM_MEBIBYTES + uncollected(at))
    const warming = memory((hours) => WARM_MEBIBYTES - 100 * Math.exp(-12 * hours))
    const step = memory((hours) => WARM_MEBIBYTES + (hours > 0.9 ? 12 : 0))
    for (const samples of [collected, warming, step]) {
      expect(growthOf(samples, 'memoryBytes')).toBeNull()
    }
  })

  test('of a plugin and of descriptors has bounds of its own', () => {
    const guest = hour('guestBytes', (hours) => MEBIBYTE * (2 + Math.floor(32 * hours) / 16))
    expect(growthOf(guest, 'guestBytes')).toStartWith('memory of the plugin grows by 2.0 MiB')
    const table = hour('guestBytes', (hours) => MEBIBYTE * Math.min(8, 2 + 20 * hours))
    expect(growthOf(table, 'guestBytes')).toBeNull()
    const open = hour('descriptors', (hours, at) => 30 + Math.floor(10 * hours) + (at % 5))
    expect(growthOf(open, 'descriptors')).toStartWith('open descriptors grows by')
    const busy = hour('descriptors', (_, at) => 30 + (at % 13))
    expect(growthOf(busy, 'descriptors')).toBeNull()
  })

  test('of no samples, or of one, is none', () => {
    const [only] = memory(() => 1)
    expect(growthOf([], 'memoryBytes')).toBeNull()
    expect(growthOf([only!], 'memoryBytes')).toBeNull()
    expect(sampleAt([], 0.5)).toBeNull()
  })
})

test('wrong answers are counted, and the first ones told', () => {
  const tally = new Tally()
  tally.expect('right', [['1']], [['1']])
  tally.require(true, 'right')
  for (let times = 0; times < 30; times++) tally.expect('sum', '3', '4')
  tally.require(false, 'not so')
  expect(tally.wrong).toBe(31)
  expect(tally.examples).toHaveLength(20)
  expect(tally.examples[0]).toBe('sum: "3" instead of "4"')
})

test('a page tells sums, and failures as lines', () => {
  const page = new Page(`# TYPE x counter
cache_hits_total{plugin="cache"} 7
cache_hits_total{plugin="other"} 3
cache_hits_total_more 100
postern_plugin_traps_total{plugin="cache",kind="fuel"} 0
postern_plugin_failures_total{plugin="cache",hook="onTick"} 2
`)
  expect(page.sum('cache_hits_total')).toBe(10)
  expect(page.sum('nothing')).toBe(0)
  expect(page.failures()).toEqual(['postern_plugin_failures_total{plugin="cache",hook="onTick"} 2'])
})

test('the table, the objects and the verdict say the same', () => {
  const samples = memory((hours) => 100 + 100 * hours)
  const good: Outcome = { plugin: 'audit', connections: 9, samples, faults: [] }
  const bad: Outcome = { ...good, plugin: 'mask', faults: ['it has grown'] }
  const lines = table([good, bad]).split('\n')
  expect(lines).toHaveLength(3)
  expect(lines[0]).toContain('MiB at 50 %')
  expect(lines[1]).toMatch(/^audit +717000 +0 +0 +110\.0 +150\.0 +200\.0 +\d+\.\d +1\.0 +0\.0 /)
  expect(recordOf(bad)).toMatchObject({ plugin: 'mask', connections: 9, faults: ['it has grown'] })
  expect(recordOf(good).figures['memoryBytes']?.at[2]).toBe(200 * MEBIBYTE)
  expect(verdictLines([good, bad])).toEqual(['met: audit', 'NOT MET: mask: it has grown'])
  const short = { ...good, samples: samples.slice(0, 10) }
  expect(verdictLines([short]).at(-1)).toBe('growth: not judged below 10 minutes')
})

test('options are an hour of all plugins, and what is wrong is named', () => {
  expect(readOptions([])).toEqual({
    help: false,
    minutes: 60,
    plugins: ['audit', 'firewall', 'cache', 'mask', 'rate-limit'],
    rate: 200,
    json: false,
  })
  const some = readOptions(['--minutes', '0.1', '--plugins', 'mask,cache,mask', '--rate', '50'])
  expect(some).toMatchObject({ minutes: 0.1, plugins: ['mask', 'cache'], rate: 50 })
  expect(() => readOptions(['--plugins', 'musk'])).toThrow('--plugins: "musk" is none of audit')
  expect(() => readOptions(['--rate', '1e9'])).toThrow('--rate: a number above 0, at most 20000')
  expect(() => readOptions(['--minutes', 'x'])).toThrow('--minutes: a number above 0')
})
