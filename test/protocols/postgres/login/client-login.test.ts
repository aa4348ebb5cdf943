import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeIdentity } from '../../../../src/plugins/grpc/cert.ts'
import { certificateBinding } from '../../../../src/protocols/postgres/login/certificate-binding.ts'
import { Credentials } from '../../../../src/protocols/postgres/login/scram-client.ts'
import { Secret } from '../../../../src/protocols/postgres/login/secret.ts'
import { cancelRequest, PROTOCOL_3_2 } from '../../../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../../../kit/postgres.ts'
import { postgresPrograms } from '../../../kit/postgres-binaries.ts'
import { connectWire, openSession } from '../../../kit/wire.ts'
import { dial, loginOf } from './dial.ts'

setDefaultTimeout(30_000)

const PASSWORD = "pass'w\\ord ü\u00a0\u2168"
const METHODS = ['trust', 'password', 'md5', 'scram-sha-256'] as const

let server: PostgresServer
let folder: string
/** Hash of the server's certificate. */
let binding: Uint8Array
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-login-'))
  server = await startPostgres({ settings: await tlsSettings() })
  const wire = await openSession(server)
  const literal = `'${PASSWORD.replaceAll("'", "''")}'`
  for (const method of METHODS) {
    const stored = method === 'md5' ? 'md5' : 'scram-sha-256'
    await wire.rows(`set password_encryption = '${stored}'`)
    await wire.rows(`create role "${method}" login password ${literal}`)
  }
  const rules = METHODS.map((method) => `host all "${method}" 127.0.0.1/32 ${method}`)
  const lines = [...rules, 'host all all 127.0.0.1/32 trust']
  const [[file] = []] = await wire.rows('show hba_file')
  const written = lines.map((line) => `('${line}')`).join(', ')
  await wire.rows(`copy (select * from (values ${written}) as rules(line)) to '${file}'`)
  await wire.terminate()
  // Only a restart says when the rules hold.
  await server.restart()
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true })
})

/** Files that the server may read, whoever it runs as. */
async function tlsSettings(): Promise<Record<string, string>> {
  const { certificate, key } = await makeIdentity()
  binding = certificateBinding(certificate)!
  const { account } = await postgresPrograms()
  const files = { ssl_cert_file: join(folder, 'cert.pem'), ssl_key_file: join(folder, 'key.pem') }
  writeFileSync(files.ssl_cert_file, certificate)
  writeFileSync(files.ssl_key_file, key)
  chmodSync(folder, 0o755)
  chmodSync(files.ssl_key_file, 0o600)
  if (account !== null) chownSync(files.ssl_key_file, account.uid, account.gid)
  return { ssl: 'on', ...files }
}

describe.each(METHODS)('a server that asks by %s', (method) => {
  test('lets the pool in, however its bytes are cut', async () => {
    for (const pieceBytes of [undefined, 1, 7]) {
      const where = { port: server.port, ...(pieceBytes === undefined ? {} : { pieceBytes }) }
      const parameters = [
        ['application_name', 'pool'],
        ['search_path', 'a, b'],
      ] as const
      using dialled = await dial(where, loginOf(method, PASSWORD, { parameters }))
      const { login } = dialled
      expect(login.parameters.get('application_name')).toBe('pool')
      expect(login.parameters.get('server_version')).toBeDefined()
      expect(login.cancelKey).toHaveLength(8)
      expect(login.status).toBe(0x49)
      expect(login.rest).toHaveLength(0)
      expect(await dialled.row('select current_user')).toEqual([method])
      expect(await dialled.row('show search_path')).toEqual(['a, b'])
    }
  })
})

describe.each(METHODS.slice(1))('a server that asks by %s', (method) => {
  test('refuses a wrong password in words', async () => {
    using dialled = await dial({ port: server.port }, loginOf(method, 'wrong'))
    expect(dialled.failure).toBe(`28P01: password authentication failed for user "${method}"`)
  })

  test('is not asked in vain without a password', async () => {
    using dialled = await dial({ port: server.port }, loginOf(method, ''))
    expect(dialled.failure).toBe('28P01: the server asks for a password, and none is set')
  })
})

describe('a login at a real server', () => {
  test('by clear text is refused where the password would be seen', async () => {
    const careful = loginOf('password', PASSWORD, { cleartextPermitted: false })
    using dialled = await dial({ port: server.port }, careful)
    expect(dialled.failure).toStartWith('28000: the server asks for the password in clear text')
  })

  test('over TLS is bound to the certificate, and fails with that of another', async () => {
    const where = { port: server.port, tls: true }
    using bound = await dial(where, loginOf('scram-sha-256', PASSWORD, { binding }))
    expect(bound.login.status).toBe(0x49)
    using unbound = await dial(where, loginOf('scram-sha-256', PASSWORD))
    expect(unbound.login.status).toBe(0x49)
    const other = new Uint8Array(32)
    using wrong = await dial(where, loginOf('scram-sha-256', PASSWORD, { binding: other }))
    expect(wrong.failure).toBe('28000: SCRAM channel binding check failed')
  })

  test('of protocol 3.2 has a longer cancel key, which cancels', async () => {
    const options = loginOf('trust', '', { protocol: PROTOCOL_3_2 })
    using dialled = await dial({ port: server.port }, options)
    const { cancelKey, protocol } = dialled.login
    expect(protocol).toBe(PROTOCOL_3_2)
    expect(cancelKey.length).toBeGreaterThan(8)
    const pid = new DataView(cancelKey.buffer, cancelKey.byteOffset).getUint32(0)
    let ended = ''
    const sleeping = dialled.row('select pg_sleep(60)').catch((error: Error) => {
      ended = error.message
    })
    // The first may come before the query does.
    while (ended === '') {
      const wire = await connectWire(server)
      wire.send(cancelRequest(pid, cancelKey.slice(4)))
      await wire.closed()
      wire.destroy()
    }
    await sleeping
    expect(ended).toStartWith('57014')
  })

  test('with a newer version or unknown options ends with what both speak', async () => {
    const parameters = [['_pq_.unknown', 'x']] as const
    const options = loginOf('trust', '', { protocol: 196_608 + 9999, parameters })
    using dialled = await dial({ port: server.port }, options)
    expect(dialled.login.protocol).toBe(PROTOCOL_3_2)
  })

  test('that fails for another reason says it in the words of the server', async () => {
    using nobody = await dial({ port: server.port }, loginOf('nobody', ''))
    expect(nobody.failure).toBe('28000: role "nobody" does not exist')
    using nowhere = await dial({ port: server.port }, loginOf('trust', '', { database: 'nowhere' }))
    expect(nowhere.failure).toBe('3D000: database "nowhere" does not exist')
    const parameters = [['nonsense', '1']] as const
    using setting = await dial({ port: server.port }, loginOf('trust', '', { parameters }))
    expect(setting.failure).toBe('42704: unrecognized configuration parameter "nonsense"')
  })

  test('makes the keys of a password once for all logins of a pool', async () => {
    const credentials = new Credentials(new Secret(PASSWORD))
    let made = 0
    const keys = credentials.keys.bind(credentials)
    const seen = new Set<unknown>()
    credentials.keys = (salt, iterations) => {
      const found = keys(salt, iterations)
      if (!seen.has(found)) made += 1
      seen.add(found)
      return found
    }
    for (let count = 0; count < 3; count++) {
      const options = loginOf('scram-sha-256', '', { credentials })
      using dialled = await dial({ port: server.port }, options)
      expect(dialled.login.status).toBe(0x49)
    }
    expect(made).toBe(1)
  })
})
