/** Which certificates of a database are good enough for each mode of libpq. */
import { describe, expect, test } from 'bun:test'
import type { PeerCertificate } from 'node:tls'
import { Encryption, type SslMode, type Verdict } from '../../src/upstream/encryption.ts'
import { makeAuthority, makePemFolder } from '../kit/certificates.ts'

const CERTIFICATE = {
  subject: { CN: 'db.example' },
  subjectaltname: 'DNS:db.example, IP Address:10.0.0.1',
} as unknown as PeerCertificate

const GOOD: Verdict = { authorized: true, code: '', certificate: CERTIFICATE }
const OTHER_NAME: Verdict = { ...GOOD, authorized: false, code: 'ERR_TLS_CERT_ALTNAME_INVALID' }
const UNKNOWN: Verdict = { ...GOOD, authorized: false, code: 'SELF_SIGNED_CERT_IN_CHAIN' }

async function encryptionOf(mode: SslMode, host: string, checked: boolean) {
  const folder = makePemFolder()
  const { certificate } = await makeAuthority()
  const authorities = checked ? { key: 'a', path: folder.write('ca', certificate) } : null
  const encryption = new Encryption({
    mode,
    host,
    authorities,
    certificate: null,
    reread() {},
    warn() {},
  })
  folder[Symbol.dispose]()
  return encryption
}

describe('a database', () => {
  const cases: readonly (readonly [SslMode, string, boolean, Verdict, string | null])[] = [
    ['prefer', 'db.example', true, UNKNOWN, null],
    ['require', 'db.example', false, UNKNOWN, null],
    ['require', 'other', false, OTHER_NAME, null],
    // As libpq does: who names authorities wants them to be used.
    ['require', 'db.example', true, UNKNOWN, 'is not to be trusted (SELF_SIGNED_CERT_IN_CHAIN)'],
    ['verify-ca', 'db.example', true, UNKNOWN, 'name the authority that has signed it'],
    ['verify-ca', 'other', true, OTHER_NAME, null],
    ['verify-full', 'db.example', true, GOOD, null],
    ['verify-full', 'DB.example', true, GOOD, null],
    ['verify-full', '10.0.0.1', true, GOOD, null],
    ['verify-full', '10.0.0.2', true, GOOD, 'is not for 10.0.0.2 but for DNS:db.example'],
    ['verify-full', 'other', true, OTHER_NAME, 'is not for other but for DNS:db.example'],
    ['verify-full', 'db.example', true, UNKNOWN, 'is not to be trusted'],
    ['verify-full', 'db.example', true, { ...GOOD, certificate: null }, 'no name at all'],
  ]
  for (const [mode, host, checked, verdict, flaw] of cases) {
    const shown = verdict.authorized ? 'a good certificate' : verdict.code
    const outcome = flaw === null ? 'used' : 'refused'
    const how = `${mode}${checked ? ' with authorities' : ''}`
    test(`at ${host} with ${shown} is ${outcome} for ${how}`, async () => {
      const found = (await encryptionOf(mode, host, checked)).flawOf(verdict)
      if (flaw === null) expect(found).toBeNull()
      else expect(found).toContain(flaw)
    })
  }

  test('is told the name that it is asked for, but no address', async () => {
    const named = await encryptionOf('require', 'db.example', false)
    expect(named.handshakeOptions.serverName).toBe('db.example')
    for (const host of ['10.0.0.1', '::1']) {
      const { handshakeOptions } = await encryptionOf('require', host, false)
      expect(handshakeOptions.serverName).toBeUndefined()
    }
  })
})
