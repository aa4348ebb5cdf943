/** From the configuration of a group to its upstreams, and to who gets a session. */
import { expect, test } from 'bun:test'
import { pino } from 'pino'
import { loadConfig } from '../../src/config/load.ts'
import { balancerOf, createUpstreams } from '../../src/tcp/upstreams.ts'
import { filesOf } from '../config/golden.ts'
import { freePort } from '../kit/free-port.ts'

/** The upstreams of a group with these keys, and what they log. */
function create(yaml: string) {
  const { config } = loadConfig({ env: {}, readFile: filesOf({ 'postern.yaml': yaml }) })
  const lines: { readonly level: number; readonly msg: string }[] = []
  let logged = Promise.withResolvers<void>()
  const log = pino(
    {},
    {
      write: (line: string) => {
        lines.push(JSON.parse(line))
        logged.resolve()
        logged = Promise.withResolvers()
      },
    },
  )
  const server = config.servers.default
  const upstreams = createUpstreams({
    group: 'default',
    server,
    clients: config.clients.default,
    proxies: config.proxies.default,
    log,
  })
  const balancer = balancerOf(upstreams, server.loadBalancer)
  return { upstreams, balancer, lines, logged: () => logged.promise }
}

test('every block becomes an upstream, with the limits of its own', () => {
  const { upstreams } = create(`
clients:
  default:
    a: { address: "one:1", tcpKeepAlive: true, receiveTimeout: 3s, sendDeadline: 4s }
    b: { network: unix, address: /run/b.sock, receiveDeadline: 5s }
`)
  const none = { receiveDeadlineMs: 0, receiveTimeoutMs: 0, sendDeadlineMs: 0 }
  expect(upstreams).toMatchObject([
    {
      block: 'a',
      address: 'one:1',
      keepAliveMs: 30_000,
      patience: { ...none, receiveTimeoutMs: 3000, sendDeadlineMs: 4000 },
    },
    { block: 'b', address: '/run/b.sock', patience: { ...none, receiveDeadlineMs: 5000 } },
  ])
})

test('the first rule gives the weights, by names in any case', () => {
  const { balancer } = create(`
clients: { default: { a: { address: ":1" }, b: { address: ":2" }, c: { address: ":3" } } }
servers:
  default:
    loadBalancer:
      strategy: WEIGHTED_ROUND_ROBIN
      loadBalancingRules:
        - distribution: [{ proxyName: B, weight: 2 }, { proxyName: a, weight: 1 }]
        - distribution: [{ proxyName: c, weight: 9 }]
`)
  const blocks = Array.from({ length: 6 }, () => balancer.next({}).block)
  expect(blocks.sort()).toEqual(['a', 'a', 'b', 'b', 'b', 'b'])
})

test('clients stay on a block where consistentHash stands, even empty', () => {
  const group = 'clients: { default: { a: { address: ":1" }, b: { address: ":2" } } }'
  const client = { remoteAddress: '10.0.0.1', remotePort: 5 }
  for (const [hash, blocks] of [
    ['', 2],
    ['servers: { default: { loadBalancer: { consistentHash: {} } } }', 1],
    ['servers: { default: { loadBalancer: { consistentHash: { useSourceIp: true } } } }', 1],
  ] as const) {
    const { balancer } = create(`${group}\n${hash}`)
    expect(new Set([balancer.next(client), balancer.next(client)]).size).toBe(blocks)
  }
})

test('going out is a warning and coming back a word, with the address and the cause', async () => {
  const port = await freePort()
  const { upstreams, lines, logged } = create(`
servers: { default: { protocol: raw } }
clients: { default: { a: { address: "127.0.0.1:${port}", retries: 0 } } }
proxies: { default: { a: { healthCheckPeriod: 5ms } } }
`)
  for (const upstream of upstreams) upstream.watch()
  await logged()
  // With another protocol a connection is answer enough.
  using server = Bun.listen({ hostname: '127.0.0.1', port, socket: { data: () => {} } })
  expect(server.port).toBe(port)
  await logged()
  for (const upstream of upstreams) await upstream.stop()
  const name = `127.0.0.1:${port} (clients.default.a)`
  expect(lines).toMatchObject([
    { level: 40, msg: `upstream ${name} is out: ECONNREFUSED`, group: 'default', block: 'a' },
    { level: 30, msg: `upstream ${name} is back`, group: 'default', block: 'a' },
  ])
})
