/** Every key has its help and its default, and the defaults are those that GatewayD documents. */
import { describe, expect, test } from 'bun:test'
import * as z from 'zod'
import { loadConfig } from '../../src/config/load.ts'
import { pluginsSchema } from '../../src/config/plugin-schema.ts'
import { globalSchema } from '../../src/config/schema.ts'
import { childOf, factsOf, isLeaf, isNamed, isSections, keysOf } from '../../src/config/shape.ts'
import { filesOf } from './golden.ts'

/** Every key of a schema with `*` for names and positions, sections included. */
function allKeys(schema: z.core.$ZodType, path: readonly string[] = []): readonly Key[] {
  const here = path.length === 0 ? [] : [{ path: path.join('.'), schema }]
  if (path.length > 0 && isLeaf(schema)) return here
  const anyName = isNamed(schema) || isSections(schema)
  const keys = anyName ? ['*'] : keysOf(schema)
  const inner = keys.flatMap((key) => {
    const child = childOf(schema, key)
    return child === undefined ? [] : allKeys(child, [...path, key])
  })
  return [...here, ...inner]
}

interface Key {
  readonly path: string
  readonly schema: z.core.$ZodType
}

const global = allKeys(globalSchema)
const plugins = allKeys(pluginsSchema)

test('every key of both files has its help, as a sentence', () => {
  expect(global.length + plugins.length).toBeGreaterThan(130)
  for (const { path, schema } of [...global, ...plugins]) {
    const help = factsOf(schema)?.help ?? ''
    expect({ path, isSentence: /^[A-Z].{3,}\.$/.test(help) }).toEqual({ path, isSentence: true })
  }
})

test('every default is valid for its own key, and is what its help page says', () => {
  for (const { path, schema } of [...global, ...plugins].filter((key) => isLeaf(key.schema))) {
    const standard = factsOf(schema)?.standard
    if (standard === undefined) continue
    const written = factsOf(schema)?.kind === 'anything' ? {} : standard
    const left = z.safeParse(schema, undefined)
    const said = z.safeParse(schema, written)
    expect({ path, left: left.data }).toEqual({ path, left: said.data })
    expect({ path, fits: left.success }).toEqual({ path, fits: true })
  }
})

/** GatewayD's documented defaults: durations in milliseconds. */
const DOCUMENTED = {
  loggers: {
    output: ['console'],
    level: 'info',
    timeFormat: 'unix',
    consoleTimeFormat: 'RFC3339',
    noColor: false,
    fileName: 'gatewayd.log',
    maxSize: 500,
    maxBackups: 5,
    maxAge: 30,
    compress: true,
    localTime: false,
    rsyslogNetwork: 'tcp',
    rsyslogAddress: 'localhost:514',
    syslogPriority: 'info',
  },
  metrics: {
    enabled: true,
    address: 'localhost:9090',
    path: '/metrics',
    readHeaderTimeout: 10_000,
    timeout: 10_000,
    certFile: '',
    keyFile: '',
  },
  clients: {
    network: 'tcp',
    address: 'localhost:5432',
    tcpKeepAlive: false,
    tcpKeepAlivePeriod: 30_000,
    receiveChunkSize: 8192,
    receiveDeadline: 0,
    receiveTimeout: 0,
    sendDeadline: 0,
    dialTimeout: 60_000,
    retries: 3,
    backoff: 1000,
    backoffMultiplier: 2,
    disableBackoffCaps: false,
  },
  servers: {
    network: 'tcp',
    address: '0.0.0.0:15432',
    enableTicker: false,
    tickInterval: 5000,
    enableTLS: false,
    certFile: '',
    keyFile: '',
    handshakeTimeout: 5000,
    loadBalancer: { strategy: 'ROUND_ROBIN', loadBalancingRules: [] },
  },
  api: {
    enabled: true,
    httpAddress: 'localhost:18080',
    grpcNetwork: 'tcp',
    grpcAddress: 'localhost:19090',
  },
  raft: {
    address: '127.0.0.1:2223',
    nodeId: 'node1',
    isBootstrap: true,
    isSecure: false,
    certFile: '',
    keyFile: '',
    grpcAddress: '127.0.0.1:50051',
    directory: 'raft',
    peers: [],
  },
}

const PLUGINS_DOCUMENTED = {
  enableMetricsMerger: true,
  metricsMergerPeriod: 5000,
  healthCheckPeriod: 5000,
  reloadOnCrash: true,
  timeout: 30_000,
  startTimeout: 60_000,
  defaultPolicy: 'passthrough',
  policyTimeout: 30_000,
  actionTimeout: 30_000,
  actionRedis: { enabled: false, address: 'localhost:6379', channel: 'gatewayd-actions' },
  compatibilityPolicy: 'strict',
  policies: [],
  plugins: [],
}

describe('an empty map of keys means the defaults', () => {
  const readFile = filesOf({ 'postern.yaml': '{}', 'postern_plugins.yaml': '{}' })
  const loaded = loadConfig({ env: {}, readFile })

  test('that GatewayD documents', () => {
    const { loggers, metrics, clients, pools, proxies, servers, api, raft } = loaded.config
    expect<unknown>(loggers.default).toEqual(DOCUMENTED.loggers)
    expect(metrics.default).toEqual(DOCUMENTED.metrics)
    expect(clients.default['writes']).toMatchObject(DOCUMENTED.clients)
    expect(pools.default['writes']?.size).toBe(10)
    expect(proxies.default['writes']?.healthCheckPeriod).toBe(60_000)
    expect(servers.default).toMatchObject(DOCUMENTED.servers)
    expect<unknown>(api).toEqual(DOCUMENTED.api)
    expect(raft).toEqual(DOCUMENTED.raft)
    expect(loaded.plugins).toMatchObject(PLUGINS_DOCUMENTED)
  })

  test('of our own keys', () => {
    const { servers, clients, pools, drainTimeout, workers, workerTimeout } = loaded.config
    const { upgradeTimeout, upgradesMax } = loaded.config
    expect(servers.default).toMatchObject({
      protocol: 'postgres',
      sessionsMax: 10_000,
      requireTLS: false,
      idleTimeout: 0,
      loginTimeout: 60_000,
      messageBytesMax: 16 * 1024 * 1024,
      bufferedBytesMax: 256 * 1024 * 1024,
      auth: '',
    })
    expect(clients.default['writes']?.sslMode).toBe('disable')
    expect(clients.default['writes']?.startupParams).toBeUndefined()
    expect(pools.default['writes']).toMatchObject({ mode: 'none', waitTimeout: 30_000 })
    expect({ drainTimeout, workers }).toEqual({ drainTimeout: 30_000, workers: 1 })
    expect(workerTimeout).toBe(30_000)
    expect({ upgradeTimeout, upgradesMax }).toEqual({ upgradeTimeout: 60_000, upgradesMax: 8 })
    expect(loaded.plugins).toMatchObject({
      observersQueuedMax: 1000,
      resultBytesMax: 64 * 1024 * 1024,
    })
  })

  test('and nothing to be told about', () => expect(loaded.notices).toEqual([]))
})
