import { expect, test } from 'bun:test'
import { announcements, newClientParams, runParams } from '../../src/config/announcements.ts'
import { configFromFlags } from '../../src/config/flags.ts'
import type { Config } from '../../src/config/schema.ts'

function config(overrides: Readonly<Record<string, unknown>> = {}): Config {
  const flags = { upstream: '127.0.0.1:5432', listen: '127.0.0.1:15432', plugins: [] }
  return configFromFlags({ ...flags, overrides }).config
}

test('loggers, pools, proxies and servers are told of in this order', () => {
  expect(announcements(config()).map(({ hook }) => hook)).toEqual([
    'onNewLogger',
    'onNewPool',
    'onNewProxy',
    'onNewServer',
  ])
})

test('every pool is told of by its block, with the size it has in effect', () => {
  for (const [written, size] of [
    ['0', 10],
    ['1', 2],
    ['25', 25],
  ] as const) {
    const pools = announcements(config({ 'pools.default.writes.size': written }))
    expect(pools.find(({ hook }) => hook === 'onNewPool')?.params).toEqual({ name: 'writes', size })
  }
})

test('loggers have the keys and types of the contract', () => {
  const [loggers] = announcements(config())
  const logger: unknown = loggers?.params['default']
  expect(logger).toEqual({
    output: expect.arrayContaining([expect.any(String)]),
    level: expect.any(String),
    timeFormat: expect.any(String),
    consoleTimeFormat: expect.any(String),
    fileName: expect.any(String),
    rsyslogNetwork: expect.any(String),
    rsyslogAddress: expect.any(String),
    syslogPriority: expect.any(String),
    noColor: expect.any(Boolean),
    compress: expect.any(Boolean),
    localTime: expect.any(Boolean),
    maxSize: expect.any(Number),
    maxBackups: expect.any(Number),
    maxAge: expect.any(Number),
  })
})

test('proxies and servers carry the whole tree, durations in nanoseconds', () => {
  const told = announcements(config())
  expect(told.find(({ hook }) => hook === 'onNewProxy')?.params).toEqual({
    default: { writes: { healthCheckPeriod: 60_000_000_000 } },
  })
  expect(told.find(({ hook }) => hook === 'onNewServer')?.params).toEqual({
    default: {
      network: 'tcp',
      address: '127.0.0.1:15432',
      enableTLS: false,
      certFile: '',
      keyFile: '',
      handshakeTimeout: 5_000_000_000,
      enableTicker: false,
      tickInterval: 5_000_000_000,
      loadBalancer: { strategy: 'ROUND_ROBIN', loadBalancingRules: [] },
    },
  })
})

test('a new connection to a database is told of, durations as text', () => {
  const params = newClientParams({
    group: 'default',
    block: 'writes',
    client: config().clients['default']!['writes']!,
    localAddress: '127.0.0.1:40000',
    remoteAddress: '127.0.0.1:5432',
  })
  expect(params).toEqual({
    // SHA-256 of tcp://127.0.0.1:400001000
    id: 'c5a8246a008e16fdabdff9587eacbf9cf892892eaeb807ba9f7eb8eb612765d7',
    name: 'writes',
    group: 'default',
    network: 'tcp',
    address: '127.0.0.1:5432',
    receiveChunkSize: 8192,
    receiveDeadline: '0s',
    receiveTimeout: '0s',
    sendDeadline: '0s',
    dialTimeout: '1m0s',
    tcpKeepAlive: false,
    tcpKeepAlivePeriod: '30s',
    localAddress: '127.0.0.1:40000',
    remoteAddress: '127.0.0.1:5432',
    retries: 3,
    backoff: '1s',
    backoffMultiplier: 2,
    disableBackoffCaps: false,
  })
})

test('where a server runs is told with its name resolved, or why it is not', async () => {
  const asked: string[] = []
  const told = (address: string, network: 'tcp' | 'unix' = 'tcp') =>
    runParams({ network, address }, async (host) => {
      asked.push(host)
      if (host === 'nowhere') throw new Error('no such host')
      return { address: host === 'six' ? '::1' : '10.0.0.7' }
    })
  expect(await told('gateway:6432')).toEqual({ address: '10.0.0.7:6432' })
  expect(await told('six:6432')).toEqual({ address: '[::1]:6432' })
  expect(await told('nowhere:6432')).toEqual({ address: 'nowhere:6432', error: 'no such host' })
  expect(asked).toEqual(['gateway', 'six', 'nowhere'])
  for (const address of ['0.0.0.0:6432', '[::]:6432', ':6432']) {
    expect(await told(address)).toEqual({ address })
  }
  expect(await told('/run/gateway.sock', 'unix')).toEqual({ address: '/run/gateway.sock' })
  expect(asked).toHaveLength(3)
})
