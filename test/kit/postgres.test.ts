import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type PostgresAuth, type PostgresServer, startPostgres } from './postgres.ts'
import { openSession } from './wire.ts'

async function answer(server: PostgresServer, sql: string): Promise<string | null | undefined> {
  const wire = await openSession(server)
  const [row] = await wire.rows(sql)
  await wire.terminate()
  return row?.[0]
}

describe('a server of the kit', () => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres({ settings: { log_statement: 'all' } })
  })
  afterAll(() => server.stop())

  test('is PostgreSQL 18 with room for 600 connections and without TLS', async () => {
    expect(await answer(server, 'show server_version')).toStartWith('18.')
    expect(await answer(server, 'show max_connections')).toBe('600')
    expect(await answer(server, 'show ssl')).toBe('off')
  })

  test('takes further settings, and shows its log', async () => {
    await answer(server, "select 'seen in the log'")
    expect(server.log()).toContain('seen in the log')
  })

  test('keeps port and data over a restart, as another process', async () => {
    await answer(server, 'create table kept as select 42')
    const { pid, port } = server
    await server.restart()
    expect(server.pid).not.toBe(pid)
    expect(server.port).toBe(port)
    expect(await answer(server, 'select * from kept')).toBe('42')
  })

  test('refuses connections while it is shut down', async () => {
    await server.shutDown()
    await expect(openSession(server)).rejects.toThrow('ECONNREFUSED')
    await server.startUp()
    expect(await answer(server, 'select 1')).toBe('1')
  })
})

const METHODS: readonly PostgresAuth[] = ['scram-sha-256', 'md5', 'password']
for (const auth of METHODS) {
  test(`with ${auth} the right password opens a session and a wrong one does not`, async () => {
    await using server = await startPostgres({ auth })
    expect(await answer(server, 'select 1')).toBe('1')
    await expect(openSession({ ...server, password: 'wrong' })).rejects.toThrow('28P01')
  })
}

test('a server that cannot start says why', async () => {
  const starting = startPostgres({ settings: { no_such_setting: 'on' } })
  await expect(starting).rejects.toThrow('unrecognized configuration parameter "no_such_setting"')
})

test('a server and its folder are gone when the process that started them is killed', async () => {
  const kit = resolve(import.meta.dir, 'postgres.ts')
  const program = `
    import { startPostgres } from ${JSON.stringify(kit)}
    const server = await startPostgres()
    process.stdout.write(JSON.stringify({ port: server.port, pid: server.pid }) + '\\n')
    setInterval(() => {}, 1000)
  `
  const parent = Bun.spawn([process.execPath, '-e', program], { stdout: 'pipe', stderr: 'inherit' })
  const { value } = await parent.stdout.getReader().read()
  const { pid, port } = JSON.parse(new TextDecoder().decode(value))
  const folder = (await Bun.file(`/proc/${pid}/cmdline`).text()).match(/-D([^\0]+)\/data/)?.[1]
  if (folder === undefined) throw new Error(`no data folder in the command line of ${pid}`)
  expect(existsSync(join(folder, 'data'))).toBeTrue()

  parent.kill('SIGKILL')
  await parent.exited
  while (existsSync(folder)) await new Promise(setImmediate)
  await expect(openSession({ host: '127.0.0.1', port, user: 'postgres' })).rejects.toThrow(
    'ECONNREFUSED',
  )
})
