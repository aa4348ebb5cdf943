/** TLS end to end: the executable, a real PostgreSQL with TLS and without, and real clients. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { findProgram } from '../bench/programs.ts'
import {
  type Authority,
  makeAuthority,
  makePemFolder,
  type PemFolder,
} from '../kit/certificates.ts'
import { run } from '../kit/command.ts'
import { cancelRequest, query } from '../kit/frontend.ts'
import { type RunningGateway, runPostern, startGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { connectTls } from '../kit/tls-wire.ts'
import { metric, mustBeSound, startBefore, statusOf, until, waits } from '../kit/traffic.ts'
import { openSession } from '../kit/wire.ts'

setDefaultTimeout(30_000)

const psql = findProgram('psql')

let folder: PemFolder
let authority: Authority
let plain: PostgresServer
let encrypted: PostgresServer
beforeAll(async () => {
  folder = makePemFolder()
  authority = await makeAuthority()
  folder.write('authority.crt', authority.certificate)
  const hosts = { hosts: ['localhost'], addresses: ['127.0.0.1'] }
  folder.put('gateway', await authority.issue({ subject: 'CN=gateway', ...hosts }))
  folder.put('ann', await authority.issue({ subject: 'CN=ann' }))
  const own = await authority.issue({ subject: 'CN=db', ...hosts })
  folder.put('database', own)
  const tls = { ...own, required: true }
  const started = [startPostgres(), startPostgres({ auth: 'scram-sha-256', tls })] as const
  ;[plain, encrypted] = await Promise.all(started)
})
afterAll(async () => {
  await Promise.all([plain.stop(), encrypted.stop()])
  folder[Symbol.dispose]()
})

const file = (name: string): string => join(folder.path, name)
/** The keys that offer TLS with a certificate of that name. */
const offer = (name = 'gateway', more: object = {}) => ({
  enableTLS: true,
  certFile: file(`${name}.crt`),
  keyFile: file(`${name}.key`),
  ...more,
})

/** Runs one statement in psql: what it printed, or what it complained of. */
async function ask(gateway: RunningGateway, how: Readonly<Record<string, string>>, sql: string) {
  const at = { host: 'localhost', port: gateway.port, user: 'postgres', dbname: 'postgres' }
  const words = Object.entries({ ...at, connect_timeout: '10', ...how })
  const target = words.map(([key, value]) => `${key}=${value}`).join(' ')
  const env = { PATH: '/usr/bin:/bin', HOME: folder.path, PGPASSWORD: plain.password }
  const { status, stdout, stderr } = await run([psql ?? '', '-XqAtc', sql, target], { env })
  return status === 0 ? stdout.trim() : stderr.trim()
}

describe('TLS to clients', () => {
  let gateway: RunningGateway
  beforeAll(async () => {
    const asking = { clientCert: 'optional', clientCaFile: file('authority.crt') }
    gateway = await startBefore(plain, { server: offer('gateway', asking) })
  })
  afterAll(async () => {
    await mustBeSound(gateway)
    await gateway.stop()
  })

  test.skipIf(psql === null)('serves psql with every sslmode (needs psql)', async () => {
    const sslrootcert = file('authority.crt')
    const modes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full']
    for (const sslmode of modes) {
      expect(await ask(gateway, { sslmode, sslrootcert }, 'select 7')).toBe('7')
    }
    const older = { sslmode: 'require', ssl_max_protocol_version: 'TLSv1.2' }
    expect(await ask(gateway, older, 'select 12')).toBe('12')
    expect(await metric(gateway, 'postern_tls_connections_total', { version: 'TLSv1.2' })).toBe(1)
  })

  test.skipIf(psql === null)('copies both ways, the same bytes (needs psql)', async () => {
    const require = { sslmode: 'require' }
    const rows = 'select n, repeat(md5(n::text), 20) as t from generate_series(1, 40000) n'
    await ask(gateway, require, 'create table copied (n int, t text)')
    await ask(gateway, require, `\\copy (${rows}) to '${file('rows')}'`)
    expect(statSync(file('rows')).size).toBeGreaterThan(25_000_000)
    await ask(gateway, require, `\\copy copied from '${file('rows')}'`)
    const differing = `select count(*) from (${rows}) made full join copied using (n, t)`
    expect(await ask(gateway, require, differing)).toBe('40000')
  })

  test('serves a driver, direct TLS, and a cancel within TLS', async () => {
    const client = new Client({
      host: 'localhost',
      port: gateway.port,
      user: plain.user,
      database: plain.database,
      ssl: { ca: authority.certificate },
    })
    await client.connect()
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    await client.end()

    const { wire } = await connectTls(gateway, { direct: true, servername: 'localhost' })
    const { pid, secret } = await wire.login({ user: plain.user, database: plain.database })
    using holder = await openSession(plain)
    await holder.query('select pg_advisory_lock(1)')
    wire.send(query('select pg_advisory_lock(1)'))
    await waits(holder, pid, 'advisory')
    const canceller = await connectTls(gateway)
    canceller.wire.send(cancelRequest(pid, secret))
    await canceller.wire.closed()
    expect(await wire.readUntil('ErrorResponse')).toContainEqual(
      expect.objectContaining({ code: '57014' }),
    )
    for (const used of [wire, canceller.wire]) used.destroy()
  })

  test.skipIf(psql === null)('tells psql which certificate it wants (needs psql)', async () => {
    const stranger = await (await makeAuthority('CN=stranger')).issue({ subject: 'CN=ann' })
    folder.put('stranger', stranger)
    const shown = (name: string) => ({
      sslmode: 'require',
      sslcert: file(`${name}.crt`),
      sslkey: file(`${name}.key`),
    })
    expect(await ask(gateway, shown('ann'), 'select 1')).toBe('1')
    expect(await ask(gateway, shown('stranger'), 'select 1')).toContain(
      'FATAL:  the client certificate is not valid here',
    )
  })

  test('shows another certificate when the files change, without a restart', async () => {
    const shown = async (): Promise<string> => {
      const { tls, wire } = await connectTls(gateway)
      const name = String(tls.getPeerCertificate().subject.CN)
      wire.destroy()
      return name
    }
    expect(await shown()).toBe('gateway')
    folder.put('gateway', await authority.issue({ subject: 'CN=renewed', hosts: ['localhost'] }))
    await until('the new certificate is shown', async () => (await shown()) === 'renewed')
    folder.write('gateway.crt', 'no certificate')
    await gateway.logged('holds no certificate in PEM form')
    expect(await shown()).toBe('renewed')
    const refused = { outcome: 'refused' }
    expect(await metric(gateway, 'postern_tls_certificate_changes_total', refused)).toBe(1)
    folder.put('gateway', await authority.issue({ subject: 'CN=gateway', hosts: ['localhost'] }))
  })

  test('ends sessions in good order on SIGTERM', async () => {
    await using other = await startBefore(plain, { server: offer('database') })
    const { wire } = await connectTls(other)
    await wire.login({ user: plain.user, database: plain.database })
    const ending = other.stop()
    expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '57P01' })
    await wire.closed()
    wire.destroy()
    expect((await ending).status).toBe(0)
  })

  test('that is required is told to who has none; a wrong file ends the start', async () => {
    await using strict = await startBefore(plain, {
      server: offer('database', { requireTLS: true }),
    })
    await expect(openSession({ ...plain, port: strict.port })).rejects.toThrow(
      'FATAL 28000: this gateway takes encrypted connections only',
    )
    expect(await metric(strict, 'postern_tls_required_total')).toBe(1)
    const mixed = { ...offer('database'), keyFile: file('ann.key') }
    const config = { servers: { default: mixed }, clients: { default: { writes: {} } } }
    const starting = startGateway({ config })
    await expect(starting).rejects.toThrow(
      `servers.default.keyFile: ${file('ann.key')} is not the key of the certificate in`,
    )
  })
})

test('the page of metrics is served over HTTPS', async () => {
  const keys = { certFile: file('database.crt'), keyFile: file('database.key') }
  await using gateway = await startBefore(plain, { top: { metrics: { default: keys } } })
  const url = `https://127.0.0.1:${gateway.metricsPort}`
  const page = await fetch(`${url}/metrics`, { tls: { ca: authority.certificate } })
  expect(await page.text()).toContain('postern_sessions_open')
  const { stdout } = await runPostern(['status'], { env: gateway.env })
  expect(stdout).toContain(url)
})

describe('TLS to the database', () => {
  const rootCert = () => ({ sslRootCert: file('authority.crt') })
  const login = { sslmode: 'disable' }

  test.skipIf(psql === null)('is there in each mode that finds it good (needs psql)', async () => {
    const modes: readonly Readonly<Record<string, string>>[] = [
      { sslMode: 'prefer' },
      { sslMode: 'require' },
      { sslMode: 'verify-ca', ...rootCert() },
      { sslMode: 'verify-full', ...rootCert() },
    ]
    const isEncrypted = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()'
    for (const client of modes) {
      await using gateway = await startBefore(encrypted, { client })
      expect(await ask(gateway, login, isEncrypted)).toBe('t')
    }
  })

  test('that is not there, or not to be trusted, is told to the operator only', async () => {
    folder.write('stranger-ca.crt', (await makeAuthority('CN=stranger')).certificate)
    const cases = [
      [plain, { sslMode: 'require' }, 'it has no TLS, which sslMode demands'],
      [
        encrypted,
        { sslMode: 'verify-full', sslRootCert: file('stranger-ca.crt') },
        'name the authority that has signed it in sslRootCert',
      ],
    ] as const
    for (const [database, client, cause] of cases) {
      await using gateway = await startBefore(database, { client })
      const refused = openSession({ ...plain, port: gateway.port })
      await expect(refused).rejects.toThrow('08006: the database behind this gateway cannot be')
      await gateway.logged(cause)
      expect((await statusOf(gateway)).upstreams[0]?.lastError).toContain(cause)
      const { stdout } = await runPostern(['status'], { env: gateway.env })
      expect(stdout).toContain(cause)
    }
  })

  describe('with SCRAM that binds to TLS, on both sides', () => {
    const bind = { sslmode: 'require', channel_binding: 'require' }

    test.skipIf(psql === null)('fails, and psql is told the ways out (needs psql)', async () => {
      await using gateway = await startBefore(encrypted, {
        server: offer(),
        client: { sslMode: 'require' },
      })
      const refused = await ask(gateway, { sslmode: 'require' }, 'select 1')
      expect(refused).toContain('FATAL:  SCRAM channel binding check failed')
      expect(refused).toContain('DETAIL:  TLS ends at the gateway')
      expect(refused).toContain('HINT:  Connect with channel_binding=disable')
      // Two of the ways need no other gateway.
      const unbound = { sslmode: 'require', channel_binding: 'disable' }
      expect(await ask(gateway, unbound, "select 'disabled'")).toBe('disabled')
      expect(await ask(gateway, { sslmode: 'disable' }, "select 'plain here'")).toBe('plain here')
    })

    test.skipIf(psql === null)(
      'works with the certificate of the database (needs psql)',
      async () => {
        await using gateway = await startBefore(encrypted, {
          server: offer('database'),
          client: { sslMode: 'verify-full', ...rootCert() },
        })
        expect(await ask(gateway, bind, "select 'bound'")).toBe('bound')
      },
    )

    test.skipIf(psql === null)(
      'works where the gateway asks the client itself (needs psql)',
      async () => {
        folder.write('users', `"postgres" "${plain.password}"\n`)
        const { user, password, database } = encrypted
        await using gateway = await startBefore(encrypted, {
          server: offer('gateway', { auth: 'scram-sha-256', authFile: file('users') }),
          client: { sslMode: 'require', startupParams: { user, password, database } },
        })
        expect(await ask(gateway, bind, "select 'bound to the gateway'")).toBe(
          'bound to the gateway',
        )
      },
    )

    test.skipIf(psql === null)('works in plain behind the gateway (needs psql)', async () => {
      await using database = await startPostgres({ auth: 'scram-sha-256' })
      await using gateway = await startBefore(database, { server: offer() })
      expect(await ask(gateway, { sslmode: 'require' }, "select 'plain there'")).toBe('plain there')
    })
  })
})
