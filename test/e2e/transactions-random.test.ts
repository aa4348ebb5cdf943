/**
 * Random work of several clients at once on a pool of two connections: each of them must see what
 * it sees when it is alone with the database. POSTERN_LONG=1 tries more; POSTERN_SEED repeats one.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import type { BackendMessage } from '../kit/backend.ts'
import { describe as ask, bind, close, execute, parse, query, sync } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { comparable, isLast, type Random, randomPipeline, seeded } from '../kit/pipelines.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric, mustBeSound } from '../kit/traffic.ts'
import { openSession, type Wire } from '../kit/wire.ts'
import { startShared } from './pools-scene.ts'

const IS_LONG = process.env['POSTERN_LONG'] === '1'
const SEED = Number(process.env['POSTERN_SEED'] ?? 1)
const CLIENTS = 5
const PIPELINES = IS_LONG ? 4_000 : 150
const STEPS = IS_LONG ? 30_000 : 600

/** What PostgreSQL 18 says behind some pipelines that have a simple query in them. */
const OUT_OF_STEP = 'error XX000'

setDefaultTimeout(IS_LONG ? 600_000 : 60_000)

let server: PostgresServer
let gateway: RunningGateway
beforeAll(async () => {
  server = await startPostgres()
  using wire = await openSession(server)
  await wire.query('create table t (i int); create table work (client int, n int)')
  gateway = await startShared(server, { preparedStatementsMax: 5 })
})
afterAll(async () => {
  await gateway.stop()
  await server.stop()
})

type Place = 'direct' | 'shared'

function open(place: Place): Promise<Wire> {
  const { host, port } = place === 'direct' ? server : gateway
  const params = { application_name: 'random' }
  return openSession({ host, port, user: 'postgres', database: 'postgres', params })
}

/** All clients at once, as each of them sees it. */
function seen<Seen>(place: Place, act: (wire: Wire, client: number) => Promise<Seen>) {
  const clients = Array.from({ length: CLIENTS }, (_, client) => client)
  return Promise.all(
    clients.map(async (client) => {
      using wire = await open(place)
      return await act(wire, client)
    }),
  )
}

async function readToLast(wire: Wire): Promise<BackendMessage[]> {
  const all: BackendMessage[] = []
  for (;;) {
    const read = await wire.read()
    all.push(read)
    if (isLast(read)) return [...all, ...(await wire.readUntil('ReadyForQuery'))]
  }
}

/** Without the first message, which makes a table that ties a client to its connection. */
async function pipelines(wire: Wire, client: number): Promise<string[][]> {
  const random = seeded(SEED * 1_000 + client)
  const all: string[][] = []
  for (let count = 0; count < PIPELINES; count++) {
    const reading = readToLast(wire)
    const bytes = Buffer.concat(randomPipeline(random).plain.slice(1))
    for (let at = 0; at < bytes.length; ) {
      const size = random.chance(0.2) ? 1 + random.below(9) : 1 + random.below(400)
      wire.send(bytes.subarray(at, at + size))
      at += size
      if (random.chance(0.2)) await Bun.sleep(0)
    }
    all.push((await reading).map(comparable))
    // The names that are left are those of this pipeline alone.
    wire.send(query('deallocate all'))
    await wire.readUntil('ReadyForQuery')
  }
  return all
}

test('pipelines of any kind read as they do without a pool', async () => {
  const direct = await seen('direct', pipelines)
  const shared = await seen('shared', pipelines)
  for (const [client, all] of shared.entries()) {
    for (const [pipeline, replies] of all.entries()) {
      const expected = direct[client]![pipeline]!
      // A server that is out of step fails what comes next, but only whoever has brought it there.
      if (expected.includes(OUT_OF_STEP)) continue
      expect({ client, pipeline, replies }).toEqual({ client, pipeline, replies: expected })
    }
  }
  expect(await metric(gateway, 'postern_pool_pinned_sessions')).toBe(0)
  await mustBeSound(gateway)
})

const ZONES = ['UTC', 'Asia/Tokyo', 'America/New_York']

/** One exchange of a client, whose table rows nobody else touches. */
function step(random: Random, client: number): Uint8Array[] {
  const number = random.below(100)
  const [name, other] = [`s${random.below(12)}`, `s${random.below(12)}`]
  const values = [String(number % 4)]
  const texts = [
    'select 12/($1::int + 0 * pg_backend_pid())',
    `select ${number % 12} + $1::int`,
    `select count(*) + $1::int from work where client = ${client}`,
    "select '2020-01-01 00:00+00'::timestamptz, $1::int",
  ]
  const kinds: (() => Uint8Array[])[] = [
    () => [query(random.pick(['begin', 'commit', 'rollback', 'begin', 'commit']))],
    () => [query(`insert into work values (${client}, ${number})`)],
    () => [query(`update work set n = n + 1 where client = ${client} and n > ${number}`)],
    () => [query(`select count(*), sum(n) from work where client = ${client}`)],
    () => [query(`select ${number}/${random.pick([0, 1])}`)],
    () => [query(`set timezone = '${random.pick(ZONES)}'`)],
    () => [query(`set local timezone = '${random.pick(ZONES)}'`)],
    () => [query("select current_setting('timezone'), '2020-01-01 00:00+00'::timestamptz")],
    () => [query(`set application_name = 'c${number}'`)],
    () => [query("select current_setting('application_name')")],
    () => [query('reset timezone')],
    () => [parse({ name, sql: random.pick(texts) }), sync()],
    () => [bind({ statement: name, values: [String(number)] }), execute(), sync()],
    () => [bind({ statement: name, values: [String(number)] }), ask(), execute(), sync()],
    () => [ask('statement', name), sync()],
    () => [close('statement', name), sync()],
    // Of several in one pipeline those behind a failure mean nothing.
    () => [
      parse({ sql: 'bad syntax' }),
      random.pick([parse({ name, sql: random.pick(texts) }), close('statement', name)]),
      parse({ name: other, sql: random.pick(texts) }),
      sync(),
    ],
    () => [
      parse({ name, sql: random.pick(texts) }),
      parse({ name: other, sql: random.pick(texts) }),
      sync(),
    ],
    () => [
      bind({ statement: name, values }),
      execute(),
      bind({ statement: other, values }),
      execute(),
      sync(),
    ],
    () => [
      ...(random.chance(0.3) ? [bind({ statement: other, values }), execute()] : []),
      close('statement', name),
      parse({ name, sql: random.pick(texts) }),
      bind({ statement: name, values }),
      execute(),
      sync(),
    ],
    () => [parse({ sql: random.pick(texts) }), bind({ values: ['1'] }), execute(), sync()],
    () => [parse({ sql: random.pick(texts) }), sync()],
    () => [bind({ values: [String(number)] }), execute(), sync()],
  ]
  return random.pick(kinds)()
}

async function transactions(wire: Wire, client: number): Promise<string[]> {
  const random = seeded(SEED * 2_000 + client)
  const all: string[] = []
  for (let count = 0; count < STEPS; count++) {
    wire.send(...step(random, client))
    all.push(...(await wire.readUntil('ReadyForQuery')).map(comparable))
  }
  await wire.query('rollback')
  return all
}

test('transactions, settings and statements are those of each client', async () => {
  const direct = await seen('direct', transactions)
  await (await open('direct')).query('truncate work')
  const shared = await seen('shared', transactions)
  for (const [client, replies] of shared.entries()) {
    expect({ client, replies }).toEqual({ client, replies: direct[client]! })
  }
  expect(await metric(gateway, 'postern_pool_pinned_sessions')).toBe(0)
  expect(await metric(gateway, 'postern_pool_statements_evicted_total')).toBeGreaterThan(0)
  await mustBeSound(gateway)
})
