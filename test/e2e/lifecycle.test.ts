/**
 * The order in which plugins come to life behind the executable, arrow by arrow: checksum, launch,
 * metadata, requirements, registration, hooks; then the merger and the health check, which end
 * before the plugins do.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import {
  type Entry,
  HAS_GO,
  isUsable,
  linesWith,
  listed,
  login,
  sha256,
  startWith,
} from './plugins-scene.ts'
import { buildRecorders, Recording } from './recorder-scene.ts'

let postgres: PostgresServer
let folder: string
beforeAll(async () => {
  await buildRecorders()
  postgres = await startPostgres()
  folder = mkdtempSync(join(tmpdir(), 'life-'))
}, 600_000)
afterAll(async () => {
  await postgres.stop()
  rmSync(folder, { recursive: true })
})

/** An entry whose program does something else before it becomes that of the entry. */
function behind(script: string, entry: Entry): Entry {
  const name = String(entry['name'])
  const localPath = join(folder, `before-${name}`)
  writeFileSync(localPath, `#!/bin/sh\n${script}\nexec ${entry['localPath']}\n`)
  chmodSync(localPath, 0o755)
  return { ...entry, localPath, checksum: sha256(localPath) }
}

test('the log is open before any plugin is looked at', async () => {
  const fileName = join(folder, 'gateway.log')
  const gone = { name: 'gone', localPath: join(folder, 'gone'), checksum: 'ab'.repeat(32) }
  await using _gateway = await startWith(postgres, {
    plugins: [gone],
    env: { POSTERN_LOGGERS_DEFAULT_OUTPUT: 'file', POSTERN_LOGGERS_DEFAULT_FILENAME: fileName },
  })
  const lines = readFileSync(fileName, 'utf8').split('\n')
  expect(lines.some((line) => line.includes('gone does not exist'))).toBeTrue()
})

test('a file of another checksum is never started, but under --dev', async () => {
  const trace = join(folder, 'was-started')
  using recording = new Recording()
  const entry = behind(`echo started >> ${trace}`, recording.entry({ name: 'pinned' }))
  const wrong = { ...entry, checksum: 'ab'.repeat(32) }
  const wasStarted = (): Promise<boolean> => Bun.file(trace).exists()
  {
    await using gateway = await startWith(postgres, { plugins: [wrong] })
    expect((await listed(gateway))[0]?.state).toBe('broken')
    expect(await wasStarted()).toBeFalse()
    expect(recording.calls()).toEqual([])
  }
  await using gateway = await startWith(postgres, { plugins: [wrong], args: ['--dev'] })
  expect((await listed(gateway))[0]?.state).toBe('ready')
  expect(await wasStarted()).toBeTrue()
  expect(linesWith(gateway.log(), ['WRN', 'is not the pinned file'])).toHaveLength(1)
})

describe.skipIf(!HAS_GO)('with several recorders (needs Go)', () => {
  test('each entry is through before the next one begins', async () => {
    using recording = new Recording()
    const slow = behind('sleep 0.4', recording.entry({ name: 'slow' }))
    const quick = recording.entry({ name: 'quick' })
    await using _gateway = await startWith(postgres, { plugins: [slow, quick] })
    const asked = recording.of('GetPluginConfig').map(({ plugin }) => plugin)
    expect(asked).toEqual(['slow', 'quick'])
    // Hooks are called when all are bound, in the same order.
    const configured = recording.of('OnConfigLoaded').map(({ plugin }) => plugin)
    expect(configured).toEqual(['slow', 'quick'])
    const methods = recording.methods()
    expect(methods.indexOf('OnConfigLoaded')).toBe(methods.lastIndexOf('GetPluginConfig') + 1)
  })

  test('a requirement is met by a plugin that is registered already, and by no other', async () => {
    using recording = new Recording()
    const needy = recording.entry({ name: 'needy', requires: 'base=0.1.0' })
    const base = recording.entry({ name: 'base' })
    {
      await using gateway = await startWith(postgres, { plugins: [base, needy] })
      expect((await listed(gateway)).map(({ state }) => state)).toEqual(['ready', 'ready'])
    }
    const before = recording.calls().length
    {
      await using gateway = await startWith(postgres, { plugins: [needy, base] })
      expect((await listed(gateway)).map(({ state }) => state)).toEqual(['broken', 'ready'])
      using wire = await login(gateway, postgres)
      expect(await isUsable(wire)).toBeTrue()
    }
    // It said what it is, and was ended: none of its hooks was bound.
    const told = recording.calls().slice(before)
    const methods = told.filter(({ plugin }) => plugin === 'needy').map(({ method }) => method)
    expect(methods).toEqual(['GetPluginConfig'])
    expect(told.some(({ plugin, method }) => plugin === 'base' && method === 'OnClosed')).toBeTrue()
  })

  test('a requirement that is not met is warned of where the policy is loose', async () => {
    using recording = new Recording()
    const needy = recording.entry({ name: 'needy', requires: 'base=0.1.0' })
    const file = { compatibilityPolicy: 'loose' }
    await using gateway = await startWith(postgres, { plugins: [needy], file })
    expect((await listed(gateway))[0]?.state).toBe('ready')
    await gateway.logged('requires "base" 0.1.0')
    expect(linesWith(gateway.log(), ['WRN', 'requires "base" 0.1.0'])).toHaveLength(1)
    expect(recording.of('OnBooted')).toHaveLength(1)
  })

  test('scrapes and pings begin when all hooks are bound, and end before plugins do', async () => {
    using recording = new Recording()
    const watched = (name: string): Entry =>
      recording.entry({ name, metricsSocket: join(folder, `${name}.sock`) })
    const plugins = [watched('first'), behind('sleep 0.4', watched('last'))]
    // A ping has as long as a period: on a busy machine a plugin needs some of that.
    const file = { healthCheckPeriod: '600ms', metricsMergerPeriod: '20ms' }
    const gateway = await startWith(postgres, { plugins, file })
    await recording.reaches('Scrape', 10)
    await recording.reaches('Check', 2)
    expect((await gateway.stop()).status).toBe(0)
    const methods = recording.methods()
    const isLookedAfter = (method: string): boolean => method === 'Scrape' || method === 'Check'
    const first = methods.findIndex(isLookedAfter)
    expect(first).toBeGreaterThan(methods.lastIndexOf('GetPluginConfig'))
    expect(recording.of('GetPluginConfig')).toHaveLength(2)
    expect(methods.findLastIndex(isLookedAfter)).toBeLessThan(methods.indexOf('Shutdown'))
    expect(methods.lastIndexOf('OnShutdown')).toBeLessThan(methods.indexOf('Shutdown'))
    const looked = (method: string): Set<string> =>
      new Set(recording.of(method).map(({ plugin }) => plugin))
    for (const method of ['Scrape', 'Check']) {
      expect(looked(method)).toEqual(new Set(['first', 'last']))
    }
  })
})
