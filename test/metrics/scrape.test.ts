import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { createMeter } from '../../src/metrics/meter.ts'
import { createMergedPage } from '../../src/metrics/page.ts'
import { type ScrapeTarget, startScrapes } from '../../src/metrics/scrape.ts'

const folder = mkdtempSync(join(tmpdir(), 'scrape-'))
afterAll(() => rmSync(folder, { recursive: true }))

const silent = pino({ level: 'silent' })

/** A plugin's metrics endpoint, really listening. */
function serve(plugin: string, answer: (request: Request) => Response | Promise<Response>) {
  const socket = join(folder, `${plugin}.sock`)
  const server = Bun.serve({ unix: socket, fetch: answer })
  return { target: { plugin, socket, run: 1 }, stop: () => server.stop(true) }
}

function start(
  targets: () => readonly ScrapeTarget[],
  limits: { bytesMax?: number; seriesMax?: number; timeoutMs?: number } = {},
) {
  const meter = createMeter()
  const lines: string[] = []
  const log = pino({ base: {} }, { write: (line: string) => lines.push(line) })
  // A period that never passes here: the tests ask for their rounds themselves.
  const scrapes = startScrapes({ targets, periodMs: 3_600_000, meter, log, ...limits })
  const page = createMergedPage({ meter, log: silent, pages: () => scrapes.pages() })
  return { scrapes, page, lines }
}

test('the metrics of a plugin are on the page, marked as its own', async () => {
  const asked: string[] = []
  const plugin = serve('cache', (request) => {
    asked.push(`${request.method} ${new URL(request.url).pathname}`)
    asked.push(request.headers.get('accept-encoding') ?? '')
    return new Response('# TYPE hits_total counter\nhits_total{kind="a"} 3\n')
  })
  const { scrapes, page } = start(() => [plugin.target])
  await scrapes.round()
  expect(await page()).toContain(
    '# TYPE hits_total counter\nhits_total{kind="a",plugin="cache"} 3\n',
  )
  expect(await page()).toContain('postern_plugin_scrape_up{plugin="cache"} 1\n')
  expect(asked.slice(0, 2)).toEqual(['GET /metrics', 'identity'])
  await scrapes.stop()
  await plugin.stop()
})

test('scrapes repeat after each period, until they are stopped', async () => {
  let asked = 0
  const thrice = Promise.withResolvers<void>()
  const plugin = serve('again', () => {
    asked += 1
    if (asked === 3) thrice.resolve()
    return new Response(`n ${asked}\n`)
  })
  const scrapes = startScrapes({
    targets: () => [plugin.target],
    periodMs: 5,
    meter: createMeter(),
    log: silent,
  })
  await thrice.promise
  await scrapes.stop()
  const atStop = asked
  await scrapes.stop()
  expect(asked).toBe(atStop)
  await plugin.stop()
})

const BAD_PAGES: readonly (readonly [string, () => Response | Promise<Response>, RegExp])[] = [
  ['stalls', () => new Promise<Response>(() => {}), /timed out/],
  ['stalls amid its page', () => new Response(neverEnding('a 1\n')), /timed out/],
  ['answers with an error', () => new Response('a 1\n', { status: 500 }), /status 500/],
  ['sends us elsewhere', () => Response.redirect('http://127.0.0.1:1/'), /redirect/i],
  ['writes nonsense', () => new Response('a 1\n<html>\n'), /line 2/],
  ['writes no UTF-8', () => new Response(new Uint8Array([0x61, 0xff, 0x0a])), /./],
  ['writes too much', () => new Response('# x\n'.repeat(2000)), /larger than 4096 bytes/],
  ['has too many series', () => new Response('a 1\nb 1\nc 1\nd 1\n'), /more than 3 series/],
]

function neverEnding(text: string): ReadableStream {
  return new ReadableStream({ start: (stream) => stream.enqueue(new TextEncoder().encode(text)) })
}

test.each(BAD_PAGES)(
  'a plugin that %s loses its page and harms no other',
  async (_, answer, why) => {
    const bad = serve('bad', answer)
    const good = serve('good', () => new Response('fine 1\n'))
    const { scrapes, page, lines } = start(() => [bad.target, good.target], {
      bytesMax: 4096,
      seriesMax: 3,
      timeoutMs: 200,
    })
    await scrapes.round()
    const text = await page()
    expect(text).toContain('fine{plugin="good"} 1\n')
    expect(text).toContain('postern_plugin_scrape_up{plugin="bad"} 0\n')
    expect(text).toMatch(/postern_plugin_scrape_failures_total\{plugin="bad"\} [12]\n/)
    expect(text).not.toMatch(/^[abcd]\{plugin="bad"\}/m)
    const said = lines.filter((line) => line.includes('cannot be read'))
    expect(said[0]).toMatch(why)
    await scrapes.stop()
    await bad.stop()
    await good.stop()
  },
)

test('a compressed answer that was not asked for is refused, not unpacked', async () => {
  const bomb = Bun.gzipSync(Buffer.from('# x\n'.repeat(1_000_000)))
  const plugin = serve(
    'bomb',
    () => new Response(bomb, { headers: { 'content-encoding': 'gzip' } }),
  )
  const { scrapes } = start(() => [plugin.target])
  await scrapes.round()
  expect(scrapes.pages()).toEqual([])
  await scrapes.stop()
  await plugin.stop()
})

test('the series of a plugin that fails leave the page, and come back with it', async () => {
  let broken = false
  let targets: readonly ScrapeTarget[] = []
  const plugin = serve('flaky', () =>
    broken ? new Response('', { status: 503 }) : new Response('n 1\n'),
  )
  targets = [plugin.target]
  const { scrapes, page, lines } = start(() => targets)
  await scrapes.round()
  expect(await page()).toContain('n{plugin="flaky"} 1')
  broken = true
  await scrapes.round()
  await scrapes.round()
  expect(await page()).not.toContain('n{plugin="flaky"}')
  expect(lines.filter((line) => line.includes('cannot be read'))).toHaveLength(1)
  broken = false
  await scrapes.round()
  expect(await page()).toContain('n{plugin="flaky"} 1')
  expect(lines.at(-1)).toContain('are back')
  // A plugin that stopped leaves at once, before the next round.
  targets = []
  expect(await page()).not.toContain('n{plugin="flaky"}')
  await scrapes.round()
  expect(await page()).not.toContain('{plugin="flaky"}')
  await scrapes.stop()
  await plugin.stop()
})

test('the page of one process is not shown as that of the next', async () => {
  const plugin = serve('anew', () => new Response('n 1\n'))
  let run = 1
  const { scrapes, page } = start(() => [{ ...plugin.target, run }])
  await scrapes.round()
  expect(await page()).toContain('n{plugin="anew"} 1')
  run = 2
  expect(await page()).not.toContain('n{plugin="anew"}')
  await scrapes.round()
  expect(await page()).toContain('n{plugin="anew"} 1')
  await scrapes.stop()
  await plugin.stop()
})

test('a path that is no socket is named and not asked', async () => {
  const path = join(folder, 'plain')
  writeFileSync(path, 'x')
  const { scrapes, lines } = start(() => [
    { plugin: 'plain', socket: path, run: 1 },
    { plugin: 'absent', socket: join(folder, 'absent'), run: 1 },
  ])
  await scrapes.round()
  expect(lines.join('')).toContain(`${path} is no socket`)
  expect(lines.join('')).toContain('ENOENT')
  await scrapes.stop()
})

test.skipIf(process.getuid?.() !== 0)(
  "another user's socket is not asked (needs root)",
  async () => {
    const plugin = serve('foreign', () => new Response('n 1\n'))
    Bun.spawnSync(['chown', '65534', plugin.target.socket])
    const { scrapes, lines } = start(() => [plugin.target])
    await scrapes.round()
    expect(lines.join('')).toContain('belongs to the user 65534')
    expect(scrapes.pages()).toEqual([])
    await scrapes.stop()
    await plugin.stop()
  },
)

test('stopping breaks off a scrape that stalls, at once and without a complaint', async () => {
  const asked = Promise.withResolvers<void>()
  const plugin = serve('slow', () => {
    asked.resolve()
    return new Promise<Response>(() => {})
  })
  const { scrapes, lines } = start(() => [plugin.target], { timeoutMs: 60_000 })
  await asked.promise
  await scrapes.stop()
  expect(lines).toEqual([])
  await plugin.stop()
})
