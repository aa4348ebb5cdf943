import { expect, test } from 'bun:test'
import { SharedConnection } from '../../../../src/protocols/postgres/sharing/connection.ts'
import { Profiles } from '../../../../src/protocols/postgres/sharing/profile.ts'
import type { Statement } from '../../../../src/protocols/postgres/sharing/statements.ts'

const statement = (name: string): Statement => ({
  name: Buffer.from(name),
  parse: new Uint8Array(0),
  effect: null,
})

test('the statement that was not used for longest makes room', () => {
  const connection = new SharedConnection()
  const [a, b, c] = ['a', 'b', 'c'].map(statement)
  for (const one of [a!, b!, c!]) {
    expect(connection.evicted(3)).toBeNull()
    connection.prepared(one)
  }
  expect(connection.uses(a!, 3)).toBeTrue()
  expect(connection.evicted(3)).toBe(b!)
  expect(connection.uses(b!, 3)).toBeFalse()
  connection.lost(c!)
  expect(connection.size).toBe(1)
  connection.emptied()
  expect(connection.uses(a!, 3)).toBeFalse()
})

test('a statement that was lost is doubted until it is prepared', () => {
  const connection = new SharedConnection()
  const one = statement('one')
  connection.prepared(one)
  connection.lost(one)
  expect([connection.uses(one, 9), connection.isDoubtful(one)]).toEqual([false, true])
  connection.prepared(one)
  expect(connection.isDoubtful(one)).toBeTrue()
  connection.confirmed(one)
  expect([connection.uses(one, 9), connection.isDoubtful(one)]).toEqual([true, false])
  for (let count = 0; count < 1500; count++) connection.lost(statement(`s${count}`))
  connection.lost(one)
  connection.emptied()
  expect(connection.isDoubtful(one)).toBeFalse()
})

test('the profile is looked up anew where something has changed', () => {
  const connection = new SharedConnection()
  const profiles = new Profiles()
  const parameters = new Map([['TimeZone', 'UTC']])
  const state = { parameters, cancelKey: new Uint8Array(0), shared: connection }
  const first = connection.profile(state, profiles)
  parameters.set('TimeZone', 'CET')
  expect(connection.profile(state, profiles)).toBe(first)
  connection.changed()
  expect(connection.profile(state, profiles).parameters.get('TimeZone')).toBe('CET')
  connection.set(new Map([['work_mem', '1MB']]))
  expect(connection.profile(state, profiles).unreported.get('work_mem')).toBe('1MB')
  connection.cleaned()
  expect(connection.profile(state, profiles).unreported.size).toBe(0)
})
