/** The plugins audit, mask and rate-limit in the executable, before a real PostgreSQL. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Client, DatabaseError } from 'pg'
import postgres from 'postgres'
import { findProgram } from '../bench/programs.ts'
import { gatewayBinary, type RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric, mustBeSound, startBefore, until } from '../kit/traffic.ts'

setDefaultTimeout(30_000)

const psqlProgram = findProgram('psql')

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
  const direct = new Client({ ...server, ssl: false })
  await direct.connect()
  await direct.query(`create table people (
      id int, email text, card varchar, pay numeric, born date);
    insert into people select n, 'ann' || n || '@example.com', '4111111111111111',
      n * 1.5, date '2000-01-01' + n from generate_series(1, 2000) n;
    create role dba login; grant all on people to dba`)
  await direct.end()
})
afterAll(() => server.stop())

function entry(name: string, config: Readonly<Record<string, unknown>> = {}) {
  const localPath = join(dirname(gatewayBinary()), `plugins/${name}.wasm`)
  const checksum = createHash('sha256').update(readFileSync(localPath)).digest('hex')
  const limits = { cpuShareMax: 100, callDeadline: '2s' }
  return { name, localPath, checksum, required: true, onFailure: 'closed', limits, config }
}

const startWith = (...plugins: readonly unknown[]): Promise<RunningGateway> =>
  startBefore(server, { plugins: { plugins } })

const at = ({ host, port }: RunningGateway, user = 'postgres') => ({
  host,
  port,
  user,
  database: 'postgres',
})

async function withPg<Result>(
  gateway: RunningGateway,
  use: (client: Client) => Promise<Result>,
  user = 'postgres',
): Promise<Result> {
  const client = new Client(at(gateway, user))
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  const error: unknown = await promise.catch((thrown: unknown) => thrown)
  if (!(error instanceof DatabaseError)) throw new Error(`no error of a database: ${error}`)
  return error.code
}

async function psql(gateway: RunningGateway, ...args: readonly string[]): Promise<string> {
  const url = `postgresql://postgres@${gateway.host}:${gateway.port}/postgres`
  const child = Bun.spawn([psqlProgram ?? '', '-XAt', url, ...args], {
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [out, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  await child.exited
  return `${out}${errors}`.trim()
}

/** What psql shows of masked values. */
async function expectPsql(gateway: RunningGateway): Promise<void> {
  expect(await psql(gateway, '-c', 'select email from people where id = 1')).toBe(
    'a***@example.com',
  )
  const copied = await psql(gateway, '-c', 'copy people to stdout', '-c', 'select 1')
  expect(copied).toContain('COPY TO STDOUT is not allowed')
  expect(copied).toStartWith('1')
}

test('mask hides what drivers and psql read, and not from whom it excepts', async () => {
  const rules = [{ name: 'r', columns: ['email', 'card', 'pay', 'born'] }]
  const config = { rules, others: 'zero', exceptUsers: ['dba'] }
  await using gateway = await startWith(entry('mask', config))
  const masked = { id: 7, email: 'a***@example.com', card: '************1111' }
  const sql = 'select id, email, card, pay, born::text born from people where id = '
  await withPg(gateway, async (client) => {
    expect((await client.query(`${sql}7`)).rows).toMatchObject([{ ...masked, pay: '0' }])
    for (let times = 0; times < 2; times++) {
      const named = { name: 'one', text: `${sql}$1`, values: [7] }
      expect((await client.query(named)).rows).toMatchObject([masked])
      // Binary results, of a statement that is described once.
      const all = { text: 'select id, email, pay from people', rowMode: 'array', binary: true }
      const { rows } = await client.query<[number, string, string]>(all)
      expect(rows).toHaveLength(2000)
      expect(rows[1999]).toEqual([2000, 'a******@example.com', '0'])
    }
    expect(await codeOf(client.query('select 1/0'))).toBe('22012')
    expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }])
  })
  await withPg(
    gateway,
    async (client) => {
      const { rows } = await client.query(`${sql}7`)
      expect(rows).toMatchObject([{ email: 'ann7@example.com', pay: '10.5' }])
    },
    'dba',
  )
  const js = postgres({ ...at(gateway), max: 1 })
  for (let times = 0; times < 3; times++) {
    const rows = await js`select id, email from people order by id`
    expect(rows).toHaveLength(2000)
    expect(rows[6]).toMatchObject({ id: 7, email: 'a***@example.com' })
  }
  const cursor = js`select id, email from people order by id`.cursor(500)
  for await (const rows of cursor) expect(rows[0]?.['email']).toStartWith('a**')
  await js.end()
  if (psqlProgram !== null) await expectPsql(gateway)
  await mustBeSound(gateway)
  expect(await metric(gateway, 'values_masked_total', { by: 'r' })).toBeGreaterThan(16_000)
  expect((await gateway.stop()).status).toBe(0)
})

test('rate-limit refuses with 53400, drivers and psql go on afterwards', async () => {
  const rules = [{ name: 'few', kinds: ['SELECT'], rate: 0.01, burst: 2 }]
  await using gateway = await startWith(entry('rate-limit', { rules }))
  await withPg(gateway, async (client) => {
    await client.query('select 1')
    await client.query('select $1::int', [1])
    expect(await codeOf(client.query('select 1'))).toBe('53400')
    expect(await codeOf(client.query('select $1::int', [1]))).toBe('53400')
    await client.query('begin')
    expect(await codeOf(client.query('select $1::int', [1]))).toBe('53400')
    expect(await codeOf(client.query('insert into people values (0)'))).toBe('25P02')
    await client.query('rollback')
    expect((await client.query('show search_path')).rows).toHaveLength(1)
  })
  const js = postgres({ ...at(gateway), max: 1, fetch_types: false })
  await expect(js`select ${1}::int`.execute()).rejects.toMatchObject({ code: '53400' })
  expect([...(await js`values (${'x'})`)]).toEqual([{ column1: 'x' }])
  await js.end()
  if (psqlProgram !== null) {
    expect(await psql(gateway, '-c', 'select 1')).toMatch(/try again in \d+ seconds/)
  }
  expect(await metric(gateway, 'over_limit_total', { action: 'denied' })).toBeGreaterThan(4)
  await mustBeSound(gateway)
})

test('rate-limit bounds connections of one address', async () => {
  const connections = { rate: 0.01, burst: 2 }
  await using gateway = await startWith(entry('rate-limit', { connections }))
  for (let times = 0; times < 2; times++)
    await withPg(gateway, (client) => client.query('select 1'))
  expect(await codeOf(withPg(gateway, (client) => client.query('select 1')))).toBe('53400')
})

test('audit tells what was run, refused by another plugin, failed, and not let in', async () => {
  const rules = [{ name: 'none', kinds: ['defining'], rate: 0.001, burst: 1 }]
  const folder = mkdtempSync(join(tmpdir(), 'postern-audit-'))
  const fileName = join(folder, 'gateway.log')
  const top = { loggers: { default: { output: ['file'], fileName, level: 'info' } } }
  const plugins = { plugins: [entry('audit'), entry('rate-limit', { rules })] }
  await using gateway = await startBefore(server, { top, plugins })
  const log = (): string => readFileSync(fileName, 'utf8')
  await withPg(gateway, async (client) => {
    await client.query("select id from people where id < 4 and email <> 'hunter2'")
    await client.query({ name: 'p', text: 'select email from people where id = $1', values: [1] })
    await client.query('create temp table a (n int); insert into a values (1), (2)')
    await codeOf(client.query('drop table a'))
    await codeOf(client.query('select $1::int / 0', [1]))
  })
  const nowhere = new Client({ ...at(gateway), database: 'nowhere' })
  nowhere.on('error', () => {})
  await expect(nowhere.connect()).rejects.toMatchObject({ code: '3D000' })
  const told = () =>
    log()
      .split('\n')
      .filter((line) => line.includes('"plugin":"audit"'))
      .map((line) => JSON.parse(line))
  await until('the failed login is told', () =>
    told().some(({ message }) => message === 'login failed'),
  )
  const statements = told().filter(({ message }) => message === 'statement')
  expect(statements.map(({ fields }) => fields)).toMatchObject([
    { kind: 'SELECT', tables: ['people'], outcome: 'done', rows: 3, user: 'postgres' },
    { statement: 'select email from people where id = ?', outcome: 'done', rows: 1 },
    { kind: 'CREATE', outcome: 'done' },
    { kind: 'INSERT', outcome: 'done', rows: 2 },
    { kind: 'DROP', tables: ['a'], outcome: 'refused' },
    { kind: 'SELECT', outcome: 'failed', error: '22012' },
  ])
  expect(log()).not.toContain('hunter2')
  expect(await metric(gateway, 'statements_total', { kind: 'SELECT' })).toBe(3)
  await mustBeSound(gateway)
  rmSync(folder, { recursive: true })
})
