/**
 * The one page of metrics: the gateway's own families and those of plugins in several languages,
 * each once; what a plugin serves beside that is no metrics harms nobody but itself.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildGoExample, buildTypescriptExample } from '../fixtures/grpc/build.ts'
import { query } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { until } from '../kit/traffic.ts'
import {
  buildPlugins,
  type Entry,
  entryOf,
  exchange,
  HAS_GO,
  listed,
  login,
  samples,
  scripted,
  sha256,
  startWith,
} from './plugins-scene.ts'

const PROMTOOL = Bun.which('promtool')
const OFTEN = { metricsMergerPeriod: '100ms' }

let postgres: PostgresServer
const examples = { go: '', typescript: '' }
const folder = mkdtempSync(join(tmpdir(), 'pm-'))
beforeAll(async () => {
  await buildPlugins()
  examples.typescript = await buildTypescriptExample()
  examples.go = (await buildGoExample()) ?? ''
  postgres = await startPostgres()
}, 600_000)
afterAll(async () => {
  await postgres.stop()
  rmSync(folder, { recursive: true })
})

function words(language: 'go' | 'typescript', more: Entry = {}): Entry {
  const localPath = examples[language]
  const socket = join(folder, `${language}.sock`)
  const env = [`METRICS_UNIX_DOMAIN_SOCKET=${socket}`, 'FORBIDDEN=drop']
  return { name: `words-${language}`, localPath, checksum: sha256(localPath), env, ...more }
}

/** The scripted plugin with one of its pages. */
function serving(page: string): Entry {
  const env = { SERVE_METRICS: page, METRICS_SOCKET: join(folder, `${page}.sock`) }
  return scripted(env, { name: page })
}

async function pageOf(gateway: RunningGateway): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${gateway.metricsPort}/metrics`)
  expect(answer.status).toBe(200)
  return await answer.text()
}

function shows(gateway: RunningGateway, text: string): Promise<void> {
  return until(`the page has ${text}`, async () => (await pageOf(gateway)).includes(text))
}

/** Every HELP and TYPE stands once, and the samples of a family stand together. */
function expectWellFormed(page: string): void {
  const comments = page.match(/^# (HELP|TYPE) \S+/gm) ?? []
  expect(comments.length).toBe(new Set(comments).size)
  const lines = page.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  const series = lines.map((line) => line.replace(/ [^ ]+$/, ''))
  expect(series.length).toBe(new Set(series).size)
}

function promtoolFaults(page: string): string {
  const run = Bun.spawnSync([PROMTOOL!, 'check', 'metrics'], { stdin: Buffer.from(page) })
  return `${run.stdout}${run.stderr}`
}

describe.skipIf(!HAS_GO)('plugins in Go and TypeScript (needs Go)', () => {
  test('stand on one page with ours, each family once, and clash with nobody', async () => {
    const plugins = [words('go'), words('typescript'), serving('forged')]
    await using gateway = await startWith(postgres, { plugins, file: OFTEN })
    using wire = await login(gateway, postgres)
    await exchange(wire, [query('drop table gone')], 1)
    await shows(gateway, 'gatewayd_words_refused_total{plugin="words-go"} 1')
    await shows(gateway, 'words_refused_total{plugin="words-typescript"} 0')
    await shows(gateway, 'its_own{plugin="forged"} 1')
    const page = await pageOf(gateway)
    expectWellFormed(page)
    // The label that it wrote itself stays beside ours.
    expect(page).toContain('words_refused_total{exported_plugin="another",plugin="forged"} 7')
    expect(page).toMatch(/^go_goroutines\{plugin="words-go"\} \d+$/m)
    // Another type, and a family of ours: left out, counted and said.
    expect(page).not.toContain('go_goroutines{plugin="forged"}')
    expect(page).not.toContain('4711')
    expect(await samples(gateway, 'postern_plugin_families_dropped', 'plugin="forged"')).toBe(2)
    await gateway.logged('leaves out go_goroutines of forged')
    await gateway.logged('leaves out postern_sessions_open of forged')
  })

  test.skipIf(PROMTOOL === null)('find favour with Prometheus (needs promtool)', async () => {
    const plugins = [words('go'), words('typescript'), entryOf('verdicts.wasm')]
    await using gateway = await startWith(postgres, { plugins, file: OFTEN })
    using wire = await login(gateway, postgres)
    await exchange(wire, [query('select 1')], 1)
    await shows(gateway, 'go_goroutines{plugin="words-go"}')
    await shows(gateway, 'words_refused_total{plugin="words-typescript"}')
    expect(promtoolFaults(await pageOf(gateway))).toBe('')
  })
})

test('a plugin that dies leaves the page at once, and its socket goes', async () => {
  const file = { ...OFTEN, reloadOnCrash: false }
  const plugins = [words('typescript'), serving('honest')]
  await using gateway = await startWith(postgres, { plugins, file })
  const mine = 'words_refused_total{plugin="words-typescript"}'
  await shows(gateway, mine)
  await shows(gateway, 'scripted_pid{plugin="honest"}')
  const [plugin] = await listed(gateway)
  process.kill(plugin!.pid!, 'SIGKILL')
  await until('the plugin is lost', async () => (await listed(gateway))[0]?.state === 'failing')
  const page = await pageOf(gateway)
  expect(page).not.toContain(mine)
  expect(page).toContain('scripted_pid{plugin="honest"}')
  await until('its socket is gone', () => !existsSync(join(folder, 'typescript.sock')))
  expect((await gateway.stop()).status).toBe(0)
  expect(existsSync(join(folder, 'honest.sock'))).toBeFalse()
})

/** Pages that are none, with words of what is said about them. */
const BAD_PAGES: Readonly<Record<string, string>> = {
  never: 'timed out',
  endless: 'larger than 1048576 bytes',
  hoard: 'more than 10000 series',
  html: 'line 1',
  refusal: 'status 503',
}

test('pages that are none are left out one by one, said once, and harm nobody', async () => {
  const bad = Object.keys(BAD_PAGES)
  const plugins = [...bad.map(serving), serving('honest')]
  await using gateway = await startWith(postgres, { plugins, file: OFTEN })
  using wire = await login(gateway, postgres)
  await shows(gateway, 'scripted_pid{plugin="honest"}')
  for (const [name, sentence] of Object.entries(BAD_PAGES)) {
    const failures = () =>
      samples(gateway, 'postern_plugin_scrape_failures_total', `plugin="${name}"`)
    await until(`two scrapes of ${name} have failed`, async () => (await failures()) >= 2)
    const told = gateway
      .log()
      .split('\n')
      .filter((line) => line.includes(`plugin=${name} `))
    const said = told.filter((line) => line.includes('cannot be read'))
    expect(said, name).toHaveLength(1)
    expect(said[0]).toContain(sentence)
    expect(await samples(gateway, 'postern_plugin_scrape_up', `plugin="${name}"`)).toBe(0)
  }
  const page = await pageOf(gateway)
  expectWellFormed(page)
  expect(page).not.toContain('hoard{')
  expect(page).toContain('scripted_pid{plugin="honest"}')
  // They are as good plugins as before.
  expect((await listed(gateway)).map(({ state }) => state)).toEqual(plugins.map(() => 'ready'))
  expect((await exchange(wire, [query('select 1')], 1))[1]).toBe('row 1')
}, 60_000)

test('no page of a plugin is asked for where merging is off', async () => {
  const file = { ...OFTEN, enableMetricsMerger: false }
  await using gateway = await startWith(postgres, { plugins: [serving('honest')], file })
  const page = await pageOf(gateway)
  expect(page).not.toContain('scripted_pid')
  expect(page).not.toContain('postern_plugin_scrape')
  expect(page).toContain('postern_plugin_state{plugin="honest"')
})

test('calls, failures, timeouts, latency and restarts are told by plugin and hook', async () => {
  const entry = scripted({ SLOW_MS: '5000' }, { timeout: '1s' })
  const plugins = [entry]
  await using gateway = await startWith(postgres, { plugins })
  using wire = await login(gateway, postgres)
  const from = ['plugin="scripted"', 'hook="onTrafficFromClient"']
  const of = (family: string) => samples(gateway, family, ...from)
  const before = await of('postern_plugin_calls_total')
  for (const mark of ['', '/*fail*/', '/*slow*/']) {
    await exchange(wire, [query(`select 1 ${mark}`)], 1)
  }
  expect((await of('postern_plugin_calls_total')) - before).toBe(3)
  expect(await of('postern_plugin_failures_total')).toBe(2)
  expect(await of('postern_plugin_timeouts_total')).toBe(1)
  expect(await of('postern_plugin_call_seconds_count')).toBe(before + 3)
  const slow = await samples(gateway, 'postern_plugin_call_seconds_bucket', ...from, 'le="0.5"')
  expect(slow).toBeLessThan(before + 3)
  expect(await of('postern_plugin_call_seconds_sum')).toBeGreaterThan(0.99)
  const mine = 'plugin="scripted"'
  const started = await samples(gateway, 'postern_plugin_start_time_seconds', mine)
  expect(Math.abs(started - Date.now() / 1000)).toBeLessThan(60)
  process.kill((await listed(gateway))[0]!.pid!, 'SIGKILL')
  await until('it was started anew', async () => {
    const now = await samples(gateway, 'postern_plugin_start_time_seconds', mine)
    return now > started
  })
  expect(await samples(gateway, 'postern_plugin_restarts_total', mine)).toBe(1)
  expect(await of('postern_plugin_calls_total')).toBeGreaterThanOrEqual(before + 3)
})
