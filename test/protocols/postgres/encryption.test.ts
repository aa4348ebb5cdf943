/** Which requests for encryption are granted, refused, or an attack. */
import { describe, expect, test } from 'bun:test'
import { Encryption } from '../../../src/protocols/postgres/encryption.ts'
import { GSSENC_REQUEST, SSL_REQUEST } from '../../../src/protocols/postgres/startup.ts'
import type { EncryptionTerms } from '../../../src/protocols/protocol.ts'

function terms(clients: EncryptionTerms['clients'], told: string[] = []): EncryptionTerms {
  return { clients, servers: false, unencrypted: () => void told.push('unencrypted') }
}

describe('a request', () => {
  test('for TLS is granted where it is offered, once', () => {
    for (const clients of ['offered', 'required'] as const) {
      const encryption = new Encryption(terms(clients))
      expect(encryption.asked(SSL_REQUEST, false)).toBe('granted')
      expect([encryption.takeGrant(), encryption.takeGrant()]).toEqual([true, false])
    }
  })

  test('is refused where it is not offered, or asks for what there is not', () => {
    expect(new Encryption(undefined).asked(SSL_REQUEST, false)).toBe('refused')
    expect(new Encryption(terms('none')).asked(SSL_REQUEST, false)).toBe('refused')
    const encryption = new Encryption(terms('offered'))
    expect(encryption.asked(GSSENC_REQUEST, false)).toBe('refused')
    expect(encryption.takeGrant()).toBe(false)
    expect(encryption.asked(SSL_REQUEST, false)).toBe('granted')
  })

  test('with bytes behind it, within TLS, or made again and again, is a violation', () => {
    const flawed = { flaw: expect.any(String) }
    expect<unknown>(new Encryption(terms('offered')).asked(SSL_REQUEST, true)).toEqual(flawed)
    const secured = new Encryption(terms('offered'))
    secured.secured()
    expect<unknown>(secured.asked(SSL_REQUEST, false)).toEqual(flawed)
    const asking = new Encryption(undefined)
    asking.asked(SSL_REQUEST, false)
    asking.asked(GSSENC_REQUEST, false)
    expect<unknown>(asking.asked(SSL_REQUEST, false)).toEqual(flawed)
  })
})

test('TLS may begin at once where it is offered, but only once and before anything else', () => {
  expect(new Encryption(terms('offered')).beginsAtOnce(0x16)).toBe(true)
  expect(new Encryption(terms('offered')).beginsAtOnce(0)).toBe(false)
  expect(new Encryption(undefined).beginsAtOnce(0x16)).toBe(false)
  const asked = new Encryption(terms('offered'))
  asked.asked(GSSENC_REQUEST, false)
  expect(asked.beginsAtOnce(0x16)).toBe(false)
  const secured = new Encryption(terms('offered'))
  secured.secured()
  expect(secured.beginsAtOnce(0x16)).toBe(false)
})

test('a client that lacks it is refused and counted only where it is required', () => {
  const told: string[] = []
  expect(new Encryption(terms('offered', told)).lacking()).toBe(false)
  const required = new Encryption(terms('required', told))
  expect(required.lacking()).toBe(true)
  expect(told).toEqual(['unencrypted'])
  required.secured()
  expect(required.lacking()).toBe(false)
})
