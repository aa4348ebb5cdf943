/** Plugins of a gateway with several workers: what they judge, and how often they are told. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { query } from '../kit/frontend.ts'
import { gatewayBinary, type RunningGateway, runPostern, startGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { openRaw, type RawClient } from '../kit/raw-client.ts'
import { redisProgram, startRedis } from '../kit/redis.ts'
import { metric, statusOf, until } from '../kit/traffic.ts'
import type { Wire } from '../kit/wire.ts'
import {
  type Entry,
  entryOf,
  exchange,
  isUsable,
  listed,
  login,
  scripted,
  sha256,
} from './plugins-scene.ts'
import { buildRecorders, Recording } from './recorder-scene.ts'
import { editEntry, reload } from './reload-scene.ts'

setDefaultTimeout(20_000)

let postgres: PostgresServer
beforeAll(async () => {
  await buildRecorders()
  postgres = await startPostgres()
}, 600_000)
afterAll(() => postgres.stop())

const DENIED = 'ERROR 42000 Request terminated | Policy terminated the request | -'
const DENIED_BY_VERDICTS = 'ERROR 42501 denied by verdicts | a marker said so | leave it out'

function start(plugins: readonly Entry[], server: Entry = {}): Promise<RunningGateway> {
  const address = `127.0.0.1:${postgres.port}`
  return startGateway({
    config: {
      workers: 2,
      servers: { default: server },
      clients: { default: { writes: { address } } },
    },
    plugins: { plugins: [...plugins] },
  })
}

/** Four sessions, of which each worker has some. */
async function onBoth(gateway: RunningGateway): Promise<Wire[]> {
  const wires: Wire[] = []
  while (wires.length < 4) wires.push(await login(gateway, postgres))
  const { workers = [] } = await statusOf(gateway)
  expect(workers.every(({ sessions }) => sessions > 0)).toBeTrue()
  return wires
}

const verdicts = (wires: readonly Wire[]) =>
  Promise.all(
    wires.map(async (wire) => (await exchange(wire, [query('select 1 /*deny*/')], 1))[0]!),
  )

test('a plugin of each runtime judges the sessions of all workers', async () => {
  await using gateway = await start([scripted(), entryOf('verdicts.wasm')])
  const wires = await onBoth(gateway)
  expect(await verdicts(wires)).toEqual(Array(4).fill(DENIED))
  const [before] = await listed(gateway)
  const calls = { plugin: 'scripted', hook: 'onTrafficFromClient' }
  expect(await metric(gateway, 'postern_plugin_calls_total', calls)).toBeGreaterThanOrEqual(4)
  process.kill(before!.pid!, 'SIGKILL')
  const seen = new Set<string>()
  await until('all are judged by it again', async () => {
    const said = await verdicts(wires)
    for (const one of said) seen.add(one)
    return said.every((one) => one === DENIED) && (await listed(gateway))[0]!.restarts === 1
  })
  // While it was away, the one behind it judged.
  expect([...seen].every((one) => [DENIED, DENIED_BY_VERDICTS].includes(one))).toBeTrue()
  for (const wire of wires) {
    expect(await isUsable(wire)).toBeTrue()
    wire.destroy()
  }
})

test('hooks of the gateway are called once, those of sessions once a session', async () => {
  using recording = new Recording()
  const gateway = await start([recording.entry()], { enableTicker: true, tickInterval: '100ms' })
  const wires = await onBoth(gateway)
  await until('a tick tells of all sessions', () =>
    recording.params('OnTick').some(({ connections }) => connections === 4),
  )
  for (const wire of wires) wire.destroy()
  await recording.reaches('OnClosed', 4)
  await gateway.stop()
  const counts = (names: readonly string[]) => names.map((name) => recording.of(name).length)
  expect(counts(['OnConfigLoaded', 'OnNewServer', 'OnRun', 'OnBooting', 'OnBooted'])).toEqual([
    1, 1, 1, 1, 1,
  ])
  expect(counts(['OnOpening', 'OnOpened', 'OnClosing', 'OnClosed'])).toEqual([4, 4, 4, 4])
  expect(counts(['OnSignal', 'OnShutdown'])).toEqual([1, 1])
})

test('a reload gives all workers another module, or none', async () => {
  await using gateway = await start([entryOf('verdicts.wasm')])
  const wires = await onBoth(gateway)
  expect(await verdicts(wires)).toEqual(Array(4).fill(DENIED_BY_VERDICTS))
  editEntry(gateway, { enabled: false })
  await reload(gateway)
  expect(await verdicts(wires)).toEqual(Array(4).fill('RowDescription'))
  editEntry(gateway, { enabled: true })
  await reload(gateway)
  expect(await verdicts(wires)).toEqual(Array(4).fill(DENIED_BY_VERDICTS))
  for (const wire of wires) wire.destroy()
  await until('they have gone', async () => (await metric(gateway, 'postern_sessions_open')) === 0)
})

describe('what a module keeps', () => {
  const keepers = (keys: Entry = {}) =>
    startGateway({
      config: {
        workers: 2,
        servers: { default: { protocol: 'raw' } },
        clients: { default: { writes: { address: `127.0.0.1:${postgres.port}` } } },
      },
      plugins: { ...keys, plugins: [entryOf('notes.wasm')] },
    })
  /** Of clients that both workers have. */
  const answersOf = async (clients: readonly RawClient[]) =>
    new Set(await Promise.all(clients.map((client) => client.ask('GET colour'))))
  const four = (gateway: RunningGateway) =>
    Promise.all(Array.from({ length: 4 }, () => openRaw(gateway)))

  test('is seen by the sessions of one worker', async () => {
    await using gateway = await keepers()
    const clients = await four(gateway)
    expect(await clients[0]!.ask('SET colour blue')).toBe('OK')
    expect(await answersOf(clients)).toEqual(new Set(['blue', 'NONE']))
    for (const client of clients) client.close()
  })

  test.skipIf(redisProgram === null)('is seen by all with a store (needs Redis)', async () => {
    await using redis = await startRedis([])
    await using gateway = await keepers({ store: `redis://127.0.0.1:${redis.port}` })
    const clients = await four(gateway)
    expect(await clients[0]!.ask('SET colour blue')).toBe('OK')
    await until('all see it', async () => [...(await answersOf(clients))].join() === 'blue')
    for (const client of clients) client.close()
  })
})

test('a plugin that keeps data for one process refuses more, and says what to do', async () => {
  const localPath = join(dirname(gatewayBinary()), 'plugins/cache.wasm')
  const plugins = [{ name: 'cache', localPath, checksum: sha256(localPath) }]
  const files = ['postern', 'plugins'].map((name) =>
    join(tmpdir(), `workers-${process.pid}-${name}.yaml`),
  )
  await Bun.write(files[0]!, JSON.stringify({ workers: 2 }))
  await Bun.write(files[1]!, JSON.stringify({ plugins }))
  const { status, stderr } = await runPostern(['run', '-c', files[0]!, '-p', files[1]!])
  for (const file of files) rmSync(file)
  expect(status).toBe(1)
  expect(stderr).toContain(
    'plugin "cache" works with 1 worker at most, not with 2: what it keeps in one of them is not ' +
      'seen by the others; set workers: 1, or take the plugin out',
  )
})
