import { describe, expect, test } from 'bun:test'
import {
  fromBase64,
  parseVerifier,
  SCRAM_ITERATIONS_MAX,
  verifierOf,
} from '../../../../src/protocols/postgres/login/scram.ts'
import { PENCIL, VECTOR } from './vector.ts'

const SALT = Buffer.from(VECTOR.salt, 'base64')
const proof = Buffer.from(VECTOR.proof, 'base64')

describe('a verifier', () => {
  test('of a plain password checks the proof of RFC 7677, and signs as its server', () => {
    const verifier = verifierOf('pencil', SALT, 4096)
    expect(verifier.isProvedBy(proof, VECTOR.spoken)).toBeTrue()
    expect(verifier.signature(VECTOR.spoken)).toBe(VECTOR.signature)
    expect(verifierOf('pencil ', SALT, 4096).isProvedBy(proof, VECTOR.spoken)).toBeFalse()
    expect(verifier.isProvedBy(proof, `${VECTOR.spoken} `)).toBeFalse()
  })

  test('is read from what PostgreSQL stores', () => {
    const verifier = parseVerifier(PENCIL)
    expect(verifier?.iterations).toBe(4096)
    expect(Buffer.from(verifier?.salt ?? []).toString('base64')).toBe(VECTOR.salt)
    expect(verifier?.isProvedBy(proof, VECTOR.spoken)).toBeTrue()
  })

  test('that is cut, or changed in its form, is none', () => {
    for (let end = 0; end < PENCIL.length; end++) {
      expect(parseVerifier(PENCIL.slice(0, end))).toBeNull()
    }
    const wrong = [
      PENCIL.replace('4096', '0'),
      PENCIL.replace('4096', '-1'),
      PENCIL.replace('4096', String(SCRAM_ITERATIONS_MAX + 1)),
      PENCIL.replace(VECTOR.salt, ''),
      PENCIL.replace(VECTOR.salt, 'W22Z!J0SNY7soEsUEjb6gQ=='),
      PENCIL.replace('256', '512'),
      `${PENCIL}\n`,
      `${PENCIL}:`,
    ]
    for (const text of wrong) expect(parseVerifier(text)).toBeNull()
  })

  test('does not show its keys when it is printed', () => {
    const shown = Bun.inspect(parseVerifier(PENCIL)) + JSON.stringify(parseVerifier(PENCIL))
    expect(shown).not.toMatch(/key/i)
  })
})

test('base64 is strict, where Buffer takes anything', () => {
  expect(fromBase64('YWJj')?.toString()).toBe('abc')
  for (const text of ['YWJ', 'YW=j', 'Y W J j', 'YWJj\n', 'YWJ_', '====', 'YWJj=']) {
    expect(fromBase64(text)).toBeNull()
  }
})
