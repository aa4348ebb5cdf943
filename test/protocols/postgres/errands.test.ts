import { describe, expect, test } from 'bun:test'
import { postgresErrands } from '../../../src/protocols/postgres/errands.ts'
import { SharedConnection } from '../../../src/protocols/postgres/sharing/connection.ts'
import type { Errand, ServerState } from '../../../src/protocols/protocol.ts'
import { concat, startup } from '../../kit/frontend.ts'
import { server as says } from './stage.ts'

const errands = postgresErrands({
  user: 'pool',
  database: 'shop',
  password: 'secret',
  resetQuery: 'DISCARD ALL',
  shares: false,
  cleartextPermitted: false,
})
const newState = (): ServerState => ({
  parameters: new Map(),
  cancelKey: new Uint8Array(0),
  shared: new SharedConnection(),
})
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
/** Byte by byte, as the worst network cuts it. */
function hear(errand: Errand, bytes: Uint8Array): void {
  for (const byte of bytes) errand.take(Uint8Array.of(byte))
}

test('logging in ends at ReadyForQuery, with the parameters and the key of the server', () => {
  const state = newState()
  const errand = errands.logIn(state)
  expect(textOf(errand.opening)).toContain('user\0pool\0database\0shop\0')
  hear(errand, concat(says.authentication(0), says.parameter('TimeZone', 'UTC'), says.key(7, 9)))
  expect(errand.outcome).toBeNull()
  hear(errand, says.ready())
  expect(errand.outcome).toEqual({ kind: 'done' })
  expect(state.parameters.get('TimeZone')).toBe('UTC')
  expect([...state.cancelKey]).toEqual([0, 0, 0, 7, 0, 0, 0, 9])
})

test('a server that asks for the password in the clear does not get it', () => {
  const errand = errands.logIn(newState())
  hear(errand, says.authentication(3))
  expect(errand.outcome).toMatchObject({ kind: 'failed', refused: { code: '28000' } })
})

describe('cleaning', () => {
  test('is done when the server is idle, after a rollback where a transaction was open', () => {
    expect(textOf(errands.clean('idle', newState()).opening)).toBe('Q\0\0\0\x10DISCARD ALL\0')
    const errand = errands.clean('transaction', newState())
    expect(textOf(errand.opening)).toBe('Q\0\0\0\x0dROLLBACK\0Q\0\0\0\x10DISCARD ALL\0')
    hear(errand, concat(says.complete('ROLLBACK'), says.ready()))
    expect(errand.outcome).toBeNull()
    hear(errand, concat(says.complete('DISCARD ALL'), says.ready()))
    expect(errand.outcome).toEqual({ kind: 'done' })
  })

  test('has failed with the first error, once the server has said all', () => {
    const errand = errands.clean('transaction', newState())
    hear(errand, concat(says.error('XX001', 'broken'), says.ready()))
    expect(errand.outcome).toBeNull()
    hear(errand, concat(says.complete('DISCARD ALL'), says.ready()))
    expect(errand.outcome).toMatchObject({ refused: { code: 'XX001', message: 'broken' } })
  })

  test.each([
    ['leaves a transaction open', concat(says.complete('DISCARD ALL'), says.ready('T'))],
    ['goes on behind its end', concat(says.complete('DISCARD ALL'), says.ready(), says.ready())],
    ['is no PostgreSQL', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ])('has failed where the server %s', (_, bytes) => {
    const errand = errands.clean('idle', newState())
    errand.take(bytes)
    expect(errand.outcome).toMatchObject({ kind: 'failed', refused: { code: '08P01' } })
  })

  test('does not read without end', () => {
    const errand = errands.clean('idle', newState())
    const row = says.row('x'.repeat(100_000))
    for (let rows = 0; rows < 11; rows++) errand.take(row)
    expect(errand.outcome).toMatchObject({ refused: { code: '08P01' } })
  })
})

describe('preparing', () => {
  const asks = startup({ user: 'ann', params: { application_name: "o'clock" } })

  test('sets what the client asked for, and hears what the server makes of it', () => {
    const state = newState()
    const errand = errands.prepare(asks, state)
    expect(textOf(errand.opening)).toContain("SET application_name TO E'o''clock'")
    hear(errand, concat(says.parameter('application_name', "o'clock"), says.ready()))
    expect(errand.outcome).toEqual({ kind: 'done' })
    expect(errands.prepare(asks, state).opening).toEqual(errands.probe(state).opening)
  })

  test('fails without a word to the server where the client asks for what cannot be', () => {
    const errand = errands.prepare(
      startup({ user: 'ann', params: { replication: 'on' } }),
      newState(),
    )
    expect(errand.opening).toHaveLength(0)
    expect(errand.outcome).toMatchObject({ refused: { code: '0A000' } })
  })
})

test('a watched connection may tell parameters and notices, and nothing else', () => {
  const state = newState()
  const errand = errands.watch(state)
  hear(errand, concat(says.parameter('TimeZone', 'UTC'), says.notice('careful')))
  expect(errand.outcome).toBeNull()
  expect(state.parameters.get('TimeZone')).toBe('UTC')
  hear(errand, says.error('57P01', 'going down'))
  expect(errand.outcome).toMatchObject({ refused: { code: '57P01' } })
  const other = errands.watch(state)
  hear(other, says.ready())
  expect(other.outcome).toMatchObject({ refused: { code: '08P01' } })
})

describe('what a client will see is known', () => {
  const baseline = new Map([
    ['application_name', 'postern'],
    ['client_encoding', 'UTF8'],
    ['TimeZone', 'UTC'],
  ])
  const assume = (params: Record<string, string>) =>
    errands.assume(startup({ user: 'ann', database: 'shop', params }), baseline)

  test('where it asks for its name alone, and for what is so already', () => {
    const asked = { application_name: 'psql', client_encoding: 'utf-8', timezone: 'UTC' }
    expect(assume(asked)).toEqual(new Map([...baseline, ['application_name', 'psql']]))
    expect(assume({})).toEqual(baseline)
  })

  test.each([
    ['another value', { TimeZone: 'utc' }],
    ['a setting that is not reported', { work_mem: '64kB' }],
    ['options', { options: '-c geqo=off' }],
    ['a name that the server would change', { application_name: 'ünï' }],
  ])('but not where it asks for %s', (_, params) => {
    expect(assume(params)).toBeNull()
  })
})

describe('asking for the role', () => {
  const ask = (...said: readonly Uint8Array[]) => {
    const told: unknown[] = []
    const errand = errands.askRole(newState(), (standing) => told.push(standing))
    hear(errand, concat(...said))
    return { told, outcome: errand.outcome, opening: textOf(errand.opening) }
  }
  const answer = (value: string) => [
    ...[says.columns(), says.row(value), says.complete('SELECT 1'), says.ready()],
  ]

  test('is told of a standby, and of a primary with the number of its timeline', () => {
    const { told, outcome, opening } = ask(...answer('standby'), ...answer(''))
    expect(opening).toContain('pg_catalog.pg_is_in_recovery()')
    expect(outcome).toEqual({ kind: 'done' })
    expect(told).toEqual([{ kind: 'standby', timeline: 0 }])
    expect(ask(...answer('primary'), ...answer('0000000C')).told).toEqual([
      { kind: 'primary', timeline: 12 },
    ])
  })

  test('is told of a primary also where it has no timeline', () => {
    const unknown = [says.error('42883', 'no such function'), says.ready()]
    for (const second of [unknown, answer(''), answer('0000000G')]) {
      const { told, outcome } = ask(...answer('primary'), ...second)
      expect(outcome).toEqual({ kind: 'done' })
      expect(told).toEqual([{ kind: 'primary', timeline: 0 }])
    }
  })

  test('is under way until both are answered', () => {
    expect(ask(...answer('primary'))).toMatchObject({ told: [], outcome: null })
  })

  test.each([
    ['nothing', [says.complete('SELECT 0'), says.ready()]],
    ['another word', answer('maybe')],
    ['an empty row', [says.columns(), says.row(), says.complete('SELECT 1'), says.ready()]],
  ])('has failed where the answer is %s', (_what, said) => {
    const { told, outcome } = ask(...said, ...answer('00000001'))
    expect(told).toEqual([])
    expect(outcome).toMatchObject({ refused: { code: '08P01' } })
  })

  test('has failed with the error of the server', () => {
    const { told, outcome } = ask(says.error('42501', 'no'), says.ready(), ...answer('00000001'))
    expect(told).toEqual([])
    expect(outcome).toMatchObject({ refused: { code: '42501', message: 'no' } })
  })

  test('is answered before it is asked where the server reports it', () => {
    const state = newState()
    expect(errands.readOnly(state)).toBeFalse()
    state.parameters.set('in_hot_standby', 'off')
    expect(errands.readOnly(state)).toBeFalse()
    state.parameters.set('in_hot_standby', 'on')
    expect(errands.readOnly(state)).toBeTrue()
  })
})
