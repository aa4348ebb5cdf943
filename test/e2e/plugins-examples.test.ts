/**
 * The example plugins, one a language, as their READMEs build and run them: each refuses by its
 * word, counts what it refused on the gateway's own page, logs, and leaves nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  buildGoExample,
  buildPythonExample,
  buildTypescriptExample,
} from '../fixtures/grpc/build.ts'
import { query } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { until } from '../kit/traffic.ts'
import {
  type Entry,
  exchange,
  linesWith,
  listed,
  login,
  samples,
  sha256,
  startWith,
} from './plugins-scene.ts'

/** Before anything is looked at: whether it is there decides what is skipped. */
const PYTHON = await buildPythonExample()

let postgres: PostgresServer
beforeAll(async () => {
  postgres = await startPostgres()
}, 60_000)
afterAll(() => postgres.stop())

const DENIED = 'ERROR 42000 Request terminated | Policy terminated the request | -'

/** The entry as the READMEs have it. */
function entryFor(name: string, localPath: string, more: Entry = {}): Entry {
  const { env = [], ...others } = more
  const all = ['FORBIDDEN=drop,truncate', ...(Array.isArray(env) ? env : [])]
  return { name, localPath, checksum: sha256(localPath), env: all, ...others }
}

async function keepsItsPromises(entry: Entry, metric: string): Promise<void> {
  const name = String(entry['name'])
  const file = { metricsMergerPeriod: '100ms' }
  await using gateway = await startWith(postgres, { plugins: [entry], file })
  using wire = await login(gateway, postgres)
  const plugin = (await listed(gateway))[0]
  expect(plugin).toMatchObject({ name, state: 'ready', hooks: ['onTrafficFromClient'] })
  const passed = await exchange(wire, [query('select 1')], 1)
  expect(passed.slice(1)).toEqual(['row 1', 'SELECT 1', 'ready I'])
  for (const sql of ['drop table gone', 'select 1; TRUNCATE gone']) {
    expect((await exchange(wire, [query(sql)], 1))[0]).toBe(DENIED)
  }
  const counted = () => samples(gateway, metric, `plugin="${name}"`)
  await until('what it refused is on the page', async () => (await counted()) === 2)
  const told = linesWith(gateway.log(), [' WRN ', 'refused a statement', `plugin=${name}`])
  expect(told.map((line) => /"word":"(\w+)"/.exec(line)?.[1])).toEqual(['drop', 'truncate'])
  expect((await gateway.stop()).status).toBe(0)
  expect(gateway.log()).not.toContain('killing it')
  expect(() => process.kill(plugin!.pid!, 0)).toThrow('ESRCH')
}

test('the example in TypeScript refuses, counts, logs and ends', async () => {
  const path = await buildTypescriptExample()
  await keepsItsPromises(entryFor('words-typescript', path), 'words_refused_total')
}, 120_000)

describe.skipIf(Bun.which('go') === null)('the example in Go (needs Go)', () => {
  test('refuses, counts, logs and ends', async () => {
    const path = (await buildGoExample()) ?? ''
    await keepsItsPromises(entryFor('words-go', path), 'gatewayd_words_refused_total')
  }, 600_000)
})

describe.skipIf(PYTHON === null)('the example in Python (needs Python with venv, and PyPI)', () => {
  test('refuses, counts, logs and ends', async () => {
    const { python, script, modules } = PYTHON!
    const env = [`PYTHONPATH=${modules}`, 'PYTHONDONTWRITEBYTECODE=1']
    const entry = entryFor('words-python', python, { args: [script], env })
    await keepsItsPromises(entry, 'words_refused_total')
  }, 120_000)
})
