import { describe, expect, test } from 'bun:test'
import * as answers from '../../../../src/protocols/postgres/login/answers.ts'
import {
  ClientLogin,
  LOGIN_BYTES_MAX,
  type LoginStep,
  PARAMETERS_MAX,
} from '../../../../src/protocols/postgres/login/client-login.ts'
import { md5Hash } from '../../../../src/protocols/postgres/login/md5.ts'
import { Credentials } from '../../../../src/protocols/postgres/login/scram-client.ts'
import { Secret } from '../../../../src/protocols/postgres/login/secret.ts'
import {
  type LoginMethod,
  ServerLogin,
  type ServerLoginStep,
} from '../../../../src/protocols/postgres/login/server-login.ts'
import { Users } from '../../../../src/protocols/postgres/login/users.ts'
import {
  errorResponse,
  readyForQuery,
  warning,
} from '../../../../src/protocols/postgres/messages.ts'
import { concat, cstring, int32, message } from '../../../kit/frontend.ts'
import { stored } from './vector.ts'

const RANDOM_MESSAGES = 10_000
const PASSWORD = 'pencil'
const users = new Users([
  ['plain', new Secret(PASSWORD)],
  ['hashed', new Secret(md5Hash('hashed', PASSWORD))],
  ['scram', new Secret(stored(PASSWORD))],
])
/** Kept, or every login would do the slow step. */
const credentials = new Credentials(new Secret(PASSWORD))

const READY = concat(
  answers.authenticationOk(),
  answers.parameterStatus('TimeZone', 'UTC'),
  answers.backendKeyData(new Uint8Array(8)),
  readyForQuery(0x49),
)

function client(user = 'scram', more = {}): ClientLogin {
  return new ClientLogin({ user, database: 'db', credentials, cleartextPermitted: true, ...more })
}

function sentence(step: LoginStep): string {
  return step.kind === 'failed' ? step.failure.sentence : step.kind
}

/** A way to change one message of several; the others stay as they are. */
type Change = (bytes: Uint8Array, index: number) => Uint8Array

interface Ends {
  readonly server: ServerLoginStep['kind']
  readonly client: LoginStep['kind']
}

/** Both machines against each other, with somebody between them. */
function converse(
  method: LoginMethod,
  user: string,
  toServer: Change = (bytes) => bytes,
  toClient: Change = (bytes) => bytes,
): Ends {
  const login = new ServerLogin({ method, users, binding: null })
  const pool = client(user)
  let step = login.begin(user)
  for (let turn = 0; turn < 5; turn++) {
    const last = step.kind === 'admitted'
    if (step.kind === 'refused') return { server: 'refused', client: 'more' }
    const said = last ? concat(step.bytes, READY) : step.bytes
    const reply = pool.take(toClient(said, turn))
    if (last || reply.kind !== 'more' || reply.bytes.length === 0) {
      return { server: step.kind, client: reply.kind }
    }
    step = login.take(toServer(reply.bytes, turn))
  }
  throw new Error('the login has no end')
}

const flip =
  (turn: number, bit: number): Change =>
  (bytes, index) => {
    if (index !== turn) return bytes
    const flipped = Uint8Array.from(bytes)
    const at = bit >> 3
    if (at < flipped.length) flipped[at]! ^= 1 << (bit & 7)
    return flipped
  }
const cut =
  (turn: number, end: number): Change =>
  (bytes, index) =>
    index === turn ? bytes.subarray(0, end) : bytes

/** Lengths of what the client says, in order. */
function lengthsOf(method: LoginMethod, user: string): number[] {
  const lengths: number[] = []
  const ends = converse(method, user, (bytes) => {
    lengths.push(bytes.length)
    return bytes
  })
  expect(ends).toEqual({ server: 'admitted', client: 'loggedIn' })
  return lengths
}

function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length))
}

const randomBelow = (end: number): number => Math.floor(Math.random() * end)

describe.each([
  ['md5', 'plain'],
  ['md5', 'hashed'],
  ['scram-sha-256', 'plain'],
  ['scram-sha-256', 'scram'],
] as const)('the server by %s for %s', (method, user) => {
  test('admits no message that is cut', () => {
    for (const [turn, length] of lengthsOf(method, user).entries()) {
      for (let end = 0; end < length; end++) {
        expect(converse(method, user, cut(turn, end)).server).not.toBe('admitted')
      }
    }
  })

  test('admits no message with a flipped bit', () => {
    for (const [turn, length] of lengthsOf(method, user).entries()) {
      const admitted: number[] = []
      for (let bit = 0; bit < length * 8; bit++) {
        const { server } = converse(method, user, flip(turn, bit))
        if (server === 'admitted') admitted.push(bit >> 3)
      }
      // Two bits of the last letter of a base64 text stand for nothing.
      for (const at of admitted) expect(at).toBe(length - 2)
      expect(admitted.length).toBeLessThanOrEqual(2)
    }
  })

  test(`admits none of ${RANDOM_MESSAGES} random messages`, () => {
    const first = Buffer.from('n,,n=,r=abcdefgh')
    const initial = message('p', cstring('SCRAM-SHA-256'), int32(first.length), first)
    for (let count = 0; count < RANDOM_MESSAGES / 4; count++) {
      const login = new ServerLogin({ method, users, binding: null })
      login.begin(user)
      if (method !== 'md5' && count % 2 === 0) login.take(initial)
      const letters = Buffer.from(randomBytes(randomBelow(40)).toBase64())
      const body = count % 3 === 0 ? letters : randomBytes(randomBelow(200))
      const framed = count % 5 === 0 ? body : message('p', body, new Uint8Array(count % 2))
      expect(login.take(framed).kind).not.toBe('admitted')
    }
  })
})

describe('the client', () => {
  test('is let in by no SCRAM server whose messages are cut or changed', () => {
    for (const turn of [0, 1, 2]) {
      let length = 0
      converse('scram-sha-256', 'scram', undefined, (bytes, index) => {
        if (index === turn) length = bytes.length
        return bytes
      })
      // Behind the last words of SCRAM come Ok and parameters, where a flipped bit may be a fact.
      const end = turn === 2 ? length - READY.length : length
      for (let at = 0; at < end; at++) {
        const way = converse('scram-sha-256', 'scram', undefined, cut(turn, at))
        expect(way.client).not.toBe('loggedIn')
      }
      const passed: number[] = []
      for (let bit = 0; bit < end * 8; bit++) {
        const way = converse('scram-sha-256', 'scram', undefined, flip(turn, bit))
        if (way.client === 'loggedIn') passed.push(bit >> 3)
      }
      // What means nothing: spare bits of a base64 text.
      expect(passed.filter((at) => at < end - 2)).toEqual([])
    }
  })

  test('does not take Ok from a SCRAM server that has proved nothing', () => {
    const asked = answers.authenticationSasl(['SCRAM-SHA-256'])
    for (const words of [READY, concat(answers.saslFinal('v='), READY)]) {
      const login = client()
      expect(login.take(asked).kind).toBe('more')
      expect(sentence(login.take(words))).toContain('out of turn')
    }
  })

  test('survives random messages, and is let in by none of them', () => {
    const asked = answers.authenticationSasl(['SCRAM-SHA-256'])
    for (let count = 0; count < RANDOM_MESSAGES; count++) {
      const login = client()
      login.take(asked)
      const tag = 'RSKZENvA'[randomBelow(8)]!
      const body = randomBytes(randomBelow(60))
      const bytes = tag === 'R' ? message(tag, int32(randomBelow(14)), body) : message(tag, body)
      const step = login.take(count % 4 === 0 ? body : concat(bytes, READY))
      expect(step.kind).not.toBe('loggedIn')
    }
  })

  test('names methods that it does not know', () => {
    const methods: [Uint8Array, string][] = [
      [message('R', int32(2)), 'Kerberos V5'],
      [message('R', int32(6)), 'SCM credentials'],
      [message('R', int32(7)), 'GSSAPI'],
      [message('R', int32(9)), 'SSPI'],
      [message('R', int32(99)), 'login method 99'],
      [answers.authenticationSasl(['OAUTHBEARER', 'x']), 'offers "OAUTHBEARER", "x"; only SCRAM'],
      [answers.authenticationSasl(['SCRAM-SHA-256-PLUS']), 'offers "SCRAM-SHA-256-PLUS"'],
      [answers.authenticationSasl([]), 'the server offers'],
    ]
    for (const [question, words] of methods) {
      expect(sentence(client().take(question))).toStartWith('28000: the server ')
      expect(sentence(client().take(question))).toContain(words)
    }
  })

  test('has a limit for all that a server may say before it is ready', () => {
    const login = client()
    const notice = warning({ code: '01000', message: 'x'.repeat(1000) })
    let step: LoginStep = { kind: 'more', bytes: new Uint8Array(0) }
    let sent = 0
    while (step.kind === 'more' && sent < LOGIN_BYTES_MAX * 2) {
      sent += notice.length
      step = login.take(notice)
    }
    expect(sentence(step)).toBe(
      `08P01: the server sent more than ${LOGIN_BYTES_MAX} bytes and was not ready`,
    )
    expect(sentence(login.take(READY))).toBe('08P01: the login is over')
    const declared = concat(Buffer.from('N'), int32(LOGIN_BYTES_MAX + 1))
    expect(sentence(client().take(declared))).toContain('declares a message of')
    const many = Array.from({ length: PARAMETERS_MAX + 1 }, (_, index) =>
      answers.parameterStatus(`p${index}`, ''),
    )
    expect(sentence(client().take(concat(...many)))).toContain('more than 500 parameters')
  })

  test('says what is no login at all', () => {
    const bad: [Uint8Array, string][] = [
      [Buffer.from('HTTP/1.1 400 Bad Request\r\n'), '0x48, which is no message of a login'],
      [message('Z', Buffer.from('I')), 'ReadyForQuery malformed or out of turn'],
      [message('K', new Uint8Array(8)), 'BackendKeyData malformed or out of turn'],
      [concat(answers.authenticationOk(), message('K', new Uint8Array(261))), 'BackendKeyData'],
      [message('R'), 'Authentication malformed'],
      [message('R', int32(5), new Uint8Array(3)), 'AuthenticationMD5Password malformed'],
      [message('E', Buffer.from('x')), 'ErrorResponse malformed'],
      [message('v', int32(4 << 16), int32(0)), 'the protocol version malformed'],
      [message('v', int32(3)), 'NegotiateProtocolVersion malformed'],
      [Uint8Array.of(0x52, 0, 0, 0, 3), 'declares a message of 3 bytes'],
    ]
    for (const [bytes, words] of bad) expect(sentence(client().take(bytes))).toContain(words)
  })

  test('ignores notices, and keeps what comes behind ReadyForQuery for others', () => {
    const login = client()
    const notice = warning({ code: '01000', message: 'mind the gap' })
    const later = answers.parameterStatus('TimeZone', 'Asia/Tokyo')
    const step = login.take(concat(notice, READY, later))
    if (step.kind !== 'loggedIn') throw new Error(sentence(step))
    expect(step.login.rest).toEqual(later)
    expect(step.login.parameters).toEqual(new Map([['TimeZone', 'UTC']]))
  })

  test('gives the words of the server on, marked as its own', () => {
    const refused = { code: '53300', message: 'sorry, too many clients already' }
    const step = client().take(errorResponse(refused, 'FATAL'))
    expect(step).toEqual({
      kind: 'failed',
      failure: { ...refused, told: true, sentence: `53300: ${refused.message}` },
    })
  })
})
