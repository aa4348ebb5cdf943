/**
 * Sessions of a pool that plugins of both runtimes send to another block, transaction by
 * transaction: what follows them, what they leave behind, and where they cannot go.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { freePort } from '../kit/free-port.ts'
import { bind, cancelRequest, execute, parse, query, sync } from '../kit/frontend.ts'
import { type RunningGateway, startGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric, mustBeSound, until, waits } from '../kit/traffic.ts'
import { connectWire, openSession, type Wire } from '../kit/wire.ts'
import { buildPlugins, entryOf, scripted, stepFailures } from './plugins-scene.ts'

setDefaultTimeout(30_000)

let writes: PostgresServer
let replica: PostgresServer
/** For the tests to which it is nothing what others have done before. */
let gateway: RunningGateway
beforeAll(async () => {
  await buildPlugins()
  writes = await startPostgres({ settings: { cluster_name: 'writes' } })
  replica = await startPostgres({ settings: { cluster_name: 'replica' } })
  gateway = await startRouted()
})
afterAll(async () => {
  await mustBeSound(gateway, ['step_failures'])
  await gateway.stop()
  await writes.stop()
  await replica.stop()
})

/** `/*a:route*\/` goes to the replica, by a WASM plugin; `/*b:route*\/` back, by one of gRPC. */
const PLUGINS = [
  { file: 'verdicts.wasm', name: 'a' },
  { file: 'scripted', name: 'b' },
] as const
const THERE = '/*a:route*/'
const BACK = '/*b:route*/'
const WHERE = "select current_setting('cluster_name')"

function startRouted(
  others: Readonly<Record<string, number>> = {},
  mode = 'session',
): Promise<RunningGateway> {
  const { user, password, database } = writes
  const startupParams = { user, password, database }
  const at = (port: number) => ({ address: `127.0.0.1:${port}`, retries: 0, startupParams })
  const clients = { writes: at(writes.port), replica: at(others['replica'] ?? replica.port) }
  const shares = [{ proxyName: 'writes', weight: 1 }]
  return startGateway({
    config: {
      clients: { default: clients },
      servers: {
        default: {
          auth: 'trust',
          loadBalancer: {
            strategy: 'WEIGHTED_ROUND_ROBIN',
            loadBalancingRules: [{ distribution: shares }],
          },
        },
      },
      pools: { default: { writes: { size: 3, mode }, replica: { size: 3, mode } } },
    },
    plugins: {
      plugins: PLUGINS.map(({ file, name }) =>
        file === 'scripted'
          ? scripted({ TAG: name, NAME: name, BLOCK: 'writes' }, { name })
          : entryOf(file, { name, config: { tag: name } }),
      ),
    },
  })
}

function enter(into: RunningGateway, params: Record<string, string> = {}): Promise<Wire> {
  const { host, port } = into
  return openSession({ host, port, user: 'ann', database: 'postgres', params })
}

async function whereFrom(wire: Wire, marker = ''): Promise<string> {
  const [row] = await wire.rows(`${WHERE} ${marker}`)
  return String(row![0])
}

const routed = (block: string): Promise<number> =>
  metric(gateway, 'postern_routed_total', { block })

describe('a session in a pool goes to another block', () => {
  test('between two transactions, there and back, and stays until it is sent away', async () => {
    using wire = await enter(gateway)
    expect(await whereFrom(wire)).toBe('writes')
    expect(await whereFrom(wire, THERE)).toBe('replica')
    expect(await whereFrom(wire)).toBe('replica')
    await wire.query(`begin ${BACK}`)
    expect(await whereFrom(wire)).toBe('writes')
    await wire.query('commit')
    expect(await whereFrom(wire, THERE)).toBe('replica')
    expect(await routed('replica')).toBe(2)
    expect(await routed('writes')).toBe(1)
  })

  test('with its very first statement, and in the extended protocol', async () => {
    using wire = await enter(gateway)
    wire.send(parse({ sql: `${WHERE} ${THERE}` }), bind(), execute(), sync())
    const reply = await wire.readUntil('ReadyForQuery')
    expect(reply).toContainEqual(expect.objectContaining({ values: ['replica'] }))
  })

  test('and takes with it the settings that it asked for when it connected', async () => {
    using wire = await enter(gateway, { TimeZone: 'Asia/Tokyo', application_name: 'till 4' })
    const asked = "select current_setting('TimeZone'), current_setting('application_name')"
    expect(await wire.rows(asked)).toEqual([['Asia/Tokyo', 'till 4']])
    expect(await wire.rows(`${asked} ${THERE}`)).toEqual([['Asia/Tokyo', 'till 4']])
  })

  test('and leaves a clean connection to whoever comes next', async () => {
    await using gateway = await startRouted()
    using wire = await enter(gateway)
    await wire.query("set search_path = pg_catalog; select set_config('planted.x', 'y', false)")
    const [pid] = await wire.rows('select pg_backend_pid()')
    expect(await whereFrom(wire, THERE)).toBe('replica')
    await until('it is kept', async () => {
      const kept = { block: 'writes', state: 'kept' }
      return (await metric(gateway, 'postern_pool_connections', kept)) === 1
    })
    using next = await enter(gateway)
    expect(await next.rows('select pg_backend_pid()')).toEqual([pid!])
    expect(await next.rows("select current_setting('planted.x', true)")).toEqual([['']])
  })

  test('where its CancelRequest finds it', async () => {
    using wire = await connectWire(gateway)
    const { pid, secret } = await wire.login({ user: 'ann', database: 'postgres' })
    const [row] = await wire.rows(`select pg_backend_pid() ${THERE}`)
    using witness = await openSession(replica)
    wire.send(query('select pg_sleep(60)'))
    await waits(witness, Number(row![0]), 'PgSleep')
    using canceller = await connectWire(gateway)
    canceller.send(cancelRequest(pid, secret))
    expect((await wire.readUntil('ReadyForQuery')).at(-2)).toMatchObject({ code: '57014' })
  })
})

describe('a session in a pool stays where it is, and the step has failed', () => {
  test('within a transaction', async () => {
    using wire = await enter(gateway)
    const before = await stepFailures(gateway, 'a')
    await wire.query('begin')
    expect(await whereFrom(wire, THERE)).toBe('writes')
    await wire.query('commit')
    expect(await stepFailures(gateway, 'a')).toBe(before + 1)
    expect(await whereFrom(wire, THERE)).toBe('replica')
  })

  test('while an earlier statement is not answered yet', async () => {
    using wire = await enter(gateway)
    const before = await stepFailures(gateway, 'a')
    wire.send(query('select pg_sleep(0.05)'), query(`${WHERE} ${THERE}`))
    await wire.readUntil('ReadyForQuery')
    expect(await wire.readUntil('ReadyForQuery')).toContainEqual(
      expect.objectContaining({ values: ['writes'] }),
    )
    expect(await stepFailures(gateway, 'a')).toBe(before + 1)
  })

  test('once it has prepared a statement by name, which would stay behind', async () => {
    using wire = await enter(gateway)
    const before = await stepFailures(gateway, 'a')
    wire.send(parse({ name: 'mine', sql: WHERE }), sync())
    await wire.readUntil('ReadyForQuery')
    expect(await whereFrom(wire, THERE)).toBe('writes')
    expect(await stepFailures(gateway, 'a')).toBe(before + 1)
    wire.send(bind({ statement: 'mine' }), execute(), sync())
    expect(await wire.readUntil('ReadyForQuery')).toContainEqual(
      expect.objectContaining({ values: ['writes'] }),
    )
  })
})

test('where transactions share connections, statements and settings go along', async () => {
  await using gateway = await startRouted({}, 'transaction')
  using wire = await enter(gateway)
  await wire.query("set timezone = 'Asia/Tokyo'")
  wire.send(parse({ name: 'mine', sql: WHERE }), sync())
  await wire.readUntil('ReadyForQuery')
  const mine = async (): Promise<unknown> => {
    wire.send(bind({ statement: 'mine' }), execute(), sync())
    const reply = await wire.readUntil('ReadyForQuery')
    return reply.flatMap((each) => (each.name === 'DataRow' ? [...each.values] : []))
  }
  for (let round = 0; round < 3; round++) {
    expect(await whereFrom(wire, THERE)).toBe('replica')
    expect(await mine()).toEqual(['replica'])
    expect(await wire.rows("select current_setting('timezone')")).toEqual([['Asia/Tokyo']])
    expect(await whereFrom(wire, BACK)).toBe('writes')
    expect(await mine()).toEqual(['writes'])
  }
  await wire.query('begin')
  expect(await whereFrom(wire, THERE)).toBe('writes')
  await wire.query('commit; listen news')
  // It has its connection for itself now.
  expect(await whereFrom(wire, THERE)).toBe('writes')
  await mustBeSound(gateway, ['step_failures'])
})

test('a block that cannot be reached ends the session, with the name of the block', async () => {
  await using gateway = await startRouted({ replica: await freePort() })
  using wire = await enter(gateway)
  expect(await whereFrom(wire)).toBe('writes')
  wire.send(query(`${WHERE} ${THERE}`))
  expect(await wire.expect('ErrorResponse')).toMatchObject({
    severity: 'FATAL',
    code: '08006',
    message: expect.stringContaining('(replica)'),
  })
  await wire.closed()
})

test('many sessions that go to and fro all get what is theirs', async () => {
  const wires = await Promise.all(Array.from({ length: 6 }, () => enter(gateway)))
  const turns = wires.map(async (wire, index) => {
    for (let turn = 0; turn < 15; turn++) {
      const there = (turn + index) % 3 !== 0
      const sql = `select current_setting('cluster_name'), ${index * 100 + turn}`
      const expected = [[there ? 'replica' : 'writes', String(index * 100 + turn)]]
      expect(await wire.rows(`${sql} ${there ? THERE : BACK}`)).toEqual(expected)
      // Others wait for a connection while this one has one.
      if (turn === 14) await wire.terminate()
    }
  })
  await Promise.all(turns)
})
