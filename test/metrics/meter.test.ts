import { expect, test } from 'bun:test'
import { pino } from 'pino'
import { createMeter } from '../../src/metrics/meter.ts'
import { createMergedPage } from '../../src/metrics/page.ts'

const log = pino({ level: 'silent' })

test('a sampled family is read when the page is asked for, not before', async () => {
  const meter = createMeter()
  let sessions = 1
  meter.sampled('postern_sessions', 'gauge', 'Open sessions.', () => [
    { labels: { group: 'default' }, value: sessions },
  ])
  const page = createMergedPage({ meter, log })
  sessions = 2
  expect(await page()).toContain(
    '# HELP postern_sessions Open sessions.\n# TYPE postern_sessions gauge\n' +
      'postern_sessions{group="default"} 2\n',
  )
  sessions = 3
  expect(await page()).toContain('postern_sessions{group="default"} 3\n')
})

test('labels that are alike but for their commas stay two series', async () => {
  const meter = createMeter()
  meter.sampled('postern_x', 'counter', 'x', () => [
    { labels: { a: '1,b:2', b: '3' }, value: 1 },
    { labels: { a: '1', b: '2,b:3' }, value: 2 },
  ])
  const page = await createMergedPage({ meter, log })()
  expect(page).toContain('postern_x{a="1,b:2",b="3"} 1\n')
  expect(page).toContain('postern_x{a="1",b="2,b:3"} 2\n')
})

test('a family that cannot be read is missing, counted, and takes no other with it', async () => {
  const meter = createMeter()
  meter.sampled('postern_broken', 'gauge', 'x', () => {
    throw new Error('no such number')
  })
  meter.sampled('postern_whole', 'gauge', 'x', () => [{ labels: {}, value: 1 }])
  const page = createMergedPage({ meter, log })
  expect(await page()).toContain('\npostern_whole 1\n')
  expect(await page()).toMatch(/postern_metric_read_failures_total\{metric="postern_broken"\} [12]/)
})

test('a family of another name, or of a name that is taken, is refused', () => {
  const meter = createMeter()
  expect(() => meter.sampled('sessions', 'gauge', 'x', () => [])).toThrow(/begins with postern_/)
  expect(() => meter.sampled('postern_a-b', 'gauge', 'x', () => [])).toThrow()
  meter.sampled('postern_a', 'gauge', 'x', () => [])
  expect(() => meter.sampled('postern_a', 'gauge', 'x', () => [])).toThrow(/postern_a/)
})

test('two meters share nothing', async () => {
  createMeter().sampled('postern_only_here', 'gauge', 'x', () => [])
  const page = await createMergedPage({ meter: createMeter(), log })()
  expect(page).not.toContain('postern_only_here')
})
