import { expect, test } from 'bun:test'
import { POSTGRES } from '../../../src/protocols/postgres/postgres.ts'
import { cancelRequest, query, startup } from '../../kit/frontend.ts'
import { DENIAL, Stage, server } from './stage.ts'

test('messages have tags by direction', () => {
  expect(POSTGRES.tag('client', 'Query')).toBe(0x51)
  expect(POSTGRES.tag('server', 'DataRow')).toBe(0x44)
  expect(POSTGRES.tag('server', 'Query')).toBeUndefined()
  expect(POSTGRES.name).toBe('postgres')
})

test('a cancel request names the key that the session was given, also a long one of 3.2', () => {
  const stage = Stage.loggedIn()
  const secret = new Uint8Array([0, 0, 0, 9])
  expect(POSTGRES.cancelTarget(cancelRequest(7, secret))).toBe(stage.conversation.cancelKey)
  const long = cancelRequest(7, new Uint8Array(32).fill(5))
  expect(POSTGRES.cancelTarget(long)).toBe(`00000007${'05'.repeat(32)}`)
})

test('a conversation is idle only with nothing owed and no transaction open', () => {
  const stage = new Stage()
  const look = () => [stage.conversation.idle, stage.conversation.owes]
  expect(look()).toEqual([false, false])
  stage.client(startup({ user: 'ann' }))
  expect(look()).toEqual([false, true])
  stage.server(server.authentication(0), server.ready())
  expect(look()).toEqual([true, false])
  stage.client(query('begin'))
  expect(look()).toEqual([false, true])
  stage.server(server.complete('BEGIN'), server.ready('T'))
  expect(look()).toEqual([false, false])
})

test('a client does not outlive its server: it is told with FATAL', () => {
  const { conversation } = Stage.loggedIn()
  expect(conversation.outlivesServer).toBe(false)
  expect(Buffer.from(conversation.farewell(DENIAL)!).toString('latin1')).toContain('SFATAL')
})

test('what was held is given back when a conversation ends', () => {
  const stage = Stage.loggedIn({ fromClient: () => 'forward', fromServer: () => 'forward' })
  stage.client(query('select 1').slice(0, 7))
  stage.server(server.row('1').slice(0, 8))
  expect(stage.budget.held).toBe(15)
  stage.conversation.fromClient.release()
  stage.conversation.fromServer.release()
  expect(stage.budget.held).toBe(0)
})
