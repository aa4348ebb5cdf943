/**
 * The cache plugin before a real server: what sessions read is never older than what they could
 * know of, whatever they do at the same time; drivers and clients work as without it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import postgres from 'postgres'
import { buildWasmPlugins } from '../../scripts/wasm.ts'
import { findProgram } from '../bench/programs.ts'
import { mustRun } from '../kit/command.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type Random, seeded } from '../kit/pipelines.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import type { Wire } from '../kit/wire.ts'
import { type Entry, samples, sha256, startWith } from './plugins-scene.ts'
import { enter, startPooled } from './pools-scene.ts'

const LONG = process.env['POSTERN_LONG'] === '1'
const STEPS = LONG ? 50_000 : 1000
const CELLS = 4
const SESSIONS = 6

let server: PostgresServer
let gateway: RunningGateway
let entry: Entry
beforeAll(async () => {
  server = await startPostgres()
  const path = (await buildWasmPlugins()).find((each) => each.endsWith('/cache.wasm')) ?? ''
  const config = { ttlMs: 60_000 }
  entry = { name: 'cache', localPath: path, checksum: sha256(path), config }
  gateway = await startWith(server, { plugins: [entry] })
})
afterAll(async () => {
  await gateway.stop()
  await server.stop()
})

const place = () => ({
  host: gateway.host,
  port: gateway.port,
  user: server.user,
  database: server.database,
})

async function connected(): Promise<Client> {
  const client = new Client(place())
  await client.connect()
  return client
}

const hits = (): Promise<number> => samples(gateway, 'cache_hits_total')

/** How a session asks for rows; every driver's own way. */
interface Asker {
  ask(sql: string, values: readonly number[]): Promise<readonly Record<string, unknown>[]>
  end(): Promise<void>
}

const ASKERS: readonly (() => Promise<Asker>)[] = [
  async () => {
    const client = await connected()
    const filled = (sql: string, values: readonly number[]): string =>
      sql.replace(/\$(\d)(?:::int)?/g, (_all, digit) => String(values[Number(digit) - 1]))
    return {
      ask: async (sql, values) => (await client.query(filled(sql, values))).rows,
      end: () => client.end(),
    }
  },
  async () => {
    const client = await connected()
    return {
      ask: async (sql, values) => (await client.query(sql, [...values])).rows,
      end: () => client.end(),
    }
  },
  async () => {
    const client = await connected()
    return {
      ask: async (text, values) =>
        (await client.query({ name: text.slice(0, 60), text, values: [...values] })).rows,
      end: () => client.end(),
    }
  },
  async () => {
    const sql = postgres({ ...place(), max: 1, onnotice: () => {} })
    return {
      ask: async (text, values) => await sql.unsafe(text, [...values], { prepare: true }),
      end: () => sql.end(),
    }
  },
]

/** What anybody can know of each cell: its value only grows. */
class Known {
  readonly floors: number[] = Array.from({ length: CELLS }, () => 0)

  learn(cell: number, value: number): void {
    this.floors[cell] = Math.max(this.floors[cell]!, value)
  }
}

const number = (row: Record<string, unknown> | undefined, key: string): number => Number(row?.[key])

/** One step of a session at random. */
async function step(asker: Asker, known: Known, random: Random): Promise<void> {
  const cell = random.below(CELLS)
  const write = 'update cells set value = value + 1 where id = $1::int returning value'
  const choice = random.below(20)
  if (choice < 15) {
    const floor = known.floors[cell]!
    const [row] = await asker.ask('select value from cells where id = $1::int', [cell])
    expect(number(row, 'value')).toBeGreaterThanOrEqual(floor)
    known.learn(cell, number(row, 'value'))
    return
  }
  if (choice < 17) {
    const floor = known.floors.reduce((sum, each) => sum + each)
    const [row] = await asker.ask('select sum(value)::int as total from cells', [])
    expect(number(row, 'total')).toBeGreaterThanOrEqual(floor)
    return
  }
  if (choice === 17) {
    const [row] = await asker.ask(write, [cell])
    known.learn(cell, number(row, 'value'))
    return
  }
  await asker.ask('begin', [])
  const [row] = await asker.ask(write, [cell])
  const value = number(row, 'value')
  const [own] = await asker.ask('select value from cells where id = $1::int', [cell])
  expect(number(own, 'value')).toBe(value)
  const commits = choice === 18
  await asker.ask(commits ? 'commit' : 'rollback', [])
  if (commits) known.learn(cell, value)
}

test('no session reads what is older than anybody could know of', async () => {
  await using writer = await directly()
  await writer.run('create table cells (id int primary key, value int not null)')
  await writer.run(`insert into cells select i, 0 from generate_series(0, ${CELLS - 1}) i`)
  const known = new Known()
  const before = await hits()
  const askers = await Promise.all(
    Array.from({ length: SESSIONS }, (_, at) => ASKERS[at % ASKERS.length]!()),
  )
  await Promise.all(
    askers.map(async (asker, at) => {
      const random = seeded(at + 1)
      for (let left = STEPS; left > 0; left--) await step(asker, known, random)
      await asker.end()
    }),
  )
  // Enough of it must have come from memory for the rest to prove anything.
  expect((await hits()) - before).toBeGreaterThan((SESSIONS * STEPS) / 20)
}, 120_000)

/** A connection past the gateway. */
async function directly() {
  const { host, port, user, database } = server
  const client = new Client({ host, port, user, database })
  await client.connect()
  return {
    run: async (sql: string): Promise<void> => void (await client.query(sql)),
    [Symbol.asyncDispose]: () => client.end(),
  }
}

describe('from memory', () => {
  test('come results that the server would not give again, until a write', async () => {
    const client = await connected()
    await using beside = await directly()
    await client.query('create table beside (a int)')
    await client.query('insert into beside values (1)')
    const read = async () => (await client.query('select a from beside')).rows
    expect(await read()).toEqual([{ a: 1 }])
    await beside.run('update beside set a = 2')
    expect(await read()).toEqual([{ a: 1 }])
    await client.query('insert into beside values (3)')
    expect(await read()).toEqual([{ a: 2 }, { a: 3 }])
    await client.end()
  })
})

describe('behind a pool that the gateway logs in to', () => {
  let pooled: RunningGateway
  beforeAll(async () => {
    pooled = await startPooled(server, { plugins: { plugins: [entry] } })
  })
  afterAll(() => pooled.stop())

  test('what the server would not give again comes from memory to the same user only', async () => {
    await using beside = await directly()
    await beside.run('create table pooled (a int)')
    const read = async (wire: Wire) => (await wire.rows('select count(*) from pooled')).flat()
    using ann = await enter(pooled)
    expect(await read(ann)).toEqual(['0'])
    await beside.run('insert into pooled values (1)')
    expect(await read(ann)).toEqual(['0'])
    using again = await enter(pooled)
    await again.query('select 1')
    expect(await read(again)).toEqual(['0'])
    await again.terminate()
    using bob = await enter(pooled, { user: 'bob' })
    expect(await read(bob)).toEqual(['1'])
    await bob.query('delete from pooled')
    expect(await read(ann)).toEqual(['0'])
  })
})

describe('clients', () => {
  const environment = () => ({
    PGHOST: gateway.host,
    PGPORT: String(gateway.port),
    PGUSER: server.user,
    PGDATABASE: server.database,
  })
  const [psql, pgbench] = [findProgram('psql'), findProgram('pgbench')]

  test.skipIf(psql === null)('psql shows what was read before (needs psql)', async () => {
    const run = (sql: string) => mustRun([psql!, '-XAtc', sql], { env: environment() })
    for (let left = 3; left > 0; left--) expect((await run('select 42')).trim()).toBe('42')
  })

  test.skipIf(pgbench === null)('pgbench runs in every mode (needs pgbench)', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-cache-'))
    const file = join(folder, 'hot.sql')
    writeFileSync(file, '\\set id random(1, 20)\nselect :id * 2;\n')
    try {
      for (const mode of ['simple', 'extended', 'prepared']) {
        const before = await hits()
        const args = ['-n', '-M', mode, '-f', file, '-c', '4', '-t', '100']
        const report = await mustRun([pgbench!, ...args], { env: environment(), cwd: folder })
        expect(report).toContain('number of transactions actually processed: 400/400')
        expect((await hits()) - before).toBeGreaterThan(200)
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
