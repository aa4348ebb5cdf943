import { describe, expect, test } from 'bun:test'
import { inspect } from 'node:util'
import { md5Hash } from '../../../../src/protocols/postgres/login/md5.ts'
import { Secret } from '../../../../src/protocols/postgres/login/secret.ts'
import { secretKind, Users } from '../../../../src/protocols/postgres/login/users.ts'
import { PENCIL, stored } from './vector.ts'

const of = (secrets: Readonly<Record<string, string>>, saltKey?: Uint8Array): Users =>
  new Users(
    Object.entries(secrets).map(([name, secret]) => [name, new Secret(secret)] as const),
    saltKey === undefined ? {} : { saltKey },
  )

const SECRETS = {
  plain: 'pencil',
  hashed: md5Hash('hashed', 'pencil'),
  scram: PENCIL,
  empty: '',
  unlucky: 'md5 is not a hash',
}

test('what a secret is follows from its form', () => {
  const users = of(SECRETS)
  const kinds = Object.keys(SECRETS).map((name) => users.get(name)?.kind)
  expect(kinds).toEqual(['plain', 'md5', 'scram', 'empty', 'plain'])
  expect(secretKind(new Secret(PENCIL.slice(0, -1)))).toBeNull()
  expect(users.size).toBe(5)
  expect(users.get('nobody')).toBeUndefined()
  expect(users.get('__proto__')).toBeUndefined()
})

test('a verifier is made once, and never of an MD5 hash or an empty password', () => {
  const users = of(SECRETS)
  for (const name of ['plain', 'scram']) {
    const verifier = users.get(name)?.verifier()
    expect(verifier).not.toBeNull()
    expect(users.get(name)?.verifier()).toBe(verifier!)
  }
  for (const name of ['hashed', 'empty']) expect(users.get(name)?.verifier()).toBeNull()
})

test('an MD5 hash is the stored one, or made of a plain password', () => {
  const users = of(SECRETS)
  expect(users.get('hashed')?.md5Hash()).toBe(SECRETS.hashed)
  expect(users.get('plain')?.md5Hash()).toBe(md5Hash('plain', 'pencil'))
  for (const name of ['scram', 'empty']) expect(users.get(name)?.md5Hash()).toBeNull()
})

describe('a name that is not there', () => {
  const salt = (users: Users, name: string): string =>
    Buffer.from(users.mockVerifier(name).salt).toString('hex')

  test('has the same salt at every login, and another than every other name', () => {
    const users = of(SECRETS)
    expect(salt(users, 'nobody')).toBe(salt(users, 'nobody'))
    expect(salt(users, 'nobody')).not.toBe(salt(users, 'noone'))
    expect(salt(users, 'nobody')).toHaveLength(32)
  })

  test('has the same salt after a reload with the same key, also once it is a plain user', () => {
    const key = new Uint8Array(32).fill(1)
    const before = salt(of(SECRETS, key), 'new')
    expect(salt(of(SECRETS, key), 'new')).toBe(before)
    const users = of({ ...SECRETS, new: 'pencil' }, key)
    const made = users.get('new')?.verifier()?.salt ?? new Uint8Array(0)
    expect(Buffer.from(made).toString('hex')).toBe(before)
    expect(salt(of(SECRETS), 'new')).not.toBe(before)
  })

  test('is asked as most users are', () => {
    expect(of({}).usualKind).toBe('scram')
    expect(of({ a: 'x', b: PENCIL, c: 'y' }).usualKind).toBe('plain')
    const long = Buffer.alloc(24, 1).toString('base64')
    const slow = stored('pencil', long, 5000)
    const users = of({ a: slow, b: slow, c: PENCIL, d: 'plain' })
    expect(users.mockVerifier('nobody').iterations).toBe(5000)
    expect(users.mockVerifier('nobody').salt).toHaveLength(24)
    expect(users.get('d')?.verifier()?.iterations).toBe(5000)
  })
})

test('no secret is seen when users are printed', () => {
  const users = of(SECRETS)
  users.get('plain')?.verifier()
  const shown = [users, users.get('plain'), users.get('scram'), users.get('hashed')]
    .map((value) => inspect(value, { depth: 9 }) + Bun.inspect(value) + JSON.stringify(value))
    .join('\n')
  expect(shown).not.toContain('pencil')
  expect(shown).not.toContain(PENCIL.slice(20))
  expect(shown).not.toContain(SECRETS.hashed.slice(3))
})
