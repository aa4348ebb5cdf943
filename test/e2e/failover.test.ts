/**
 * A primary that fails under a writer: two real PostgreSQL servers with streaming replication, and
 * the writes move to the standby when it is promoted, by themselves.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { dirname, join } from 'node:path'
import { Client } from 'pg'
import { startup } from '../kit/frontend.ts'
import { gatewayBinary, type RunningGateway, startGateway } from '../kit/gateway.ts'
import { type PostgresServer, STANDBY_NAME, startPostgres } from '../kit/postgres.ts'
import { metric, mustBeSound, statusOf, until } from '../kit/traffic.ts'
import { connectWire, openSession, type Wire } from '../kit/wire.ts'
import { type Entry, sha256 } from './plugins-scene.ts'

setDefaultTimeout(40_000)

/** After a promotion writes must go on within this time. */
const WRITES_WITHIN_MS = 5000
/** Between the first numbers of two writers, so that each number is tried once. */
const NUMBERS_APART = 1_000_000

const startedAtMs = performance.now()
let primary: PostgresServer
let standby: PostgresServer
beforeAll(async () => {
  // An acknowledged commit is on both, so that the databases themselves lose none.
  const settings = { synchronous_commit: 'on' }
  primary = await startPostgres({ settings })
  standby = await startPostgres({ standbyOf: primary, settings })
})
afterAll(async () => {
  await standby.stop()
  await primary.stop()
})

interface Shape {
  /** The gateway logs in by itself, and lends connections. */
  readonly pooled: boolean
  /** A failover is noticed whatever it is; that an old primary is back is not. */
  readonly healthCheckPeriod: string
  readonly plugins?: readonly Entry[]
}

/** A plugin that comes with the gateway. */
function shipped(name: string): Entry {
  const localPath = join(dirname(gatewayBinary()), `plugins/${name}.wasm`)
  return { name, localPath, checksum: sha256(localPath), required: true }
}

function startBoth({ pooled, healthCheckPeriod, plugins = [] }: Shape): Promise<RunningGateway> {
  const { user, password, database } = primary
  const login = { user, password, database }
  const at = ({ port }: PostgresServer, role: string) => ({
    ...{ address: `127.0.0.1:${port}`, role },
    ...(pooled ? { startupParams: login } : { probeParams: login }),
  })
  const clients = {
    writes: at(primary, 'primary'),
    writes2: at(standby, 'primary'),
    reads: at(standby, 'standby'),
  }
  const periods = Object.keys(clients).map((block) => [block, { healthCheckPeriod }])
  return startGateway({
    config: {
      clients: { default: clients },
      servers: { default: pooled ? { auth: 'trust' } : {} },
      proxies: { default: Object.fromEntries(periods) },
    },
    ...(plugins.length === 0 ? {} : { plugins: { plugins } }),
  })
}

/** A gateway with one block for the primary, at the standby. */
function startMisplaced(): Promise<RunningGateway> {
  const { user, password, database, port } = standby
  const startupParams = { user, password, database }
  const writes = { address: `127.0.0.1:${port}`, role: 'primary', startupParams }
  return startGateway({
    config: { clients: { default: { writes } }, servers: { default: { auth: 'trust' } } },
  })
}

const enter = ({ host, port }: RunningGateway): Promise<Wire> =>
  openSession({ host, port, user: 'postgres', database: 'postgres', timeoutMs: 10_000 })

/** Writes numbers, each tried once; a client that connects again when it must. */
class Writer {
  readonly acknowledged: number[] = []
  /** Every reason why a number was not acknowledged. */
  readonly errors: string[] = []
  #next: number
  #stopped = false
  readonly #running: Promise<void>

  constructor(gateway: RunningGateway, first: number) {
    this.#next = first
    this.#running = this.#run(gateway)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #run(gateway: RunningGateway): Promise<void> {
    while (!this.#stopped) {
      try {
        using wire = await enter(gateway)
        while (!this.#stopped) await this.#write(wire)
      } catch (error) {
        this.errors.push(String(error))
        await Bun.sleep(20)
      }
    }
  }

  async #write(wire: Wire): Promise<void> {
    const number = this.#next++
    await wire.rows(`insert into written values (${number})`)
    this.acknowledged.push(number)
  }
}

/** Where a session reads, and where it writes; it is tried until there is a session for both. */
async function portsOf(gateway: RunningGateway): Promise<number[]> {
  const port = "select current_setting('port')"
  for (;;) {
    try {
      using wire = await enter(gateway)
      const read = await wire.rows(port)
      const written = await wire.rows(`begin; ${port}; commit`)
      return [Number(read[0]![0]), Number(written[0]![0])]
    } catch (error) {
      if (performance.now() - startedAtMs > 30_000) throw error
      await Bun.sleep(20)
    }
  }
}

/** A driver that sends parameters reads at the standby, and what it writes comes there too. */
async function mustSplitDriver({ host, port }: RunningGateway): Promise<void> {
  const client = new Client({ host, port, user: 'ann', database: 'postgres' })
  await client.connect()
  const read = "select current_setting('port')::int as port, $1::int as asked"
  expect((await client.query(read, [7])).rows).toEqual([{ port: standby.port, asked: 7 }])
  const number = -1
  await client.query('insert into written values ($1)', [number])
  await client.query('begin')
  expect((await client.query(read, [8])).rows).toEqual([{ port: primary.port, asked: 8 }])
  await client.query('commit')
  await until('the standby has it', async () => {
    const { rows } = await client.query('select from written where number = $1', [number])
    return rows.length === 1
  })
  expect((await client.query(read, [9])).rows).toEqual([{ port: standby.port, asked: 9 }])
  await client.end()
}

const roleOf = (gateway: RunningGateway, block: string, role: string): Promise<number> =>
  metric(gateway, 'postern_upstream_role', { block, role })

/** What the status tells of each block. */
async function rolesIn(gateway: RunningGateway): Promise<Readonly<Record<string, unknown>>> {
  const { upstreams } = await statusOf(gateway)
  return Object.fromEntries(upstreams.map(({ block, role }) => [block, role]))
}

async function replicateSynchronously(): Promise<void> {
  using admin = await openSession(primary)
  await admin.query('create table written (number integer)')
  await admin.query(`alter system set synchronous_standby_names = '${STANDBY_NAME}'`)
  await admin.query('select pg_reload_conf()')
  await until('replication is synchronous', async () => {
    const rows = await admin.rows("select from pg_stat_replication where sync_state = 'sync'")
    return rows.length === 1
  })
}

/** Every acknowledged number is there, and no number twice. */
async function mustBeComplete(writers: readonly Writer[], witness: Wire): Promise<void> {
  const written = (await witness.rows('select number from written')).map(([row]) => Number(row))
  const there = new Set(written)
  expect(there.size).toBe(written.length)
  for (const { acknowledged } of writers) {
    expect(acknowledged.filter((number) => !there.has(number))).toEqual([])
  }
}

test('a client that would write is told that there is no primary', async () => {
  await using gateway = await startMisplaced()
  using wire = await connectWire(gateway)
  wire.send(startup({ user: 'ann', database: 'postgres' }))
  const told = await wire.readUntil('ErrorResponse')
  expect(told.at(-1)).toMatchObject({
    severity: 'FATAL',
    code: '57P03',
    message: 'no database of this gateway takes writes now (writes of group default)',
  })
  await wire.closed()
})

test('writes go on at the promoted standby; none is lost, and none is made twice', async () => {
  await replicateSynchronously()
  await using pooled = await startBoth({ pooled: true, healthCheckPeriod: '60s' })
  await using direct = await startBoth({ pooled: false, healthCheckPeriod: '1s' })
  const gateways = [pooled, direct]
  for (const gateway of gateways) {
    await until('roles are known', async () => (await roleOf(gateway, 'writes2', 'standby')) === 1)
  }
  expect(await rolesIn(direct)).toEqual({
    writes: { wanted: 'primary', known: 'primary', fits: true },
    writes2: { wanted: 'primary', known: 'standby', fits: false },
    reads: { wanted: 'standby', known: 'standby', fits: true },
  })
  await using splitting = await startBoth({
    ...{ pooled: true, healthCheckPeriod: '60s' },
    plugins: [shipped('read-write-split')],
  })
  expect(await portsOf(splitting)).toEqual([standby.port, primary.port])
  await mustSplitDriver(splitting)
  const writers = gateways.map((gateway, index) => new Writer(gateway, index * NUMBERS_APART))
  await until('much is written', () => writers.every(({ acknowledged: { length } }) => length > 50))

  await primary.shutDown()
  const failed = writers.map(({ acknowledged }) => acknowledged.length)
  await Bun.sleep(300)
  using witness = await openSession(standby)
  expect(await witness.rows('select pg_promote(true, 30)')).toEqual([['t']])
  const promotedAtMs = performance.now()
  await until('writes go on', () =>
    writers.every(({ acknowledged }, index) => acknowledged.length > failed[index]! + 20),
  )
  const firstWithinMs = performance.now() - promotedAtMs
  for (const writer of writers) await writer.stop()
  expect(firstWithinMs).toBeLessThan(WRITES_WITHIN_MS)

  await mustBeComplete(writers, witness)
  for (const gateway of gateways) {
    expect(await metric(gateway, 'postern_upstream_promotions_total', { block: 'writes2' })).toBe(1)
    expect(await roleOf(gateway, 'writes2', 'primary')).toBe(1)
    expect(gateway.log()).toContain('(clients.default.writes2); before it was')
  }

  // Nobody is a standby now: reads are answered all the same, and writes where they are taken.
  expect(await portsOf(splitting)).toEqual([standby.port, standby.port])
  expect(await metric(splitting, 'postern_upstream_promotions_total', { block: 'writes2' })).toBe(1)

  // The old primary comes back as it was, and nobody has told it: it gets nothing.
  await primary.startUp()
  await direct.logged('says that it is the primary too, and gets no sessions')
  const after = await rolesIn(direct)
  expect(after).toMatchObject({ writes: { known: 'primary', fits: false } })
  expect(after).toMatchObject({ writes2: { known: 'primary', fits: true } })
  for (const gateway of gateways) {
    using wire = await enter(gateway)
    expect(await wire.rows("select current_setting('port')")).toEqual([[String(standby.port)]])
    await mustBeSound(gateway)
  }
})
