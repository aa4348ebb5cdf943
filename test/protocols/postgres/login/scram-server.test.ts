import { describe, expect, test } from 'bun:test'
import {
  BINDING,
  parseVerifier,
  SCRAM,
  SCRAM_PLUS,
} from '../../../../src/protocols/postgres/login/scram.ts'
import { Credentials, ScramClient } from '../../../../src/protocols/postgres/login/scram-client.ts'
import { ScramServer } from '../../../../src/protocols/postgres/login/scram-server.ts'
import { Secret } from '../../../../src/protocols/postgres/login/secret.ts'
import { PENCIL, VECTOR } from './vector.ts'

const HASH = new Uint8Array(32).fill(7)

const server = (binding: Uint8Array | null = null): ScramServer =>
  new ScramServer({ verifier: parseVerifier(PENCIL)!, binding, nonce: VECTOR.serverNonce })

/** A whole exchange; how it ends. */
function exchange(
  password: string,
  seen: Uint8Array | null,
  ours: Uint8Array | null,
  offered: readonly string[] = [SCRAM, SCRAM_PLUS],
): string {
  const scram = server(ours)
  const credentials = new Credentials(new Secret(password))
  const client = new ScramClient({ credentials, offered, binding: seen })
  const challenge = scram.challenge(client.mechanism, client.first)
  if (challenge.kind !== 'say') return refusalOf(challenge)
  const proof = client.prove(challenge.words)
  if (proof.kind !== 'say') throw new Error('the client gave up')
  const step = scram.check(proof.words)
  if (step.kind === 'proved') expect(client.verify(step.words)).toEqual({ kind: 'verified' })
  return step.kind === 'refused' ? refusalOf(step) : step.kind
}

function refusalOf(step: ReturnType<ScramServer['check']>): string {
  return step.kind === 'refused' ? `${step.refused.code} ${step.refused.message}` : step.kind
}

describe('the server', () => {
  test('speaks as the example of RFC 7677', () => {
    const scram = server()
    const challenge = scram.challenge(SCRAM, VECTOR.clientFirst)
    expect(challenge).toEqual({ kind: 'say', words: VECTOR.serverFirst })
    const proved = { kind: 'proved', words: `v=${VECTOR.signature}` } as const
    expect(scram.check(VECTOR.clientFinal)).toEqual(proved)
  })

  test('tells a wrong password from a right one', () => {
    expect(exchange('pencil', null, null)).toBe('proved')
    expect(exchange('pencils', null, null)).toBe('wrong')
  })

  test('with a certificate offers channel binding first, and needs nobody to use it', () => {
    expect(server(HASH).mechanisms).toEqual([SCRAM_PLUS, SCRAM])
    expect(server().mechanisms).toEqual([SCRAM])
    expect(exchange('pencil', HASH, HASH)).toBe('proved')
    expect(exchange('pencil', null, HASH)).toBe('proved')
    expect(exchange('pencil', HASH, null, [SCRAM])).toBe('proved')
  })

  test('refuses a client that sees the certificate of another', () => {
    const other = new Uint8Array(32).fill(8)
    expect(exchange('pencil', other, HASH)).toBe('28000 SCRAM channel binding check failed')
  })

  test('refuses a client that was told of no channel binding', () => {
    const refusal = '28000 SCRAM channel binding negotiation error'
    expect(exchange('pencil', HASH, HASH, [SCRAM])).toBe(refusal)
  })

  test('refuses mechanisms that it did not offer, and bindings that do not fit them', () => {
    const first = `n=,r=${VECTOR.clientNonce}`
    const refusals: [mechanism: string, header: string, code: string][] = [
      ['SCRAM-SHA-1', 'n,,', '08P01'],
      ['', 'n,,', '08P01'],
      [SCRAM, `p=${BINDING},,`, '08P01'],
      [SCRAM_PLUS, 'n,,', '08P01'],
      [SCRAM_PLUS, 'y,,', '08P01'],
      [SCRAM_PLUS, 'p=tls-unique,,', '08P01'],
      [SCRAM, 'n,a=admin,', '0A000'],
    ]
    for (const [mechanism, header, code] of refusals) {
      expect(refusalOf(server(HASH).challenge(mechanism, header + first))).toStartWith(code)
    }
    expect(refusalOf(server().challenge(SCRAM_PLUS, VECTOR.clientFirst))).toStartWith('08P01')
    expect(refusalOf(server().challenge(SCRAM, `n,,m=x,${first}`))).toStartWith('0A000')
  })

  test('refuses a nonce that is not its own, and an answer to no challenge', () => {
    const scram = server()
    scram.challenge(SCRAM, VECTOR.clientFirst)
    const other = VECTOR.clientFinal.replace('hvYD', 'hvYE')
    expect(refusalOf(scram.check(other))).toBe('08P01 invalid SCRAM response')
    expect(refusalOf(server().check(VECTOR.clientFinal))).toBe('08P01 malformed SCRAM message')
    expect(refusalOf(server().check('c=biws,r=,p='))).toBe('08P01 malformed SCRAM message')
  })

  test('admits no truncation and no flipped bit of the proof', () => {
    const bytes = Buffer.from(VECTOR.clientFinal, 'latin1')
    const check = (words: string): string => {
      const scram = server()
      scram.challenge(SCRAM, VECTOR.clientFirst)
      return scram.check(words).kind
    }
    for (let end = 0; end < bytes.length; end++) {
      expect(check(bytes.toString('latin1', 0, end))).not.toBe('proved')
    }
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      // The last letter before the padding has two bits that mean nothing.
      if (bit >> 3 === bytes.length - 2) continue
      expect(check(flipped.toString('latin1'))).not.toBe('proved')
    }
  })

  test('survives every truncation and every flipped bit of the first words', () => {
    const bytes = Buffer.from(VECTOR.clientFirst, 'latin1')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      const scram = server()
      scram.challenge(SCRAM, flipped.toString('latin1'))
      expect(['refused', 'wrong']).toContain(scram.check(VECTOR.clientFinal).kind)
    }
  })
})
