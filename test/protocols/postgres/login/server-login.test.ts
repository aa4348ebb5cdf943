import { beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { Client } from 'pg'
import postgres from 'postgres'
import type { Identity } from '../../../../src/plugins/grpc/cert.ts'
import { certificateBinding } from '../../../../src/protocols/postgres/login/certificate-binding.ts'
import { md5Hash } from '../../../../src/protocols/postgres/login/md5.ts'
import { Secret } from '../../../../src/protocols/postgres/login/secret.ts'
import {
  LOGIN_MESSAGE_BYTES_MAX,
  type LoginMethod,
  ServerLogin,
} from '../../../../src/protocols/postgres/login/server-login.ts'
import { Users } from '../../../../src/protocols/postgres/login/users.ts'
import { findProgram } from '../../../bench/programs.ts'
import { decode } from '../../../kit/backend.ts'
import { run } from '../../../kit/command.ts'
import * as frontend from '../../../kit/frontend.ts'
import { md5Password, startScram } from '../../../kit/login.ts'
import { certificateSignedBy } from './certificates.ts'
import { dial, loginOf } from './dial.ts'
import { type Guard, startGuard } from './guard.ts'
import { stored } from './vector.ts'

setDefaultTimeout(20_000)

const psql = findProgram('psql')
const PASSWORD = 'péncil'
const SECRETS = {
  plain: PASSWORD,
  hashed: md5Hash('hashed', PASSWORD),
  scram: stored(PASSWORD),
  empty: '',
}
const users = new Users(
  Object.entries(SECRETS).map(([name, secret]) => [name, new Secret(secret)] as const),
)

let identity: Identity
beforeAll(async () => {
  // libpq must come to the same hash, which is not SHA-256 for every certificate.
  identity = await certificateSignedBy({ name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-384' })
})

interface Visit {
  readonly port: number
  readonly user: string
  readonly password: string
}

/** Logs in and asks for the answer; how it went, as a client tells it. */
const CLIENTS: Readonly<Record<string, (visit: Visit) => Promise<string>>> = {
  async pg({ port, user, password }) {
    const client = new Client({ host: '127.0.0.1', port, user, password, database: 'db' })
    try {
      await client.connect()
      const { rows } = await client.query('select 42')
      return rows[0].answer
    } catch (error) {
      return (error as Error).message
    } finally {
      await client.end()
    }
  },
  async postgres({ port, user, password }) {
    const options = { host: '127.0.0.1', port, user, password, database: 'db' }
    const sql = postgres({ ...options, max: 1, fetch_types: false, onnotice: () => {} })
    try {
      const [row] = await sql.unsafe('select 42').simple()
      return row?.['answer']
    } catch (error) {
      return (error as Error).message
    } finally {
      await sql.end()
    }
  },
  async 'the pool of the gateway'({ port, user, password }) {
    using dialled = await dial({ port }, loginOf(user, password))
    return dialled.step.kind === 'failed'
      ? dialled.step.failure.message
      : ((await dialled.row('select 42'))[0] ?? '')
  },
}

async function runPsql({ port, user, password }: Visit, more = ''): Promise<string> {
  const target = `host=127.0.0.1 port=${port} user=${user} dbname=db connect_timeout=10 ${more}`
  const env = { PATH: process.env['PATH'], PGPASSWORD: password, LC_ALL: 'C.UTF-8' }
  const { status, stdout, stderr } = await run([psql!, '-X', '-At', '-c', 'select 42', target], {
    env,
  })
  return status === 0 ? stdout.trim() : stderr
}

const admits: readonly (readonly [LoginMethod, string])[] = [
  ['trust', 'anybody'],
  ['scram-sha-256', 'plain'],
  ['scram-sha-256', 'scram'],
  ['md5', 'plain'],
  ['md5', 'hashed'],
  ['md5', 'scram'],
]

describe.each(Object.entries(CLIENTS))('the client %s', (_name, visit) => {
  test.each(admits)('is admitted by %s as the user %s', async (method, user) => {
    using guard = startGuard({ method, users })
    expect(await visit({ port: guard.port, user, password: PASSWORD })).toBe('42')
    expect(guard.outcomes).toEqual(['admitted'])
  })

  test.each(admits.slice(1))(
    'is refused by %s as %s with a wrong password',
    async (method, user) => {
      using guard = startGuard({ method, users })
      const said = await visit({ port: guard.port, user, password: 'wrong' })
      expect(said).toBe(`password authentication failed for user "${user}"`)
      expect(guard.outcomes).toEqual(['28P01 the password is wrong'])
    },
  )

  test('cannot tell a name that is not there from a wrong password', async () => {
    const refusals: [LoginMethod, string, string][] = [
      ['scram-sha-256', 'nobody', 'the user is not in the user file'],
      ['md5', 'nobody', 'the user is not in the user file'],
      ['md5', 'empty', 'the password in the user file is empty'],
      [
        'scram-sha-256',
        'hashed',
        'the user file has only an MD5 hash, which cannot be used for SCRAM',
      ],
    ]
    for (const [method, user, reason] of refusals) {
      using guard = startGuard({ method, users })
      const said = await visit({ port: guard.port, user, password: PASSWORD })
      expect(said).toBe(`password authentication failed for user "${user}"`)
      expect(guard.outcomes).toEqual([`28P01 ${reason}`])
    }
  })
})

describe('psql', () => {
  const visit = (guard: Guard, user: string, password = PASSWORD): Visit => ({
    port: guard.port,
    user,
    password,
  })

  test.skipIf(psql === null)('is admitted and refused by each method (needs psql)', async () => {
    for (const [method, user] of admits) {
      using guard = startGuard({ method, users })
      expect(await runPsql(visit(guard, user), 'sslmode=disable')).toBe('42')
      if (method === 'trust') continue
      const refused = await runPsql(visit(guard, user, 'wrong'), 'sslmode=disable')
      expect(refused).toContain(`FATAL:  password authentication failed for user "${user}"`)
      expect(guard.outcomes).toEqual(['admitted', '28P01 the password is wrong'])
    }
  })

  test.skipIf(psql === null)('binds to the certificate of the gateway (needs psql)', async () => {
    for (const user of ['plain', 'scram']) {
      using guard = startGuard({ method: 'scram-sha-256', users, identity })
      const bound = 'sslmode=require channel_binding=require'
      expect(await runPsql(visit(guard, user), bound)).toBe('42')
      const unbound = 'sslmode=require channel_binding=disable'
      expect(await runPsql(visit(guard, user), unbound)).toBe('42')
      expect(await runPsql(visit(guard, user), 'sslmode=disable')).toBe('42')
      expect(await runPsql(visit(guard, user, 'wrong'), bound)).toContain('authentication failed')
    }
  })
})

test('the pool of a gateway binds to the certificate of another', async () => {
  using guard = startGuard({ method: 'scram-sha-256', users, identity })
  const where = { port: guard.port, tls: true }
  const of = (binding: Uint8Array) => dial(where, loginOf('scram', PASSWORD, { binding }))
  using bound = await of(certificateBinding(identity.certificate)!)
  expect(bound.login.status).toBe(0x49)
  using wrong = await of(new Uint8Array(32))
  expect(wrong.failure).toBe('28000: SCRAM channel binding check failed')
})

/** What a login answers to messages; every one but the last must be a question. */
function refusal(method: LoginMethod, user: string, ...messages: Uint8Array[]) {
  const login = new ServerLogin({ method, users, binding: null })
  let step = login.begin(user)
  for (const message of messages) {
    expect(step.kind).toBe('say')
    step = login.take(message)
  }
  if (step.kind !== 'refused') throw new Error(`it was ${step.kind}`)
  return { code: step.refused.code, message: step.refused.message, reason: step.reason }
}

describe('a login', () => {
  const scramFirst = () => frontend.saslInitial('SCRAM-SHA-256', startScram('x').first)

  test('takes nothing but a password message while it waits for one', () => {
    for (const message of [frontend.query('select 1'), frontend.sync(), new Uint8Array(0)]) {
      expect(refusal('md5', 'plain', message)).toMatchObject({ code: '08P01' })
      expect(refusal('scram-sha-256', 'plain', message)).toMatchObject({ code: '08P01' })
      expect(refusal('scram-sha-256', 'plain', scramFirst(), message).code).toBe('08P01')
    }
    expect(refusal('md5', 'plain', frontend.query('x')).message).toBe(
      'expected password response, got message type 81',
    )
  })

  test('refuses messages that are cut, too long, or not what was asked for', () => {
    const long = frontend.passwordMessage('x'.repeat(LOGIN_MESSAGE_BYTES_MAX))
    expect(refusal('md5', 'plain', long).code).toBe('08P01')
    expect(refusal('md5', 'plain', frontend.passwordMessage('x').subarray(0, 6)).code).toBe('08P01')
    expect(refusal('md5', 'plain', frontend.message('p')).message).toBe(
      'invalid password packet size',
    )
    const asked = refusal('scram-sha-256', 'plain', frontend.passwordMessage(PASSWORD))
    expect(asked.message).toBe('invalid SASL initial response')
    const noWords = frontend.message('p', frontend.cstring('SCRAM-SHA-256'), frontend.int32(-1))
    expect(refusal('scram-sha-256', 'plain', noWords).code).toBe('08P01')
  })

  test('names no user is refused, and the end is the end', () => {
    expect(refusal('trust', '')).toMatchObject({
      code: '28000',
      message: 'no PostgreSQL user name specified in startup packet',
    })
    const login = new ServerLogin({ method: 'trust', users, binding: null })
    expect(login.begin('a').kind).toBe('admitted')
    expect(login.take(frontend.passwordMessage('x')).kind).toBe('refused')
    expect(login.begin('a').kind).toBe('refused')
  })

  test('has a new salt each time by MD5, and the same by SCRAM, known or not', () => {
    const saltOf = (method: LoginMethod, user: string): string => {
      const login = new ServerLogin({ method, users, binding: null })
      const asked = login.begin(user)
      const step = method === 'md5' ? asked : login.take(scramFirst())
      if (step.kind !== 'say') throw new Error(step.kind)
      const read = decode(step.bytes)
      if (read.name !== 'Authentication') throw new Error(read.name)
      const text = Buffer.from(read.payload).toString('latin1')
      return method === 'md5' ? text : text.replace(/^r=[^,]*/, '')
    }
    expect(saltOf('md5', 'plain')).not.toBe(saltOf('md5', 'plain'))
    for (const user of ['plain', 'scram', 'hashed', 'empty', 'nobody']) {
      expect(saltOf('scram-sha-256', user)).toMatch(/^,s=[A-Za-z0-9+/]{22}==,i=4096$/)
      expect(saltOf('scram-sha-256', user)).toBe(saltOf('scram-sha-256', user))
    }
  })

  test('never admits by what anybody can know: an empty hash, or the stored one itself', () => {
    const hashes = ['', 'md5', SECRETS.hashed, SECRETS.scram]
    for (const user of ['nobody', 'empty', 'hashed']) {
      for (const hash of hashes) {
        expect(refusal('md5', user, frontend.passwordMessage(hash)).code).toBe('28P01')
      }
      const login = new ServerLogin({ method: 'md5', users, binding: null })
      const asked = login.begin(user)
      const salt = asked.kind === 'say' ? asked.bytes.subarray(9) : new Uint8Array(4)
      const answer = md5Password({ user, password: '' }, salt)
      expect(login.take(frontend.passwordMessage(answer)).kind).toBe('refused')
    }
  })

  test('says no secret in its reasons', () => {
    const reasons = ['plain', 'hashed', 'nobody'].map((user) =>
      JSON.stringify(refusal('md5', user, frontend.passwordMessage('swordfish'))),
    )
    expect(reasons.join()).not.toMatch(/swordfish|péncil|md5[0-9a-f]{32}/)
  })
})
