/** What clients say from startup to Terminate: recorded from drivers, or made up at random. */
import { Client } from 'pg'
import postgres from 'postgres'
import {
  concat,
  copyData,
  copyDone,
  extendedQuery,
  flush,
  gssRequest,
  PROTOCOL_3_0,
  PROTOCOL_3_2,
  query,
  sslRequest,
  startup,
  terminate,
} from '../../kit/frontend.ts'
import { type Random, randomPipeline } from '../../kit/pipelines.ts'
import type { PostgresServer } from '../../kit/postgres.ts'
import { startRelay } from './relay.ts'

export interface Recording {
  /** Sent first, and answered by one byte before the rest is sent. */
  readonly asks: Uint8Array | null
  readonly said: Uint8Array
}

/** A version of the protocol that no server knows: it is negotiated down. */
const PROTOCOL_3_77 = PROTOCOL_3_0 + 77

async function driveWithPg(at: PostgresServer): Promise<void> {
  const { host, port, user, database } = at
  const client = new Client({ host, port, user, database, application_name: 'recorded' })
  await client.connect()
  await client.query('create temp table r (id int, name text)')
  await client.query('insert into r values ($1, $2)', [1, 'one'])
  await client.query({
    name: 'all',
    text: 'select id, name from (values ($1::int, $2)) v(id, name)',
    values: [7, 'x'],
  })
  await client.query({
    name: 'all',
    text: 'select id, name from (values ($1::int, $2)) v(id, name)',
    values: [8, null],
  })
  await client.query('select 1/0').catch(() => {})
  await client.query('begin; savepoint s')
  await client.query('nonsense').catch(() => {})
  await client.query('rollback to s; commit')
  await client.query("do $$ begin raise notice 'a notice'; end $$")
  await client.query("select repeat('x', 100000), generate_series(1, 3)")
  await client.query('listen recorded')
  await client.end()
}

async function driveWithPostgresJs(at: PostgresServer): Promise<void> {
  const { host, port, user, database } = at
  const sql = postgres({
    host,
    port,
    user,
    database,
    max: 1,
    onnotice: () => {},
    fetch_types: false,
  })
  await sql`create temp table r (id int, name text)`
  await sql`insert into r values ${sql([
    [1, 'one'],
    [2, 'two'],
  ])}`
  await sql.begin(async (tx) => {
    await tx`select ${'bound'}::text, ${5}::int`
    await tx.savepoint((inner) => inner`select 1/0`).catch(() => {})
  })
  await Promise.all(Array.from({ length: 20 }, (_, n) => sql`select ${n}::int`))
  for await (const _ of sql`select generate_series(1, 50)`.cursor(7));
  await sql.unsafe('select 1; select 2; select')
  await sql.end()
}

/** What the drivers say to this server; temporary tables only, and no password. */
export async function recordDrivers(server: PostgresServer): Promise<Recording[]> {
  await using relay = await startRelay(server, null)
  const at = { ...server, port: relay.port }
  await driveWithPg(at)
  await driveWithPostgresJs(at)
  return relay.said.map((words) => ({ asks: null, said: concat(...words) }))
}

/** A session of a random pipeline, or of a result or a copy of a size that no reader expects. */
export function makeUp(random: Random, { user, database }: PostgresServer): Recording {
  const protocol = random.pick([PROTOCOL_3_0, PROTOCOL_3_0, PROTOCOL_3_2, PROTOCOL_3_77])
  const params = random.chance(0.3) ? { application_name: 'x'.repeat(random.below(90)) } : {}
  const rows = 1 + random.below(300)
  const size = random.pick([0, 1, 1 + random.below(9000), 8192 - 11 - random.below(40)])
  const more: readonly (() => readonly Uint8Array[])[] = [
    () => [query(`select repeat('x', ${size}), n from generate_series(1, ${rows}) n`)],
    () => [extendedQuery('select $1::text', ['y'.repeat(size)]), flush()],
    () => [query('copy t from stdin'), copyData('1\n'.repeat(rows)), copyDone()],
    () => [
      query(`copy (select repeat('z', ${size}), n from generate_series(1, ${rows}) n) to stdout`),
    ],
    () => [],
    () => [],
  ]
  const words = [...randomPipeline(random).plain, ...random.pick(more)()]
  return {
    asks: random.pick([null, null, null, sslRequest(), gssRequest()]),
    said: concat(startup({ user, database, params, protocol }), ...words, terminate()),
  }
}
