import { expect, test } from 'bun:test'
import {
  isMd5Answer,
  isMd5Hash,
  md5Answer,
  md5Hash,
} from '../../../../src/protocols/postgres/login/md5.ts'
import { md5Password } from '../../../kit/login.ts'

const SALT = Uint8Array.of(1, 2, 3, 255)

test('the hash is that of PostgreSQL', () => {
  // select 'md5' || md5('pencil' || 'user')
  const hash = md5Hash('user', 'pencil')
  expect(hash).toBe(`md5${new Bun.CryptoHasher('md5').update('penciluser').digest('hex')}`)
  expect(isMd5Hash(hash)).toBeTrue()
  for (const text of ['', 'md5', hash.slice(1), hash.slice(0, -1), `${hash}0`, `${hash}\n`]) {
    expect(isMd5Hash(text)).toBeFalse()
  }
  expect(isMd5Hash(hash.toUpperCase())).toBeFalse()
})

test('the answer is that of a client, from the password or its hash', () => {
  const given = { user: 'üser', password: 'pässword' }
  const answer = md5Answer(md5Hash(given.user, given.password), SALT)
  expect(answer).toBe(md5Password(given, SALT))
  expect(isMd5Answer(answer, md5Hash(given.user, given.password), SALT)).toBeTrue()
})

test('another answer, password or salt is wrong', () => {
  const hash = md5Hash('user', 'pencil')
  const answer = md5Answer(hash, SALT)
  expect(isMd5Answer(answer, md5Hash('user', 'pencils'), SALT)).toBeFalse()
  expect(isMd5Answer(answer, hash, Uint8Array.of(1, 2, 3, 4))).toBeFalse()
  expect(isMd5Answer(hash, hash, SALT)).toBeFalse()
  for (const wrong of ['', 'md5', `${answer}0`, answer.slice(0, -1)]) {
    expect(isMd5Answer(wrong, hash, SALT)).toBeFalse()
  }
})
