import { describe, expect, test } from 'bun:test'
import {
  isFollowed,
  NO_TEXTS,
  Profiles,
  profileStep,
  unreportedOf,
} from '../../../../src/protocols/postgres/sharing/profile.ts'

const BASE = new Map([
  ['TimeZone', 'UTC'],
  ['application_name', 'one'],
  ['is_superuser', 'on'],
])

test('the same settings are one object, in whatever order they came', () => {
  const profiles = new Profiles()
  const profile = profiles.of(BASE, NO_TEXTS)
  expect(profiles.of(new Map([...BASE].reverse()), new Map())).toBe(profile)
  expect(profiles.of(new Map([...BASE, ['TimeZone', 'CET']]), NO_TEXTS)).not.toBe(profile)
  expect(profiles.of(BASE, new Map([['work_mem', '1MB']]))).not.toBe(profile)
})

test('the name of the application is nothing that a statement is read by', () => {
  const profiles = new Profiles()
  const { dialect } = profiles.of(BASE, NO_TEXTS)
  const named = new Map([...BASE, ['application_name', 'two']])
  expect(profiles.of(named, NO_TEXTS).dialect).toBe(dialect)
  expect(profiles.of(new Map([...BASE, ['TimeZone', 'CET']]), NO_TEXTS).dialect).not.toBe(dialect)
})

describe('what is said to a connection', () => {
  const profiles = new Profiles()
  const sqlFor = (has: Map<string, string>, unreported = NO_TEXTS, wants = NO_TEXTS) => {
    const step = profileStep(profiles.of(BASE, wants), has, unreported)
    return step.kind === 'settings' ? step.sql : step.refused
  }

  test('is nothing where it has the settings, but for those that nobody can set', () => {
    expect(sqlFor(BASE)).toBeNull()
    expect(sqlFor(new Map([...BASE, ['is_superuser', 'off']]))).toBeNull()
  })

  test('is what differs, as literals', () => {
    const has = new Map([...BASE, ['application_name', "it's"], ['TimeZone', 'CET']])
    expect(sqlFor(has)).toBe("SET TimeZone TO E'UTC'; SET application_name TO E'one'")
  })

  test('takes away what another client has asked for', () => {
    const left = new Map([['statement_timeout', '1s']])
    expect(sqlFor(BASE, left)).toBe('RESET statement_timeout')
    expect(sqlFor(BASE, left, left)).toBeNull()
    expect(sqlFor(BASE, NO_TEXTS, left)).toBe("SET statement_timeout TO E'1s'")
  })
})

test('what a client asks for beside what is reported is known by name', () => {
  const parameters = [
    ['user', 'ann'],
    ['timezone', 'CET'],
    ['options', '-c work_mem=1MB'],
    ['Statement_Timeout', '1s'],
  ] as const
  expect([...unreportedOf(parameters, BASE)]).toEqual([
    ['work_mem', '1MB'],
    ['statement_timeout', '1s'],
  ])
})

test('a parameter is followed where the server reports it and a client can set it', () => {
  expect(isFollowed('timezone', BASE)).toBeTrue()
  expect(isFollowed('is_superuser', BASE)).toBeFalse()
  expect(isFollowed('work_mem', BASE)).toBeFalse()
})
