import { describe, expect, test } from 'bun:test'
import {
  BINDING,
  SCRAM,
  SCRAM_ITERATIONS_MAX,
  SCRAM_PLUS,
} from '../../../../src/protocols/postgres/login/scram.ts'
import { Credentials, ScramClient } from '../../../../src/protocols/postgres/login/scram-client.ts'
import { Secret } from '../../../../src/protocols/postgres/login/secret.ts'
import { VECTOR } from './vector.ts'

const credentials = () => new Credentials(new Secret('pencil'))
const HASH = new Uint8Array(32).fill(7)

const client = (more: Partial<ConstructorParameters<typeof ScramClient>[0]> = {}): ScramClient =>
  new ScramClient({
    credentials: credentials(),
    offered: [SCRAM],
    binding: null,
    nonce: VECTOR.clientNonce,
    name: 'user',
    ...more,
  })

describe('the client', () => {
  test('speaks as the example of RFC 7677, and verifies its server', () => {
    const scram = client()
    expect(scram.mechanism).toBe(SCRAM)
    expect(scram.first).toBe(VECTOR.clientFirst)
    expect(scram.prove(VECTOR.serverFirst)).toEqual({ kind: 'say', words: VECTOR.clientFinal })
    expect(scram.verify(`v=${VECTOR.signature}`)).toEqual({ kind: 'verified' })
  })

  test('names no user, and has a nonce of its own each time', () => {
    const make = () => new ScramClient({ credentials: credentials(), offered: [], binding: null })
    expect(make().first).toMatch(/^n,,n=,r=[A-Za-z0-9+/]{24}$/)
    expect(make().first).not.toBe(make().first)
  })

  test('binds to the TLS connection where that is offered, and says so where it is not', () => {
    const bound = client({ offered: [SCRAM, SCRAM_PLUS], binding: HASH })
    expect(bound.mechanism).toBe(SCRAM_PLUS)
    expect(bound.first).toStartWith(`p=${BINDING},,`)
    const { words } = bound.prove(VECTOR.serverFirst) as { words: string }
    const sent = Buffer.from(/^c=([^,]*)/.exec(words)?.[1] ?? '', 'base64')
    expect(sent).toEqual(Buffer.concat([Buffer.from(`p=${BINDING},,`), HASH]))

    const unbound = client({ binding: HASH })
    expect(unbound.mechanism).toBe(SCRAM)
    expect(unbound.first).toStartWith('y,,')
    expect(client({ offered: [SCRAM, SCRAM_PLUS] }).first).toStartWith('n,,')
  })

  test('refuses a server that does not answer its nonce', () => {
    const others = [`r=other,s=${VECTOR.salt},i=1`, `r=${VECTOR.clientNonce},s=${VECTOR.salt},i=1`]
    for (const words of others) {
      expect(client().prove(words)).toMatchObject({
        kind: 'failed',
        sentence: 'SCRAM with the server failed: it does not answer our nonce',
      })
    }
  })

  test('refuses more iterations than are permitted, before any work', () => {
    const words = VECTOR.serverFirst.replace('4096', String(SCRAM_ITERATIONS_MAX + 1))
    expect(client().prove(words)).toMatchObject({
      sentence: expect.stringContaining('1000001 iterations, 1000000 are permitted'),
    })
    expect(client().prove(VECTOR.serverFirst.replace('4096', '0'))).toMatchObject({
      kind: 'failed',
    })
  })

  test('refuses a server that does not know the password, or says so itself', () => {
    const wrong = Buffer.alloc(32, 1).toString('base64')
    for (const last of [`v=${wrong}`, 'v=', 'e=other-error', '', 'v=!', `v=${VECTOR.signature}x`]) {
      const scram = client()
      scram.prove(VECTOR.serverFirst)
      expect(scram.verify(last).kind).toBe('failed')
    }
    expect(client().verify(`v=${VECTOR.signature}`).kind).toBe('failed')
  })

  test('survives every truncation and every flipped bit of the first words', () => {
    const scram = client()
    const bytes = Buffer.from(VECTOR.serverFirst, 'latin1')
    for (let end = 0; end < bytes.length - 7; end++) {
      expect(scram.prove(bytes.toString('latin1', 0, end)).kind).toBe('failed')
    }
    // Iterations stand at the end: flipped they are still a number, so its digits are left alone.
    for (let bit = 0; bit < (bytes.length - 4) * 8; bit++) {
      const flipped = Buffer.from(bytes)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      const reply = scram.prove(flipped.toString('latin1'))
      if (reply.kind !== 'failed')
        expect(reply).not.toEqual({ kind: 'say', words: VECTOR.clientFinal })
    }
  })
})

describe('credentials', () => {
  test('do the slow step once for a salt and its iterations', () => {
    const made = credentials()
    const salt = Buffer.from(VECTOR.salt, 'base64')
    expect(made.keys(salt, 4096)).toBe(made.keys(Buffer.from(salt), 4096))
    expect(made.keys(salt, 4096)).not.toBe(made.keys(salt, 4097))
    const first = made.keys(salt, 1)
    for (let iterations = 2; iterations < 12; iterations++) made.keys(salt, iterations)
    expect(made.keys(salt, 1)).not.toBe(first)
  })

  test('hide password and keys, and an empty password is none', () => {
    const made = credentials()
    made.keys(Buffer.from('salt'), 1)
    expect(Bun.inspect(made) + JSON.stringify(made)).not.toMatch(/pencil|stored/)
    expect(made.password).toBe('pencil')
    expect(new Credentials(new Secret('')).password).toBeNull()
  })
})
