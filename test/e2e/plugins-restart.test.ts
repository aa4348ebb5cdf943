/**
 * Plugins that are lost while clients talk: what was asked meanwhile is answered by the rules, the
 * plugin comes back to its place, and one that cannot come back is left alone for a while.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { query } from '../kit/frontend.ts'
import { type RunningGateway, runPostern } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { until } from '../kit/traffic.ts'
import {
  buildPlugins,
  entryOf,
  exchange,
  fixture,
  type Listed,
  listed,
  login,
  samples,
  scripted,
  sha256,
  startWith,
} from './plugins-scene.ts'

let postgres: PostgresServer
const folder = mkdtempSync(join(tmpdir(), 'pr-'))
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
}, 120_000)
afterAll(async () => {
  await postgres.stop()
  rmSync(folder, { recursive: true })
})

const ROW = (value: string) => ['RowDescription', `row ${value}`, 'SELECT 1', 'ready I']
const BY_SCRIPTED = 'ERROR 42000 Request terminated | Policy terminated the request | -'
const BY_VERDICTS = 'ERROR 42501 denied by verdicts | a marker said so | leave it out'

async function statusOf(gateway: RunningGateway, name: string): Promise<Listed> {
  const found = (await listed(gateway)).find((plugin) => plugin.name === name)
  if (found === undefined) throw new Error(`no plugin ${name}`)
  return found
}

function reaches(gateway: RunningGateway, name: string, wanted: Partial<Listed>): Promise<void> {
  return until(`${name} is ${JSON.stringify(wanted)}`, async () => {
    const status = await statusOf(gateway, name)
    return Bun.deepMatch(wanted, status)
  })
}

test('a gRPC plugin that is killed under traffic comes back to its place', async () => {
  const plugins = [scripted(), entryOf('verdicts.wasm')]
  await using gateway = await startWith(postgres, { plugins })
  using wire = await login(gateway, postgres)
  using busy = await login(gateway, postgres)
  const denied = async () => (await exchange(wire, [query('select 1 /*deny*/')], 1))[0]
  expect(await denied()).toBe(BY_SCRIPTED)
  const before = await statusOf(gateway, 'scripted')
  let isOver = false
  const traffic = (async () => {
    let answered = 0
    for (; !isOver; answered++) {
      expect(await exchange(busy, [query(`select ${answered}`)], 1)).toEqual(ROW(`${answered}`))
    }
    return answered
  })()
  process.kill(before.pid!, 'SIGKILL')
  const verdicts = new Set<string | undefined>()
  await until('the plugin judges again', async () => {
    const verdict = await denied()
    verdicts.add(verdict)
    return verdict === BY_SCRIPTED && (await statusOf(gateway, 'scripted')).restarts === 1
  })
  isOver = true
  expect(await traffic).toBeGreaterThan(0)
  // While it was away the one behind it judged.
  for (const verdict of verdicts) expect([BY_SCRIPTED, BY_VERDICTS]).toContain(String(verdict))
  const after = await statusOf(gateway, 'scripted')
  expect(after).toMatchObject({ state: 'ready', priority: before.priority, restarts: 1 })
  expect(after.pid).not.toBe(before.pid)
  expect(after.lastError).toContain('was killed by SIGKILL')
  expect(await samples(gateway, 'postern_plugin_restarts_total', 'plugin="scripted"')).toBe(1)
  expect((await gateway.stop()).status).toBe(0)
  expect(existsSync(`/proc/${after.pid}`)).toBe(false)
})

test('its steps refuse while it is away, where they are set to', async () => {
  await using gateway = await startWith(postgres, {
    plugins: [scripted({}, { onFailure: 'closed' })],
    file: { reloadOnCrash: false },
  })
  using wire = await login(gateway, postgres)
  process.kill((await statusOf(gateway, 'scripted')).pid!, 'SIGKILL')
  await reaches(gateway, 'scripted', { state: 'failing', nextTryInMs: null })
  const refused = await exchange(wire, [query('select 1')], 1)
  expect(refused[0]).toStartWith('ERROR 58000 plugin "scripted" failed')
})

describe('a gRPC plugin that is stopped (SIGSTOP)', () => {
  test('delays a query by its timeout, and is killed and replaced', async () => {
    const plugins = [scripted({}, { timeout: '300ms' })]
    await using gateway = await startWith(postgres, { plugins })
    using wire = await login(gateway, postgres)
    const { pid } = await statusOf(gateway, 'scripted')
    process.kill(pid!, 'SIGSTOP')
    expect(await exchange(wire, [query('select 1')], 1)).toEqual(ROW('1'))
    await gateway.logged('it answers neither calls nor pings')
    await reaches(gateway, 'scripted', { state: 'ready', restarts: 1 })
    expect(existsSync(`/proc/${pid}`)).toBe(false)
    using late = await login(gateway, postgres)
    expect((await exchange(late, [query('select 1 /*deny*/')], 1))[0]).toBe(BY_SCRIPTED)
  })

  test('is found out and replaced though nobody asks it', async () => {
    const file = { healthCheckPeriod: '200ms' }
    await using gateway = await startWith(postgres, { plugins: [scripted()], file })
    const { pid } = await statusOf(gateway, 'scripted')
    process.kill(pid!, 'SIGSTOP')
    await gateway.logged('it does not answer a ping (200 ms)')
    await reaches(gateway, 'scripted', { state: 'ready' })
    expect((await statusOf(gateway, 'scripted')).pid).not.toBe(pid)
    expect(existsSync(`/proc/${pid}`)).toBe(false)
  })
})

test('a gRPC plugin that ends at each start is left alone for a while', async () => {
  const mark = join(folder, 'mark')
  const path = join(folder, 'moody')
  const lines = [
    '#!/bin/sh',
    `[ -e ${mark} ] && { echo "out of luck" >&2; exit 3; }`,
    `exec ${fixture('scripted')}`,
    '',
  ]
  writeFileSync(path, lines.join('\n'), { mode: 0o755 })
  const plugins = [scripted({}, { name: 'moody', localPath: path, checksum: sha256(path) })]
  await using gateway = await startWith(postgres, { plugins })
  using wire = await login(gateway, postgres)
  writeFileSync(mark, '')
  process.kill((await statusOf(gateway, 'moody')).pid!, 'SIGKILL')
  await reaches(gateway, 'moody', { state: 'broken' })
  const broken = await statusOf(gateway, 'moody')
  expect(broken.restarts).toBeGreaterThanOrEqual(4)
  expect(broken.lastError).toContain('ended with code 3 before its handshake line')
  expect(broken.lastLines).toEqual(['"out of luck"'])
  await gateway.logged('times in a row')
  // Who is not called holds up nobody.
  expect(await exchange(wire, [query('select 1 /*deny*/')], 1)).toEqual(ROW('1'))
  const { stdout } = await runPostern(['plugin', 'list'], { env: gateway.env })
  expect(stdout).toMatch(/NAME +NEXT TRY +LAST ERROR\nmoody +(in \d+\.\d s|-) +.*out of luck/)
  rmSync(mark)
  await reaches(gateway, 'moody', { state: 'ready' })
  expect((await exchange(wire, [query('select 1 /*deny*/')], 1))[0]).toBe(BY_SCRIPTED)
})

test('a WASM plugin that traps on one statement judges the next', async () => {
  await using gateway = await startWith(postgres, { plugins: [entryOf('verdicts.wasm')] })
  using wire = await login(gateway, postgres)
  for (let round = 1; round <= 10; round++) {
    expect(await exchange(wire, [query(`select ${round} /*trap*/`)], 1)).toEqual(ROW(`${round}`))
    expect((await exchange(wire, [query('select 1 /*deny*/')], 1))[0]).toBe(BY_VERDICTS)
  }
  const status = await statusOf(gateway, 'verdicts')
  expect(status).toMatchObject({ state: 'ready', restarts: 10 })
  expect(status.lastError).toContain('trapped')
  const { stdout } = await runPostern(['plugin', 'list'], { env: gateway.env })
  expect(stdout).toMatch(/1000 +verdicts +\S+ +wasm +ready +10 /)
  expect(stdout).toMatch(/verdicts +- +onTrafficFromClient: trapped/)
})

test('the metrics of a plugin are on the page again after its restart', async () => {
  const env = { METRICS_SOCKET: join(folder, 'm%p'), SERVE_METRICS: '1' }
  const file = { metricsMergerPeriod: '100ms' }
  await using gateway = await startWith(postgres, { plugins: [scripted(env)], file })
  const shown = () => samples(gateway, 'scripted_pid', 'plugin="scripted"')
  const { pid } = await statusOf(gateway, 'scripted')
  await until('the first process is on the page', async () => (await shown()) === pid)
  process.kill(pid!, 'SIGKILL')
  await reaches(gateway, 'scripted', { state: 'ready', restarts: 1 })
  const next = (await statusOf(gateway, 'scripted')).pid
  expect(next).not.toBe(pid)
  await until('the second process is on the page', async () => (await shown()) === next)
})

test('a requirement that is not met refuses the plugin, but by a loose policy', async () => {
  const plugins = [
    entryOf('verdicts.wasm'),
    scripted({ REQUIRES: 'verdicts=99.0.0' }, { name: 'needy' }),
  ]
  for (const [compatibilityPolicy, state] of [
    ['strict', 'broken'],
    ['loose', 'ready'],
  ] as const) {
    await using gateway = await startWith(postgres, { plugins, file: { compatibilityPolicy } })
    expect((await statusOf(gateway, 'needy')).state).toBe(state)
    await gateway.logged('requires "verdicts" 99.0.0 or newer')
    expect(gateway.log()).not.toContain('not acted on yet')
  }
})
