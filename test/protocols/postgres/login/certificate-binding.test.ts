import { expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { certificateBinding } from '../../../../src/protocols/postgres/login/certificate-binding.ts'
import { certificateSignedBy } from './certificates.ts'

test('a certificate is hashed as it is signed, and no weaker than by SHA-256', async () => {
  const rsa = { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048 }
  const exponent = { publicExponent: Uint8Array.of(1, 0, 1) }
  const ecdsa = { name: 'ECDSA', namedCurve: 'P-256' }
  const cases = [
    [{ ...ecdsa, hash: 'SHA-256' }, 'sha256'],
    [{ ...ecdsa, hash: 'SHA-384' }, 'sha384'],
    [{ ...ecdsa, hash: 'SHA-512' }, 'sha512'],
    [{ ...rsa, ...exponent, hash: 'SHA-1' }, 'sha256'],
    [{ ...rsa, ...exponent, hash: 'SHA-384' }, 'sha384'],
  ] as const
  for (const [algorithm, hash] of cases) {
    const { der, certificate } = await certificateSignedBy(algorithm)
    const expected = createHash(hash).update(der).digest('hex')
    expect(Buffer.from(certificateBinding(der) ?? []).toString('hex')).toBe(expected)
    expect(Buffer.from(certificateBinding(certificate) ?? []).toString('hex')).toBe(expected)
  }
})

test('a certificate whose signature names no hash has no binding', async () => {
  const { der } = await certificateSignedBy({ name: 'Ed25519' })
  expect(certificateBinding(der)).toBeNull()
})

test('what is no certificate is told from one', () => {
  expect(() => certificateBinding('no certificate')).toThrow()
  expect(() => certificateBinding(new Uint8Array(100))).toThrow()
})
