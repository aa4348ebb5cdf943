import { expect, test } from 'bun:test'
import { preparedPassword } from '../../../../src/protocols/postgres/login/saslprep.ts'

test('a password is prepared as RFC 4013 shows', () => {
  expect(preparedPassword('user')).toBe('user')
  expect(preparedPassword('USER')).toBe('USER')
  expect(preparedPassword('I\u00adX')).toBe('IX')
  expect(preparedPassword('\u00aa')).toBe('a')
  expect(preparedPassword('\u2168')).toBe('IX')
  expect(preparedPassword('a\u00a0b')).toBe('a b')
})

test('a prohibited password is taken as it is, as PostgreSQL does', () => {
  for (const password of ['a\u0007', '\u0627\u0031', 'é\u0007', '\u00ad', '', '\u0378']) {
    expect(preparedPassword(password)).toBe(password)
  }
})
