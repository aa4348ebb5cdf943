/**
 * Every hook, as a plugin sees it behind the executable: when it is called, in which order, and
 * with which parameters, of the names and types of GatewayD's table of hooks.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { HOOKS, methodName } from '../../src/hooks/hook.ts'
import { freePort } from '../kit/free-port.ts'
import { query } from '../kit/frontend.ts'
import { type RunningGateway, startGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { until } from '../kit/traffic.ts'
import { openSession, type Wire } from '../kit/wire.ts'
import { CONFIG_KEYS, typesOf } from './config-keys.ts'
import { exchange, HAS_GO, login } from './plugins-scene.ts'
import { buildRecorders, Recording } from './recorder-scene.ts'

const SECOND = 1_000_000_000
const TICKED_MS = 150

let postgres: PostgresServer
beforeAll(async () => {
  await buildRecorders()
  postgres = await startPostgres()
}, 600_000)
afterAll(() => postgres.stop())

interface Scene {
  readonly record: Recording
  readonly gateway: RunningGateway
  readonly otherPort: number
}

/** Two servers, one of which ticks, and three blocks. */
async function startScene(names: readonly string[] = ['recorder']): Promise<Scene> {
  const record = new Recording()
  const otherPort = await freePort()
  const address = `127.0.0.1:${postgres.port}`
  const gateway = await startGateway({
    config: {
      servers: {
        default: { enableTicker: true, tickInterval: `${TICKED_MS}ms` },
        tenant: { address: `localhost:${otherPort}` },
      },
      clients: {
        default: { writes: { address }, reads: { address } },
        tenant: { writes: { address, tcpKeepAlive: true, dialTimeout: '90s' } },
      },
      pools: {
        default: { writes: { size: 25 }, reads: { size: 0 } },
        tenant: { writes: { size: 1 } },
      },
      proxies: { default: { writes: {}, reads: {} }, tenant: { writes: {} } },
    },
    plugins: { timeout: '20s', plugins: names.map((name) => record.entry({ name })) },
  })
  return { record, gateway, otherPort }
}

/** All methods in the order of their calls, each run of the same one as one with its length. */
function runsOf(methods: readonly string[]): string[] {
  const runs: [string, number][] = []
  for (const method of methods) {
    const last = runs.at(-1)
    if (last?.[0] === method) last[1] += 1
    else runs.push([method, 1])
  }
  return runs.map(([method, count]) => (count === 1 ? method : `${method} × ${count}`))
}

const bytesIn = (value: unknown): string =>
  typeof value === 'object' && value !== null && 'bytes' in value ? String(value.bytes) : ''

describe('at the start', () => {
  let scene: Scene
  beforeAll(async () => {
    scene = await startScene()
    await scene.record.reaches('OnTick', 1)
  })
  afterAll(async () => {
    await scene.gateway.stop()
    scene.record[Symbol.dispose]()
  })

  test('the hooks are called in the order of the contract, for every server and block', () => {
    const methods = scene.record.methods()
    expect(runsOf(methods.slice(0, methods.indexOf('OnTick') + 1))).toEqual([
      'GetPluginConfig',
      'OnConfigLoaded',
      'OnNewLogger',
      'OnNewPool × 3',
      'OnNewProxy × 3',
      'OnNewServer × 2',
      'OnRun × 2',
      'OnBooting × 2',
      'OnBooted × 2',
      'OnTick',
    ])
  })

  test('OnConfigLoaded has every key of the contract with its type, durations as numbers', () => {
    const [params] = scene.record.params('OnConfigLoaded')
    const types = typesOf(params ?? {})
    for (const [prefix, keys] of Object.entries(CONFIG_KEYS)) {
      for (const [key, type] of Object.entries(keys)) {
        const path = `${prefix}.${key}`
        expect({ path, type: types[path] }).toEqual({ path, type })
      }
    }
    expect(params).toMatchObject({
      'clients.default.writes.dialTimeout': 60 * SECOND,
      'clients.tenant.writes.dialTimeout': 90 * SECOND,
      'servers.default.tickInterval': (TICKED_MS * SECOND) / 1000,
      'pools.default.writes.size': 25,
    })
  })

  test('OnNewLogger has a struct for each logger', () => {
    const logger = {
      output: ['console'],
      level: 'info',
      timeFormat: 'unix',
      consoleTimeFormat: 'RFC3339',
      fileName: expect.any(String),
      rsyslogNetwork: 'tcp',
      rsyslogAddress: 'localhost:514',
      syslogPriority: 'info',
      noColor: false,
      compress: true,
      localTime: false,
      maxSize: 500,
      maxBackups: 5,
      maxAge: 30,
    }
    expect(scene.record.params('OnNewLogger')).toEqual([{ default: logger }])
  })

  test('OnNewPool tells name and size in effect, OnNewProxy the whole tree each time', () => {
    expect(scene.record.params('OnNewPool')).toEqual([
      { name: 'writes', size: 25 },
      { name: 'reads', size: 10 },
      { name: 'writes', size: 2 },
    ])
    const block = { healthCheckPeriod: 60 * SECOND }
    const tree = { default: { writes: block, reads: block }, tenant: { writes: block } }
    expect(scene.record.params('OnNewProxy')).toEqual([tree, tree, tree])
  })

  test('OnNewServer tells the whole tree each time, durations in nanoseconds', () => {
    const server = {
      network: 'tcp',
      certFile: '',
      keyFile: '',
      enableTLS: false,
      handshakeTimeout: 5 * SECOND,
      loadBalancer: { strategy: 'ROUND_ROBIN', loadBalancingRules: [] },
    }
    const { gateway, otherPort } = scene
    const ticked = { enableTicker: true, tickInterval: (TICKED_MS * SECOND) / 1000 }
    const still = { enableTicker: false, tickInterval: 5 * SECOND }
    const tree = {
      default: { ...server, ...ticked, address: `127.0.0.1:${gateway.port}` },
      tenant: { ...server, ...still, address: `localhost:${otherPort}` },
    }
    expect(scene.record.params('OnNewServer')).toEqual([tree, tree])
  })

  test('OnRun tells where each server will listen, its name resolved; then it boots', () => {
    const { gateway, otherPort } = scene
    const [first, second] = scene.record.params('OnRun')
    expect(first).toEqual({ address: `127.0.0.1:${gateway.port}` })
    expect(['127.0.0.1', '[::1]'].map((host) => `${host}:${otherPort}`)).toContain(
      String(second?.['address']),
    )
    expect(scene.record.params('OnBooting')).toEqual([{ status: '1' }, { status: '1' }])
    expect(scene.record.params('OnBooted')).toEqual([{ status: '0' }, { status: '0' }])
  })

  test('OnTick comes at once and again, for the server that ticks alone', async () => {
    await scene.record.reaches('OnTick', 3)
    expect(scene.record.params('OnTick')[0]).toEqual({ connections: 0 })
    using _wire = await login(scene.gateway, postgres)
    await until('a tick tells of the client', () =>
      scene.record.params('OnTick').some(({ connections }) => connections === 1),
    )
  })

  test('every call has the deadline of the plugins file, and OnHook is never called', () => {
    const calls = scene.record.calls().filter(({ method }) => method !== 'GetPluginConfig')
    for (const { timeoutMs } of calls) {
      expect(timeoutMs).toBeGreaterThan(0)
      expect(timeoutMs).toBeLessThanOrEqual(20_000)
    }
    expect(scene.record.of('OnHook')).toEqual([])
  })
})

test('no ticks where no server asks for them', async () => {
  using record = new Recording()
  const gateway = await startGateway({
    config: { clients: { default: { writes: { address: `127.0.0.1:${postgres.port}` } } } },
    plugins: { plugins: [record.entry()] },
  })
  using wire = await login(gateway, postgres)
  await wire.terminate()
  await record.reaches('OnClosed', 1)
  expect((await gateway.stop()).status).toBe(0)
  expect(record.of('OnTick')).toEqual([])
})

describe('a connection', () => {
  const SQL = "select 'told'"
  let scene: Scene
  let client: string
  let calls: Recording['calls']
  beforeAll(async () => {
    scene = await startScene()
    const wire = await login(scene.gateway, postgres)
    const { localAddress, localPort } = wire.socket
    client = `${localAddress}:${localPort}`
    await exchange(wire, [query(SQL)], 1)
    await until('the reply was told of', () => told('OnTrafficToClient').some(isReply))
    await wire.terminate()
    await scene.record.reaches('OnClosed', 1)
    calls = () => scene.record.calls().filter(({ params }) => remoteOf(params) === client)
  }, 60_000)
  afterAll(async () => {
    await scene.gateway.stop()
    scene.record[Symbol.dispose]()
  })

  const remoteOf = ({ client: of }: RecordParams): unknown =>
    typeof of === 'object' && of !== null && 'remote' in of ? of.remote : undefined
  const told = (method: string): readonly RecordParams[] => scene.record.params(method)
  const isReply = ({ response }: RecordParams): boolean => bytesIn(response).includes('SELECT 1')

  test('is told of in the order of the contract', () => {
    const methods = calls().map(({ method }) => method)
    expect(methods.slice(0, 4)).toEqual([
      'OnOpening',
      'OnOpened',
      'OnTraffic',
      'OnTrafficFromClient',
    ])
    expect(methods.slice(-2)).toEqual(['OnClosing', 'OnClosed'])
    const count = (method: string): number => methods.filter((each) => each === method).length
    for (const once of ['OnOpening', 'OnOpened', 'OnTraffic', 'OnClosing', 'OnClosed']) {
      expect(count(once)).toBe(1)
    }
    const place = (method: string, words: string): number =>
      calls().findIndex(({ method: each, params }) => {
        const { request, response } = params
        const said = method.includes('Server') === method.includes('From') ? response : request
        return each === method && bytesIn(said).includes(words)
      })
    const way = [
      place('OnTrafficFromClient', SQL),
      place('OnTrafficToServer', SQL),
      place('OnTrafficFromServer', 'SELECT 1'),
      place('OnTrafficToClient', 'SELECT 1'),
    ]
    expect(way.every((at) => at >= 0)).toBeTrue()
    // The two directions are independent, but within each the order holds.
    expect(way[0]).toBeLessThan(way[1]!)
    expect(way[0]).toBeLessThan(way[2]!)
    expect(way[2]).toBeLessThan(way[3]!)
  })

  test('has its two addresses at every hook', () => {
    const pair = { local: `127.0.0.1:${scene.gateway.port}`, remote: client }
    for (const method of ['OnOpening', 'OnOpened', 'OnTraffic']) {
      expect(told(method)).toEqual([{ client: pair }])
    }
    for (const method of ['OnClosing', 'OnClosed']) {
      expect(told(method)).toEqual([{ client: pair, error: '' }])
    }
  })

  test('has request and response as bytes at the hooks of traffic', () => {
    const database = `127.0.0.1:${postgres.port}`
    const both = {
      client: { local: `127.0.0.1:${scene.gateway.port}`, remote: client },
      server: { local: expect.stringMatching(/^127\.0\.0\.1:\d+$/), remote: database },
      error: '',
    }
    const request = { bytes: Buffer.from(query(SQL)).toString('latin1') }
    const ofStatement = (method: string): RecordParams | undefined =>
      told(method).find((params) => bytesIn(params['request']).includes(SQL))
    expect(ofStatement('OnTrafficFromClient')).toEqual({ ...both, request })
    expect(ofStatement('OnTrafficToServer')).toEqual({ ...both, request })
    const response = { bytes: expect.stringContaining('SELECT 1') }
    expect(ofStatement('OnTrafficFromServer')).toEqual({ ...both, request, response })
    expect(ofStatement('OnTrafficToClient')).toEqual({ ...both, request, response })
  })

  test('shows its end as an empty read, and no more of it to the server', () => {
    const requests = told('OnTrafficFromClient').map(({ request }) => request)
    expect(requests.at(-1)).toEqual({ bytes: '' })
    expect(requests.filter((request) => bytesIn(request) === '')).toHaveLength(1)
    const sent = told('OnTrafficToServer').map(({ request }) => bytesIn(request))
    expect(sent).not.toContain('')
  })

  test('OnNewClient tells of its connection to the database, durations as text', () => {
    const server: object = Object(told('OnTrafficFromClient')[0]?.['server'])
    const local: unknown = 'local' in server ? server.local : null
    expect(told('OnNewClient')).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f]{64}$/),
        name: expect.stringMatching(/^(writes|reads)$/),
        group: 'default',
        network: 'tcp',
        address: `127.0.0.1:${postgres.port}`,
        receiveChunkSize: 8192,
        receiveDeadline: '0s',
        receiveTimeout: '0s',
        sendDeadline: '0s',
        dialTimeout: '1m0s',
        tcpKeepAlive: false,
        tcpKeepAlivePeriod: '30s',
        localAddress: local,
        remoteAddress: `127.0.0.1:${postgres.port}`,
        retries: 3,
        backoff: '1s',
        backoffMultiplier: 2,
        disableBackoffCaps: false,
      },
    ])
  })

  test('of another server tells of that one', async () => {
    const { user, password, database } = postgres
    const { otherPort } = scene
    const wire = await openSession({ host: 'localhost', port: otherPort, user, password, database })
    await wire.terminate()
    await scene.record.reaches('OnClosed', 2)
    expect(told('OnNewClient').at(-1)).toMatchObject({
      group: 'tenant',
      tcpKeepAlive: true,
      dialTimeout: '1m30s',
    })
  })
})

type RecordParams = ReturnType<Recording['params']>[number]

describe('at the stop', () => {
  test('the signal comes first, then the sessions end, then plugins are shut down', async () => {
    const { record, gateway } = await startScene()
    const wires: Wire[] = [await login(gateway, postgres), await login(gateway, postgres)]
    for (const wire of wires) await wire.rows('select 1')
    await record.reaches('OnTick', 1)
    expect((await gateway.stop()).status).toBe(0)
    const all = record.methods()
    const methods = all.slice(all.indexOf('OnSignal')).filter((method) => method !== 'OnTick')
    expect(methods[0]).toBe('OnSignal')
    expect(record.params('OnSignal')).toEqual([{ signal: 'terminated' }])
    expect(methods.filter((method) => method === 'OnClosed')).toHaveLength(2)
    const end = ['OnShutdown', 'OnShutdown', ...(HAS_GO ? ['Shutdown'] : [])]
    expect(methods.slice(-end.length)).toEqual(end)
    expect(record.params('OnShutdown')).toEqual([{ connections: 0 }, { connections: 0 }])
    for (const wire of wires) wire.destroy()
    // By now there was an occasion for every hook, but for the reserved one.
    const fired = HOOKS.filter(({ kind }) => kind !== 'reserved').map(({ name }) =>
      methodName(name),
    )
    const called = new Set(record.methods())
    expect(fired.filter((method) => !called.has(method))).toEqual([])
    expect(called.has('OnHook')).toBeFalse()
    record[Symbol.dispose]()
  })

  test.each([
    ['SIGINT', 'interrupt'],
    ['SIGTERM', 'terminated'],
    ['SIGQUIT', 'quit'],
    ['SIGABRT', 'aborted'],
  ] as const)('%s is told of as "%s"', async (signal, word) => {
    const { record, gateway } = await startScene()
    process.kill(gateway.pid, signal)
    expect((await gateway.exited).status).toBe(0)
    expect(record.params('OnSignal')).toEqual([{ signal: word }])
    expect(record.of('OnShutdown')).toHaveLength(2)
    record[Symbol.dispose]()
  })

  test.skipIf(!HAS_GO)('plugins stop in reverse, one after the other (needs Go)', async () => {
    const { record, gateway } = await startScene(['first', 'second', 'third'])
    expect(record.of('GetPluginConfig').map(({ plugin }) => plugin)).toEqual([
      'first',
      'second',
      'third',
    ])
    expect((await gateway.stop()).status).toBe(0)
    expect(record.of('Shutdown').map(({ plugin }) => plugin)).toEqual(['third', 'second', 'first'])
    record[Symbol.dispose]()
  })
})
