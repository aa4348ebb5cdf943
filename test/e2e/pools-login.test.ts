/** How the gateway lets clients in by itself, and how it logs in to a real PostgreSQL. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import postgresJs from 'postgres'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresAuth, type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { metric } from '../kit/traffic.ts'
import { connectWire, openSession } from '../kit/wire.ts'
import { buildPlugins, scripted } from './plugins-scene.ts'
import { enter, startPooled } from './pools-scene.ts'

setDefaultTimeout(30_000)

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres({ auth: 'scram-sha-256' })
})
afterAll(() => server.stop())

const folder = mkdtempSync(join(tmpdir(), 'postern-users-'))
const authFile = join(folder, 'users.txt')
writeFileSync(authFile, '"ann" "secret of ann"\n"bob" "secret of bob"\n', { mode: 0o600 })
afterAll(() => rmSync(folder, { recursive: true }))

/** Who a client is there, or the words of the refusal, for two drivers and bytes of our own. */
async function logIns(gateway: RunningGateway, user: string, password: string) {
  const { host, port } = gateway
  const at = { host, port, user, password, database: 'postgres' }
  const pg = async (): Promise<string> => {
    const client = new Client(at)
    client.on('error', () => {})
    await client.connect()
    const { rows } = await client.query('select $1::text || current_user as who', ['is '])
    await client.end()
    return rows[0].who
  }
  const postgres = async (): Promise<string> => {
    const sql = postgresJs({ ...at, max: 1 })
    try {
      const [row] = await sql`select ${'is '} || current_user as who`
      return row?.['who']
    } finally {
      await sql.end()
    }
  }
  const wire = async (): Promise<string> => {
    using session = await openSession(at)
    const [row] = await session.rows("select 'is ' || current_user")
    return row?.[0] ?? ''
  }
  const outcomes = await Promise.allSettled([pg(), postgres(), wire()])
  return outcomes.map((outcome) =>
    outcome.status === 'fulfilled' ? outcome.value : String(outcome.reason?.message),
  )
}

const IN = ['is postgres', 'is postgres', 'is postgres']

describe.each(['scram-sha-256', 'md5'])('auth: %s', (auth) => {
  let gateway: RunningGateway
  beforeAll(async () => {
    gateway = await startPooled(server, { server: { auth, authFile }, pool: { size: 5 } })
  })
  afterAll(() => gateway.stop())

  test('lets in who knows the password of the user file', async () => {
    expect(await logIns(gateway, 'ann', 'secret of ann')).toEqual(IN)
    expect(await logIns(gateway, 'bob', 'secret of bob')).toEqual(IN)
  })

  test('lets in nobody else, and says the same whether there is such a user', async () => {
    for (const user of ['ann', 'carol', 'postgres']) {
      for (const words of await logIns(gateway, user, 'secret of bob')) {
        expect(words).toContain(`password authentication failed for user "${user}"`)
      }
    }
    expect(await metric(gateway, 'postern_logins_refused_total')).toBe(9)
    expect(gateway.log()).not.toContain('secret of')
  })
})

test.each(['trust', 'password', 'md5', 'scram-sha-256'] as const)(
  'the gateway logs in by %s',
  async (auth: PostgresAuth) => {
    await using database = await startPostgres({ auth })
    await using gateway = await startPooled(database)
    const wire = await enter(gateway)
    expect(await wire.rows('select current_user')).toEqual([['postgres']])
    await wire.terminate()
  },
)

describe('nobody is let in by accident', () => {
  test('where neither auth nor a plugin asks, the gateway does not start', async () => {
    await expect(startPooled(server, { server: { auth: '' } })).rejects.toThrow(
      'nobody would ask its clients who they are; set servers.default.auth',
    )
  })

  test('a user file that cannot be used is named, with the line and without a secret', async () => {
    const broken = join(folder, 'broken.txt')
    writeFileSync(broken, '"ann" "do not show"\n"ann" "do not show"\nbob do not show\n')
    const started = startPooled(server, { server: { auth: 'md5', authFile: broken } })
    const message = await started.then(
      () => 'it started',
      (error: Error) => error.message,
    )
    expect(message).toContain(`servers.default.authFile cannot be used`)
    expect(message).toContain(`${broken}:2: `)
    expect(message).toContain(`${broken}:3: `)
    expect(message).not.toContain('do not show')
    const missing = startPooled(server, { server: { auth: 'md5', authFile: '/nowhere/users' } })
    await expect(missing).rejects.toThrow('servers.default.authFile: /nowhere/users cannot be read')
  })

  test('another database than the one that is logged in to is refused', async () => {
    await using gateway = await startPooled(server)
    await expect(enter(gateway, { database: 'template1' })).rejects.toThrow(
      'FATAL 3D000: database "template1" is not served here',
    )
  })

  test('a wrong password of the gateway itself is for the operator to know', async () => {
    const { user, database } = server
    await using gateway = await startPooled(server, {
      client: { startupParams: { user, password: 'do not show', database } },
    })
    await expect(enter(gateway)).rejects.toThrow('FATAL 08006: the database behind this gateway')
    await gateway.logged('28P01: password authentication failed for user "postgres"')
    expect(gateway.log()).not.toContain('do not show')
  })
})

describe('an auth plugin', () => {
  test('answers the login, and its clients get connections that are logged in', async () => {
    await buildPlugins()
    await using gateway = await startPooled(server, {
      server: { auth: '' },
      plugins: { plugins: [scripted({ HOOKS: '16', AUTH: 'secret of the plugin' })] },
    })
    expect(await logIns(gateway, 'anybody', 'secret of the plugin')).toEqual(IN)
    for (const words of await logIns(gateway, 'anybody', 'wrong')) {
      expect(words).toContain('the plugin does not know you')
    }
    using wire = await connectWire(gateway)
    const who = { user: 'ann', database: 'postgres', password: 'secret of the plugin' }
    const { parameters, pid } = await wire.login(who)
    expect(parameters.get('server_version')).not.toBe('1.2.3')
    expect(pid).not.toBe(1)
  })

  test('that lets a login pass lets nobody in', async () => {
    await using gateway = await startPooled(server, {
      server: { auth: '' },
      plugins: { plugins: [scripted({ HOOKS: '16' })] },
    })
    await expect(enter(gateway)).rejects.toThrow('FATAL 28000: nobody has let this client in')
  })
})
