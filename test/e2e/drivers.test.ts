import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { once } from 'node:events'
import { Client, DatabaseError, Query } from 'pg'
import postgres from 'postgres'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric, mustBeSound, startWay, until, WAYS } from '../kit/traffic.ts'

setDefaultTimeout(30_000)

declare module 'pg' {
  interface Client {
    /** Missing in the published types: connects anew and asks to end what `client` runs. */
    cancel(client: Client, query: Query): void
  }
}

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

describe.each(WAYS)('$way', (way) => {
  let gateway: RunningGateway
  beforeAll(async () => {
    gateway = await startWay(server, way)
  })
  afterAll(async () => {
    await mustBeSound(gateway)
    const calls = await metric(gateway, 'postern_plugin_calls_total', {
      plugin: 'audit',
      hook: 'onTrafficFromClient',
    })
    expect(calls > 1_000).toBe(way.isAudited)
    expect((await gateway.stop()).status).toBe(0)
  })

  const { user, database } = { user: 'postgres', database: 'postgres' }
  const at = () => ({ host: gateway.host, port: gateway.port, user, database })

  async function withPg<Result>(
    use: (client: Client) => Promise<Result>,
    options: { readonly pipeline?: boolean } = {},
  ): Promise<Result> {
    const client = new Client({ ...at(), ...options })
    await client.connect()
    try {
      return await use(client)
    } finally {
      await client.end()
    }
  }

  async function withPostgresJs<Result>(
    use: (sql: postgres.Sql) => Promise<Result>,
  ): Promise<Result> {
    const sql = postgres({ ...at(), max: 1, onnotice: () => {} })
    try {
      return await use(sql)
    } finally {
      await sql.end()
    }
  }

  describe('the driver pg', () => {
    test('speaks the simple protocol, several statements at once', () =>
      withPg(async (client) => {
        const { rows } = await client.query("select 1 as one, null as none, 'ä' as text")
        expect(rows).toEqual([{ one: 1, none: null, text: 'ä' }])
        // The driver gives a list for several statements, which its types do not tell.
        const results: unknown = await client.query('select 1 as a; select 2 as b')
        expect(results).toMatchObject([{ rows: [{ a: 1 }] }, { rows: [{ b: 2 }] }])
        expect((await client.query('')).rows).toEqual([])
      }))

    test('speaks the extended protocol, with values of many types', () =>
      withPg(async (client) => {
        const { rows } = await client.query(
          'select $1::int as n, $2::text as t, $3::bytea as b, $4::jsonb as j, $5::int[] as list',
          [42, 'O\'Reilly; drop "x"', Buffer.from([0, 255, 88]), { deep: [1, null] }, [1, 2, 3]],
        )
        expect(rows).toEqual([
          {
            n: 42,
            t: 'O\'Reilly; drop "x"',
            b: Buffer.from([0, 255, 88]),
            j: { deep: [1, null] },
            list: [1, 2, 3],
          },
        ])
      }))

    test('prepares a named statement once and uses it again', () =>
      withPg(async (client) => {
        const doubled = { name: 'doubled', text: 'select $1::int * 2 as twice' }
        for (let value = 0; value < 50; value++) {
          const { rows } = await client.query({ ...doubled, values: [value] })
          expect(rows[0]).toEqual({ twice: value * 2 })
        }
        const { rows } = await client.query('select name from pg_prepared_statements')
        expect(rows).toEqual([{ name: 'doubled' }])
      }))

    test('keeps a thousand statements in a pipeline in order', () =>
      withPg(
        async (client) => {
          const numbers = Array.from({ length: 1_000 }, (_, number) => number)
          const answers = await Promise.all(
            numbers.map((number) => client.query('select $1::int as n', [number])),
          )
          expect(answers.map(({ rows }) => rows[0].n)).toEqual(numbers)
        },
        { pipeline: true },
      ))

    test('commits a transaction, and rolls back one that failed', () =>
      withPg(async (client) => {
        await client.query('create temp table kept (n int primary key)')
        await client.query('begin')
        await client.query('insert into kept values ($1)', [1])
        await client.query('commit')
        await client.query('begin')
        await client.query('insert into kept values (2)')
        await expect(client.query('insert into kept values (1)')).rejects.toThrow('duplicate key')
        await expect(client.query('select 1')).rejects.toThrow('current transaction is aborted')
        await client.query('rollback')
        expect((await client.query('select n from kept')).rows).toEqual([{ n: 1 }])
      }))

    test('gets errors with code, detail and position, and goes on', () =>
      withPg(async (client) => {
        const codes = ['select 1/0', 'selec', 'select * from nowhere', "select 'x'::int"]
        const caught: (string | undefined)[] = []
        for (const sql of codes) {
          const error: unknown = await client.query(sql).catch((thrown: unknown) => thrown)
          if (!(error instanceof DatabaseError)) throw new Error(`${sql}: ${error}`)
          caught.push(error.code)
        }
        expect(caught).toEqual(['22012', '42601', '42P01', '22P02'])
        await client.query(
          'create temp table once (n int primary key); insert into once values (1)',
        )
        const again: unknown = await client
          .query('insert into once values ($1)', [1])
          .catch((thrown: unknown) => thrown)
        expect(again).toMatchObject({ code: '23505', detail: 'Key (n)=(1) already exists.' })
        expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }])
      }))

    test('cancels a query that runs, and uses the session on', () =>
      withPg(async (client) => {
        const sleeping = new Query('select pg_sleep(60) /* of pg */')
        const ended = once(sleeping, 'error')
        client.query(sleeping)
        await isAsleep('of pg')
        new Client(at()).cancel(client, sleeping)
        const [error] = await ended
        expect(error).toMatchObject({ code: '57014' })
        expect((await client.query('select 7 as n')).rows).toEqual([{ n: 7 }])
      }))

    test('listens, and is told what another session notifies while it waits', () =>
      withPg(async (listener) => {
        await listener.query('listen news')
        const told = once(listener, 'notification')
        await withPg((client) => client.query("select pg_notify('news', 'héllo')"))
        expect((await told)[0]).toMatchObject({ channel: 'news', payload: 'héllo' })
      }))

    test('gets notices', () =>
      withPg(async (client) => {
        const noticed = once(client, 'notice')
        await client.query("do $$ begin raise notice 'by the way'; end $$")
        expect((await noticed)[0].message).toBe('by the way')
      }))

    test('is refused by the server in its own words', async () => {
      const client = new Client({ ...at(), database: 'nowhere' })
      client.on('error', () => {})
      await expect(client.connect()).rejects.toMatchObject({ code: '3D000' })
    })
  })

  describe('the driver postgres', () => {
    test('prepares its statements itself, with values of many types', () =>
      withPostgresJs(async (sql) => {
        for (let number = 0; number < 20; number++) {
          const [row] = await sql`select ${number}::int as n, ${[1, 2]}::int[] as list`
          expect(row).toEqual({ n: number, list: [1, 2] })
        }
        const bytes = Buffer.from([0, 1, 255])
        const [row] = await sql`select ${bytes}::bytea as b, ${sql.json({ a: 1 })}::jsonb as j`
        expect(row).toEqual({ b: bytes, j: { a: 1 } })
      }))

    test('speaks the simple protocol, several statements at once', () =>
      withPostgresJs(async (sql) => {
        expect(await sql`select 1 as a; select 2 as b`.simple()).toMatchObject([
          [{ a: 1 }],
          [{ b: 2 }],
        ])
      }))

    test('keeps a thousand statements in a pipeline in order', () =>
      withPostgresJs(async (sql) => {
        const numbers = Array.from({ length: 1_000 }, (_, number) => number)
        const answers = await Promise.all(numbers.map((n) => sql`select ${n}::int as n`))
        expect(answers.map((rows) => rows[0]?.['n'])).toEqual(numbers)
      }))

    test('commits a transaction, and rolls back to a savepoint and wholly', () =>
      withPostgresJs(async (sql) => {
        await sql`create temp table kept (n int)`
        await sql.begin(async (inside) => {
          await inside`insert into kept values (1)`
          const nested = inside.savepoint(async (deeper) => {
            await deeper`insert into kept values (2)`
            throw new Error('only the savepoint')
          })
          await expect(nested).rejects.toThrow('only the savepoint')
        })
        const failing = sql.begin(async (inside) => {
          await inside`insert into kept values (3)`
          await inside`select 1/0`
        })
        await expect(failing).rejects.toMatchObject({ code: '22012' })
        expect([...(await sql`select n from kept`)]).toEqual([{ n: 1 }])
      }))

    test('fetches by a cursor, some rows at a time', () =>
      withPostgresJs(async (sql) => {
        const counts: number[] = []
        await sql`select generate_series(1, 25) as n`.cursor(10, (rows) => {
          counts.push(rows.length)
        })
        expect(counts).toEqual([10, 10, 5])
      }))

    test('cancels a query that runs, and uses the session on', () =>
      withPostgresJs(async (sql) => {
        const sleeping = sql`select pg_sleep(60) /* of postgres */`
        const caught = sleeping.catch((thrown: unknown) => thrown)
        await isAsleep('of postgres')
        sleeping.cancel()
        expect(await caught).toMatchObject({ code: '57014' })
        expect([...(await sql`select 7 as n`)]).toEqual([{ n: 7 }])
      }))

    test('listens and notifies', () =>
      withPostgresJs(async (sql) => {
        const { promise, resolve } = Promise.withResolvers<string>()
        await sql.listen('words', resolve)
        await sql.notify('words', 'and deeds')
        expect(await promise).toBe('and deeds')
      }))
  })

  async function isAsleep(mark: string): Promise<void> {
    const witness = new Client({ host: server.host, port: server.port, user, database })
    await witness.connect()
    const sql = `select from pg_stat_activity where wait_event = 'PgSleep' and query like $1`
    await until(`the query ${mark} sleeps`, async () => {
      const { rowCount } = await witness.query(sql, [`%${mark} %`])
      return rowCount === 1
    })
    await witness.end()
  }
})
