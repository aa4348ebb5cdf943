/**
 * Hook calls and timeouts by the thousand in the executable: its memory stays what it is once warm,
 * and no descriptor and no process is left. `POSTERN_LONG`: 100,000 calls and 2,500 timeouts.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { query } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { memoryOf, until } from '../kit/traffic.ts'
import type { Wire } from '../kit/wire.ts'
import {
  buildPlugins,
  entryOf,
  HAS_GO,
  listed,
  login,
  samples,
  scripted,
  startWith,
} from './plugins-scene.ts'

const IS_LONG = process.env['POSTERN_LONG'] !== undefined
const CALLS = IS_LONG ? 100_000 : 4000
const TIMEOUTS = IS_LONG ? 2500 : 100
const SESSIONS = 20
setDefaultTimeout(1_200_000)

let postgres: PostgresServer
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
}, 600_000)
afterAll(() => postgres.stop())

/** All sessions ask, one statement after the other, until so many were asked. */
async function askOften(wires: readonly Wire[], sql: string, count: number): Promise<void> {
  let left = count
  const askOn = async (wire: Wire): Promise<void> => {
    while (left-- > 0) {
      wire.send(query(sql))
      await wire.readUntil('ReadyForQuery')
    }
  }
  await Promise.all(wires.map(askOn))
}

const descriptorsOf = (gateway: RunningGateway): number =>
  readdirSync(`/proc/${gateway.pid}/fd`).length

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

/** Looks at what the gateway holds; the first four are not counted, it is not warm yet. */
const LOOKS = 20

/** What the gateway holds in the first and in the second half of the work. */
async function growth(
  gateway: RunningGateway,
  count: number,
  work: (part: number) => Promise<void>,
) {
  const looks: { readonly bytes: number; readonly descriptors: number }[] = []
  for (let look = 0; look < LOOKS; look++) {
    await work(Math.ceil(count / LOOKS))
    looks.push({ bytes: memoryOf(gateway.pid).now, descriptors: descriptorsOf(gateway) })
  }
  // One look says little: what waits for the collector comes and goes by tens of megabytes.
  const [before, after] = [looks.slice(4, 12), looks.slice(12)].map((half) => ({
    bytes: mean(half.map(({ bytes }) => bytes)),
    descriptors: Math.max(...half.map(({ descriptors }) => descriptors)),
  }))
  if (IS_LONG) {
    const told = looks.map(({ bytes }) => (bytes / 1e6).toFixed(0)).join(' ')
    process.stdout.write(`${count} times, memory in MB: ${told}\n`)
  }
  return { before: before!, after: after! }
}

describe.skipIf(!HAS_GO)('thousands of hook calls (needs Go)', () => {
  test('leave memory and descriptors as they were', async () => {
    await using gateway = await startWith(postgres, { plugins: [entryOf('echo-go')] })
    const wires = await Promise.all(
      Array.from({ length: SESSIONS }, () => login(gateway, postgres)),
    )
    const calls = () => samples(gateway, 'postern_plugin_calls_total', 'plugin="echo-go"')
    const started = await calls()
    // A statement is two calls: one on its way, one with its reply.
    const { before, after } = await growth(gateway, CALLS / 2, (part) =>
      askOften(wires, 'select 1', part),
    )
    expect((await calls()) - started).toBeGreaterThanOrEqual(CALLS)
    expect(await samples(gateway, 'postern_plugin_failures_total', 'plugin="echo-go"')).toBe(0)
    expect(after.descriptors).toBeLessThanOrEqual(before.descriptors)
    if (IS_LONG) expect(after.bytes).toBeLessThan(1.1 * before.bytes)
    for (const wire of wires) wire.destroy()
  })
})

test('thousands of timeouts leave memory and descriptors as they were', async () => {
  const entry = scripted({ SLOW_MS: '300', HOOKS: '16' }, { timeout: '50ms' })
  await using gateway = await startWith(postgres, { plugins: [entry] })
  const wires = await Promise.all(Array.from({ length: SESSIONS }, () => login(gateway, postgres)))
  const timeouts = () => samples(gateway, 'postern_plugin_timeouts_total', 'plugin="scripted"')
  const { before, after } = await growth(gateway, TIMEOUTS, (part) =>
    askOften(wires, 'select 1 /*slow*/', part),
  )
  await until('all are counted', async () => (await timeouts()) >= TIMEOUTS)
  const [status] = await listed(gateway)
  expect(status).toMatchObject({ state: 'ready', restarts: 0 })
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors)
  if (IS_LONG) expect(after.bytes).toBeLessThan(1.1 * before.bytes)
  for (const wire of wires) wire.destroy()
  expect((await gateway.stop()).status).toBe(0)
  expect(() => process.kill(status!.pid!, 0)).toThrow('ESRCH')
})
