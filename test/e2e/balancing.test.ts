/** Three real servers behind one gateway: who gets a session, and what happens when one goes. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { type RunningGateway, startGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric, mustBeSound, statusOf, until } from '../kit/traffic.ts'
import { openSession } from '../kit/wire.ts'

setDefaultTimeout(30_000)

const BLOCKS = ['one', 'two', 'three'] as const
type Block = (typeof BLOCKS)[number]
type Keys = Readonly<Record<string, unknown>>

let servers: Readonly<Record<Block, PostgresServer>>
beforeAll(async () => {
  const [one, two, three] = await Promise.all(BLOCKS.map(() => startPostgres()))
  servers = { one: one!, two: two!, three: three! }
})
afterAll(async () => {
  await Promise.all(Object.values(servers).map((server) => server.stop()))
})

interface More {
  readonly blocks?: readonly Block[]
  /** Keys of every client, and of the server. */
  readonly client?: Keys
  readonly server?: Keys
}

/** A gateway before all three; probes are frequent, and an answer may take half a second. */
function start(
  loadBalancer: Keys,
  { blocks = BLOCKS, client = {}, server = {} }: More = {},
): Promise<RunningGateway> {
  const each = (keys: (block: Block) => Keys) =>
    Object.fromEntries(blocks.map((block) => [block, keys(block)]))
  return startGateway({
    config: {
      servers: { default: { loadBalancer, ...server } },
      clients: {
        default: each((block) => ({
          address: `127.0.0.1:${servers[block].port}`,
          dialTimeout: '500ms',
          retries: 1,
          ...client,
        })),
      },
      proxies: { default: each(() => ({ healthCheckPeriod: '150ms' })) },
    },
  })
}

/** The block that a new session comes to, by what its server says of itself. */
async function arrival(gateway: RunningGateway, localAddress = '127.0.0.1'): Promise<Block> {
  const { host, port } = gateway
  const at = { host, port, user: 'postgres', database: 'postgres', localAddress }
  const session = await openSession(at)
  const [row] = await session.rows("select current_setting('port')")
  await session.terminate()
  const block = BLOCKS.find((name) => String(servers[name].port) === row?.[0])
  if (block === undefined) throw new Error(`no server has the port ${row?.[0]}`)
  return block
}

async function arrivals(gateway: RunningGateway, count: number): Promise<Record<Block, number>> {
  const counts = { one: 0, two: 0, three: 0 }
  for (let session = 0; session < count; session++) counts[await arrival(gateway)] += 1
  return counts
}

const isUp = (gateway: RunningGateway, block: Block) =>
  metric(gateway, 'postern_upstream_up', { block })

describe('LEAST_CONNECTIONS', () => {
  test('a new session goes where the fewest are, and those that ended are none', async () => {
    await using gateway = await start({ strategy: 'LEAST_CONNECTIONS' })
    const at = { host: gateway.host, port: gateway.port, user: 'postgres', database: 'postgres' }
    const counts = () =>
      Promise.all(BLOCKS.map((block) => metric(gateway, 'postern_upstream_sessions', { block })))
    const wires = []
    for (let session = 0; session < 9; session++) wires.push(await openSession(at))
    expect(await counts()).toEqual([3, 3, 3])
    const [first, second] = [wires[1]!, wires[4]!]
    const port = "select current_setting('port')"
    const home = await first.rows(port)
    expect(await second.rows(port)).toEqual(home)
    await Promise.all([first.terminate(), second.terminate()])
    await until('they are gone', async () => Math.min(...(await counts())) === 1)
    for (const _ of [first, second]) {
      const wire = await openSession(at)
      expect(await wire.rows(port)).toEqual(home)
      wires.push(wire)
    }
    expect(await counts()).toEqual([3, 3, 3])
    for (const wire of wires) wire.destroy()
    await until('all are gone', async () => Math.max(...(await counts())) === 0)
    await mustBeSound(gateway)
  })
})

describe('ROUND_ROBIN', () => {
  let gateway: RunningGateway
  beforeAll(async () => {
    gateway = await start({ strategy: 'ROUND_ROBIN' })
  })
  afterAll(async () => {
    await mustBeSound(gateway)
    expect((await gateway.stop()).status).toBe(0)
  })

  test('shares evenly, and every server is known before the first client', async () => {
    await until('all are probed', async () => {
      const { upstreams } = await statusOf(gateway)
      return upstreams.every(({ reachable }) => reachable === true)
    })
    expect(await arrivals(gateway, 9)).toEqual({ one: 3, two: 3, three: 3 })
  })

  test('a server that is shut down is missed by nobody, and gets its share later', async () => {
    const name = `127.0.0.1:${servers.two.port} (clients.default.two)`
    await servers.two.shutDown()
    expect(await arrivals(gateway, 12)).toMatchObject({ two: 0 })
    await gateway.logged(`upstream ${name} is out: ECONNREFUSED`)
    expect(await arrivals(gateway, 12)).toEqual({ one: 6, two: 0, three: 6 })
    expect(await isUp(gateway, 'two')).toBe(0)
    expect(await isUp(gateway, 'one')).toBe(1)
    const down = (await statusOf(gateway)).upstreams.find(({ block }) => block === 'two')
    expect(down).toMatchObject({ reachable: false, lastError: 'ECONNREFUSED' })
    await servers.two.startUp()
    await gateway.logged(`upstream ${name} is back`)
    expect(await arrivals(gateway, 9)).toEqual({ one: 3, two: 3, three: 3 })
    expect(gateway.log().split(`${name} is`)).toHaveLength(3)
    expect(await metric(gateway, 'postern_upstream_probe_failures_total')).toBe(0)
    const failed = { block: 'two' }
    expect(await metric(gateway, 'postern_upstream_probe_failures_total', failed)).toBeGreaterThan(
      1,
    )
  })

  test('a server that accepts but hangs is found by its probe', async () => {
    const { pid } = servers.three
    process.kill(pid, 'SIGSTOP')
    try {
      await gateway.logged('(clients.default.three) is out: no answer within 500 ms')
      expect(await arrivals(gateway, 8)).toEqual({ one: 4, two: 4, three: 0 })
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await gateway.logged('(clients.default.three) is back')
    expect(await arrivals(gateway, 3)).toEqual({ one: 1, two: 1, three: 1 })
  })

  test('when all are gone each client is told, and served as soon as one is back', async () => {
    await Promise.all(BLOCKS.map((block) => servers[block].shutDown()))
    const refused = await arrival(gateway).catch((error: unknown) => error)
    expect(String(refused)).toContain('the database behind this gateway cannot be reached')
    await servers.one.startUp()
    expect(await arrivals(gateway, 4)).toEqual({ one: 4, two: 0, three: 0 })
    await Promise.all([servers.two.startUp(), servers.three.startUp()])
  })
})

test('connections that are logged in already are shared out alike, and fail over', async () => {
  const { user, password, database } = servers.one
  const logsIn = { client: { startupParams: { user, password, database } } }
  await using gateway = await start({}, { ...logsIn, server: { auth: 'trust' } })
  expect(await arrivals(gateway, 9)).toEqual({ one: 3, two: 3, three: 3 })
  await servers.two.shutDown()
  const without = await arrivals(gateway, 8)
  expect(without).toMatchObject({ two: 0 })
  expect(without.one + without.three).toBe(8)
  await servers.two.startUp()
  await until('it is back', async () => (await isUp(gateway, 'two')) === 1)
  expect(await arrivals(gateway, 6)).toEqual({ one: 2, two: 2, three: 2 })
})

test('WEIGHTED_ROUND_ROBIN shares by the weights, and blocks without one get nothing', async () => {
  const distribution = [
    { proxyName: 'one', weight: 3 },
    { proxyName: 'two', weight: 1 },
  ]
  const loadBalancingRules = [{ condition: 'DEFAULT', distribution }]
  await using gateway = await start({ strategy: 'WEIGHTED_ROUND_ROBIN', loadBalancingRules })
  expect(await arrivals(gateway, 24)).toEqual({ one: 18, two: 6, three: 0 })
})

test('clients stay on their block on every gateway; if it goes, only they move', async () => {
  const balanced = { consistentHash: { useSourceIp: true } }
  await using first = await start(balanced)
  await using second = await start(
    { ...balanced, strategy: 'RANDOM' },
    { blocks: ['three', 'one', 'two'] },
  )
  const clients = Array.from({ length: 16 }, (_, at) => `127.0.0.${at + 2}`)
  const homes = new Map<string, Block>()
  for (const client of clients) homes.set(client, await arrival(first, client))
  expect(new Set(homes.values())).toEqual(new Set(BLOCKS))
  for (const client of clients) expect(await arrival(second, client)).toBe(homes.get(client)!)

  await servers.two.shutDown()
  for (const client of clients) {
    const home = homes.get(client)!
    const now = await arrival(first, client)
    expect(now === home).toBe(home !== 'two')
    expect(await arrival(second, client)).toBe(now)
  }
  await servers.two.startUp()
  await until('it is back', async () => (await isUp(first, 'two')) === 1)
  for (const client of clients) expect(await arrival(first, client)).toBe(homes.get(client)!)
})
