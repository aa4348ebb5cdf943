/** Drivers, psql, pgbench and plugins on connections that are shared by transactions. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { Client, Pool } from 'pg'
import postgres from 'postgres'
import { modulePath } from '../fixtures/wasm/kit.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { pythonWith } from '../kit/python.ts'
import { auditPlugins, metric, mustBeSound } from '../kit/traffic.ts'
import { sha256 } from './plugins-scene.ts'
import { codesIn, enter, lent, startShared } from './pools-scene.ts'

setDefaultTimeout(60_000)

const PYTHON = await pythonWith(
  join(import.meta.dir, '../../dist/examples/python-drivers'),
  join(import.meta.dir, '../fixtures/python/requirements.txt'),
)
const PYTHON_ROUNDS = process.env['POSTERN_LONG'] === '1' ? 1000 : 30

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres({ auth: 'scram-sha-256' })
})
afterAll(() => server.stop())

const at = ({ host, port }: RunningGateway) => ({ host, port, user: 'ann', database: 'postgres' })

describe.each([
  { way: 'without plugins', more: () => ({}) },
  { way: 'with the audit plugin', more: () => ({ plugins: auditPlugins() }) },
])('$way', ({ more }) => {
  let gateway: RunningGateway
  beforeAll(async () => {
    gateway = await startShared(server, {}, more())
  })
  afterAll(async () => {
    expect(await metric(gateway, 'postern_pool_pinned_sessions')).toBe(0)
    expect(await lent(gateway)).toBe(0)
    await mustBeSound(gateway)
    await gateway.stop()
  })

  test('the driver pg: many clients, prepared statements, transactions', async () => {
    const pool = new Pool({ ...at(gateway), max: 12 })
    const named = (value: number) => ({
      name: 'twice',
      text: 'select $1::int * 2 as n',
      values: [value],
    })
    const work = async (value: number): Promise<void> => {
      const client = await pool.connect()
      try {
        expect((await client.query(named(value))).rows).toEqual([{ n: value * 2 }])
        await client.query('begin')
        expect((await client.query('select $1::text as t', ['x'])).rows).toEqual([{ t: 'x' }])
        expect((await client.query(named(value))).rows).toEqual([{ n: value * 2 }])
        await client.query(value % 2 === 0 ? 'commit' : 'rollback')
        await expect(client.query('select 1/0')).rejects.toThrow('division by zero')
      } finally {
        client.release()
      }
    }
    await Promise.all(Array.from({ length: 100 }, (_, value) => work(value)))
    await pool.end()
  })

  test('the driver pg: a pipeline of a hundred statements', async () => {
    const client = new Client({ ...at(gateway), pipeline: true } as ConstructorParameters<
      typeof Client
    >[0])
    await client.connect()
    const numbers = Array.from({ length: 100 }, (_, number) => number)
    const answers = await Promise.all(
      numbers.map((value) =>
        client.query({
          name: `p${value % 3}`,
          text: `select ${value % 3} + $1::int as n`,
          values: [value],
        }),
      ),
    )
    expect(answers.map(({ rows }) => rows[0].n)).toEqual(
      numbers.map((value) => value + (value % 3)),
    )
    await client.end()
  })

  test('postgres.js: statements, transactions and cursors', async () => {
    const sql = postgres({ ...at(gateway), max: 8, onnotice: () => {} })
    await sql`create table if not exists driven (n int)`
    await Promise.all(
      Array.from({ length: 60 }, (_, value) =>
        sql.begin(async (transaction) => {
          await transaction`insert into driven values (${value})`
          const [row] = await transaction`select ${value}::int as n`
          expect(row).toEqual({ n: value })
        }),
      ),
    )
    expect(await sql`select count(*)::int as n from driven`).toMatchObject([{ n: 60 }])
    const seen: number[] = []
    for await (const rows of sql`select n from driven order by n`.cursor(7)) {
      seen.push(...rows.map(({ n }) => n as number))
    }
    expect(seen).toEqual(Array.from({ length: 60 }, (_, value) => value))
    await sql`drop table driven`
    await sql.end()
  })

  test.each(['simple', 'extended', 'prepared'])('pgbench by the %s protocol', async (mode) => {
    if (Bun.which('pgbench') === null) return
    const direct = ['-h', server.host, '-p', String(server.port), '-U', server.user]
    const env = { ...process.env, PGPASSWORD: server.password }
    await run(['pgbench', '-i', '-q', ...direct, server.database], env)
    const { host, port } = gateway
    const through = ['-h', host, '-p', String(port), '-U', 'ann', 'postgres']
    // A thread for each client: one that waits for a connection keeps its thread from the others.
    const load = ['-n', '-M', mode, '-c', '6', '-j', '6', '-t', '40']
    const said = await run(['pgbench', ...load, ...through], env)
    expect(said).toContain('number of transactions actually processed: 240/240')
  })

  test('psql describes a table', async () => {
    if (Bun.which('psql') === null) return
    const { host, port } = gateway
    const to = ['-h', host, '-p', String(port), '-U', 'ann', 'postgres']
    expect(await run(['psql', '-X', '-c', '\\d pg_class', '-c', 'select 1', ...to])).toContain(
      'relname',
    )
  })
})

async function run(argv: readonly string[], env = process.env): Promise<string> {
  const child = Bun.spawn([...argv], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, err, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (status !== 0) throw new Error(`${argv.join(' ')}: ${status}\n${err}`)
  return out
}

test('what a plugin refuses needs no connection', async () => {
  const localPath = modulePath('firewall')
  const checksum = sha256(localPath)
  const firewall = { name: 'firewall', localPath, checksum, config: { readOnly: true } }
  await using gateway = await startShared(server, {}, { plugins: { plugins: [firewall] } })
  const [one, two, three] = [await enter(gateway), await enter(gateway), await enter(gateway)]
  await one.query('begin')
  await two.query('begin')
  expect(codesIn(await three.query('drop table x'))).toEqual(['25006'])
  expect(await lent(gateway)).toBe(2)
  await one.query('commit')
  expect(await three.rows('select 1')).toEqual([['1']])
  await two.query('commit')
  await mustBeSound(gateway)
})

test.skipIf(PYTHON === null)(
  'psycopg and asyncpg prepare by themselves, in pipelines too (needs python3 and PyPI)',
  async () => {
    const database = await startPostgres()
    await using gateway = await startShared(database, { size: 4, preparedStatementsMax: 10 })
    const url = `postgres://ann@${gateway.host}:${gateway.port}/postgres?sslmode=disable`
    const script = join(import.meta.dir, '../fixtures/python/drivers.py')
    const said = await run([PYTHON!, script, url, String(PYTHON_ROUNDS)])
    expect(said.trim()).toBe('all was right')
    expect(await metric(gateway, 'postern_pool_pinned_sessions')).toBe(0)
    expect(await metric(gateway, 'postern_pool_statements_evicted_total')).toBeGreaterThan(0)
    await mustBeSound(gateway)
    await database.stop()
  },
)
