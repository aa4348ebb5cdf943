/** The firewall plugin in the executable, before a real server, in both protocols. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { Client, DatabaseError } from 'pg'
import postgresJs from 'postgres'
import { modulePath } from '../fixtures/wasm/kit.ts'
import { int16, int32, message, query } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import type { Wire } from '../kit/wire.ts'
import { EVASIONS, READING } from '../plugins/wasm/firewall-statements.ts'
import { login, sha256, startWith } from './plugins-scene.ts'

setDefaultTimeout(30_000)

const ROWS = 'select count(*), sum(a) from t'

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
  const direct = await login(server, server)
  await direct.query('create table t (a int); insert into t select generate_series(1, 10)')
  await direct.query('create table u (a int); create sequence s')
  await direct.query('create function f() returns trigger language plpgsql as $$ begin end $$')
  await direct.terminate()
})
afterAll(() => server.stop())

function start(config: Record<string, unknown>): Promise<RunningGateway> {
  const localPath = modulePath('firewall')
  const entry = {
    name: 'firewall',
    localPath,
    checksum: sha256(localPath),
    onFailure: 'closed',
    config,
  }
  return startWith(server, { plugins: [entry] })
}

/** The SQLSTATE of the first error in the reply to a Query; null where there is none. */
async function codeOf(wire: Wire, bytes: Uint8Array): Promise<string | null> {
  wire.send(bytes)
  const replies = await wire.readUntil('ReadyForQuery')
  const refused = replies.find((reply) => reply.name === 'ErrorResponse')
  return refused?.name === 'ErrorResponse' ? refused.code : null
}

describe('a read-only gateway', () => {
  let gateway: RunningGateway
  beforeAll(async () => {
    gateway = await start({ readOnly: true })
  })
  afterAll(async () => {
    expect((await gateway.stop()).status).toBe(0)
  })

  test('lets no known evasion change anything, in either protocol, and stays usable', async () => {
    const wire = await login(gateway, server)
    const sync = message('S')
    for (const sql of EVASIONS) {
      const code = await codeOf(wire, query(sql))
      expect([sql.slice(0, 60), code]).toEqual([
        sql.slice(0, 60),
        expect.stringMatching(/^(25006|42601)$/),
      ])
      const parse = message('P', new TextEncoder().encode(`\0${sql}\0`), int16(0))
      wire.send(parse, message('B', new TextEncoder().encode('\0\0'), int16(0), int16(0), int16(0)))
      wire.send(message('E', new TextEncoder().encode('\0'), int32(0)))
      expect(await codeOf(wire, sync)).toMatch(/^(25006|42601)$/)
    }
    expect(await wire.rows(ROWS)).toEqual([['10', '55']])
    expect(await wire.rows('select last_value, is_called from s')).toEqual([['1', 'f']])
    await wire.terminate()
  })

  test('lets the server answer what only reads', async () => {
    const wire = await login(gateway, server)
    for (const sql of READING) {
      const code = await codeOf(wire, query(sql))
      // The server may object, the firewall may not.
      expect([sql, ['25006', '54000'].includes(code ?? '')]).toEqual([sql, false])
      await wire.query('rollback')
    }
    await wire.terminate()
  })

  test('answers drivers so that they go on', async () => {
    const at = {
      host: gateway.host,
      port: gateway.port,
      user: server.user,
      database: server.database,
    }
    const client = new Client({ ...at, password: server.password })
    await client.connect()
    const refused = await client.query('delete from t where a = $1', [1]).catch((error) => error)
    expect(refused).toBeInstanceOf(DatabaseError)
    expect(refused).toMatchObject({
      code: '25006',
      message: 'DELETE is refused by the rule "read-only" of the firewall',
      hint: 'the plugin firewall is set to readOnly; write by another way',
    })
    expect((await client.query('select count(*)::int as n from t')).rows).toEqual([{ n: 10 }])
    expect((await client.query('select $1::int as n', [5])).rows).toEqual([{ n: 5 }])
    await client.end()
    const sql = postgresJs({ ...at, password: server.password, max: 1, onnotice: () => {} })
    const failed = await sql`update t set a = ${1}`.catch((error: unknown) => error)
    expect(failed).toMatchObject({ code: '25006' })
    expect(await sql`select count(*)::int as n from t`).toEqual([{ n: 10 }] as never)
    await sql.end()
  })
})

describe('without configuration', () => {
  let gateway: RunningGateway
  beforeAll(async () => {
    gateway = await start({})
  })
  afterAll(async () => {
    expect((await gateway.stop()).status).toBe(0)
  })

  test('files and programs of the server are out of reach, also by number', async () => {
    const direct = await login(server, server)
    const found = await direct.rows(`select oid, proname, pronargs from pg_proc where proname ~
      '^(pg_read_file|pg_read_binary_file|pg_ls_|lo_import|lo_export|pg_stat_file)' 
      and oid < 16384`)
    await direct.terminate()
    expect(found.length).toBeGreaterThan(10)
    const wire = await login(gateway, server)
    const open: string[] = []
    for (const [oid, name] of found) {
      const call = message('F', int32(Number(oid)), int16(0), int16(0), int16(0))
      wire.send(call)
      const refused = (await wire.readUntil('ReadyForQuery'))[0]
      const said = refused?.name === 'ErrorResponse' ? refused.message : refused?.name
      const words = 'FUNCTION_CALL is refused by the rule "server-access" of the firewall'
      if (said !== words) open.push(`${oid} ${name}`)
    }
    expect(open).toEqual([])
    expect(await codeOf(wire, query("copy t from program 'id'"))).toBe('42501')
    await wire.terminate()
  })

  test('the rest passes, and what is odd is told', async () => {
    const wire = await login(gateway, server)
    const replies = await wire.query('begin; update t set a = a; rollback; select 1')
    expect(replies.some(({ name }) => name === 'ErrorResponse')).toBe(false)
    await gateway.logged('would be refused')
    expect(await wire.rows(ROWS)).toEqual([['10', '55']])
    await wire.terminate()
  })

  test('a session whose strings have backslashes is read as the server reads it', async () => {
    const wire = await login(gateway, server)
    await wire.query('set standard_conforming_strings = off')
    expect(await codeOf(wire, query("select '\\'' ; copy t from program 'id'; --'"))).toBe('42501')
    await wire.terminate()
  })
})
