import { expect, test } from 'bun:test'
import { pino } from 'pino'
import { markedSample } from '../../src/metrics/merge.ts'
import { createMeter } from '../../src/metrics/meter.ts'
import { createMergedPage } from '../../src/metrics/page.ts'
import { parsePage } from '../../src/metrics/parse.ts'

const promtool = Bun.which('promtool')
const silent = pino({ level: 'silent' })

function pageOf(plugin: string, text: string) {
  return { plugin, families: parsePage(text, { write: markedSample(plugin) }) }
}

const GO_PLUGIN = `# HELP go_goroutines Number of goroutines that currently exist.
# TYPE go_goroutines gauge
go_goroutines 12
# HELP go_gc_duration_seconds A summary of pauses.
# TYPE go_gc_duration_seconds summary
go_gc_duration_seconds{quantile="0"} 1.5e-05
go_gc_duration_seconds{quantile="1"} NaN
go_gc_duration_seconds_sum 0.5
go_gc_duration_seconds_count 3
# HELP process_open_fds Number of open file descriptors.
# TYPE process_open_fds gauge
process_open_fds 7
# HELP gatewayd_cache_hits_total Hits, "quoted" \\\\ and\\nbroken.
# TYPE gatewayd_cache_hits_total counter
gatewayd_cache_hits_total{plugin="mine",sql="a\\"b\\\\c\\nd"} 5
# HELP postern_sessions Forged.
# TYPE postern_sessions gauge
postern_sessions 999
`

function wholePage() {
  const meter = createMeter()
  meter.sampled('postern_sessions', 'gauge', 'Open sessions.', () => [
    { labels: { group: 'default' }, value: 3 },
  ])
  meter.sampled('postern_last_reload_seconds', 'gauge', 'Not known yet.', () => [
    { labels: {}, value: Number.NaN },
  ])
  const audit = meter.declare('audit', [
    { name: 'statements_total', type: 'counter', help: 'By kind.', labels: ['kind'] },
    { name: 'audit_seconds', type: 'histogram', help: 'Time.', labels: ['kind'] },
  ])
  audit.record(0, 1, ['SE"LE\\CT\n'])
  audit.record(1, 0.3, ['SELECT'])
  const pages = [
    pageOf('cache', GO_PLUGIN),
    pageOf('auth', GO_PLUGIN),
    pageOf(
      'odd',
      '# HELP statements_total Odd.\n# TYPE statements_total gauge\nstatements_total 1\n',
    ),
  ]
  return { meter, pages }
}

test('a merged page has every family once, and says what it left out, once', async () => {
  const { meter, pages } = wholePage()
  const lines: string[] = []
  const log = pino({}, { write: (line: string) => lines.push(line) })
  const page = createMergedPage({ meter, log, pages: () => pages })
  await page()
  const text = await page()
  const types = text.match(/^# TYPE \S+/gm) ?? []
  expect(new Set(types).size).toBe(types.length)
  expect(text).toContain('go_goroutines{plugin="cache"} 12\ngo_goroutines{plugin="auth"} 12\n')
  expect(text).toContain('exported_plugin="mine"')
  expect(text).not.toContain('999')
  expect(text).toContain('postern_plugin_families_dropped{plugin="cache"} 1\n')
  expect(lines.filter((line) => line.includes('leaves out'))).toHaveLength(3)
})

test.skipIf(promtool === null)(
  'promtool finds nothing wrong with a merged page (needs promtool, of Debian package prometheus)',
  async () => {
    const { meter, pages } = wholePage()
    const page = createMergedPage({
      meter,
      log: silent,
      pages: () => pages,
    })
    const check = Bun.spawn([promtool ?? '', 'check', 'metrics'], {
      stdin: new Blob([await page()]),
      stdout: 'pipe',
      stderr: 'pipe',
    })
    const said =
      (await new Response(check.stdout).text()) + (await new Response(check.stderr).text())
    expect(said).toBe('')
    expect(await check.exited).toBe(0)
  },
)

test('many who ask at once get one page', async () => {
  const meter = createMeter()
  let reads = 0
  meter.sampled('postern_reads', 'gauge', 'x', () => {
    reads += 1
    return []
  })
  const page = createMergedPage({ meter, log: silent })
  await Promise.all(Array.from({ length: 50 }, () => page()))
  expect(reads).toBe(1)
  await page()
  expect(reads).toBe(2)
})
