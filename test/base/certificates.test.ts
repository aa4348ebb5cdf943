/** Certificates that cannot be used are errors that name the key, the file and what is wrong. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import {
  type NamedFile,
  readAuthorities,
  readPair,
  subjectText,
} from '../../src/base/certificates.ts'
import {
  type Authority,
  makeAuthority,
  makePemFolder,
  type PemFolder,
} from '../kit/certificates.ts'

let folder: PemFolder
let authority: Authority
let good: { readonly certFile: string; readonly keyFile: string }
beforeAll(async () => {
  folder = makePemFolder()
  authority = await makeAuthority()
  good = folder.put('good', await authority.issue({ subject: 'CN=good' }))
})
afterAll(() => folder[Symbol.dispose]())

const certificate = (path: string): NamedFile => ({ key: 'servers.a.certFile', path })
const keyOf = (path: string): NamedFile => ({ key: 'servers.a.keyFile', path })
const pairOf = (certFile: string, keyFile: string) =>
  readPair(certificate(certFile), keyOf(keyFile))

/** The sentence of a CONFIG_INVALID. */
function sentence(act: () => unknown): string {
  try {
    act()
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'CONFIG_INVALID') {
      return thrown.message
    }
    throw thrown
  }
  throw new Error('nothing was refused')
}

describe('a pair', () => {
  test('that is good is read with the end of its time', () => {
    const { notAfter, warnings } = pairOf(good.certFile, good.keyFile)
    expect(notAfter.getTime()).toBeGreaterThan(Date.now())
    expect(warnings).toEqual([])
  })

  test('with a file that is missing or holds something else is refused', () => {
    const none = join(folder.path, 'none')
    const junk = folder.write('junk', 'hello')
    const torn = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
    const broken = folder.write('broken', torn)
    expect(sentence(() => pairOf(none, good.keyFile))).toBe(
      `servers.a.certFile: ${none} cannot be read`,
    )
    expect(sentence(() => pairOf(good.certFile, none))).toContain('servers.a.keyFile:')
    expect(sentence(() => pairOf(junk, good.keyFile))).toContain('holds no certificate')
    expect(sentence(() => pairOf(broken, good.keyFile))).toContain('cannot be read')
    expect(sentence(() => pairOf(good.certFile, junk))).toContain('holds no private key')
    const locked =
      '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n'
    expect(sentence(() => pairOf(good.certFile, folder.write('locked', locked)))).toContain(
      'without a passphrase',
    )
    const cut = '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'
    const key = sentence(() => pairOf(good.certFile, folder.write('cut', cut)))
    expect(key).toContain('holds a key that cannot be read')
    expect(key).not.toContain('AAAA')
  })

  test('whose key belongs to another certificate is refused', async () => {
    const other = folder.put('other', await authority.issue({ subject: 'CN=other' }))
    expect(sentence(() => pairOf(good.certFile, other.keyFile))).toBe(
      `servers.a.keyFile: ${other.keyFile} is not the key of the certificate in ${good.certFile}`,
    )
  })

  test('that is out of date, or whose key others can read, is warned of', async () => {
    const late = folder.put('late', await authority.issue({ subject: 'CN=late', days: -1 }))
    expect(pairOf(late.certFile, late.keyFile).warnings).toEqual([
      expect.stringContaining('has expired on'),
    ])
    chmodSync(late.keyFile, 0o644)
    expect(pairOf(late.certFile, late.keyFile).warnings[1]).toContain('every user can read')
  })
})

describe('authorities', () => {
  test('are all that a file holds, or those of the system', () => {
    const file = folder.write('authority', authority.certificate)
    expect(readAuthorities({ key: 'a', path: file })).toBe(authority.certificate)
    expect(readAuthorities({ key: 'a', path: 'system' })).toContain('BEGIN CERTIFICATE')
  })

  test('that are none are refused', () => {
    const path = folder.write('none-of-them', 'x')
    const refused = sentence(() => readAuthorities({ key: 'servers.a.clientCaFile', path }))
    expect(refused).toStartWith('servers.a.clientCaFile: ')
  })
})

test('a subject cannot pass for another by what it holds', () => {
  expect(subjectText({ CN: 'ann', O: ['a', 'b'] })).toBe('CN=ann,O=a,O=b')
  expect(subjectText({ CN: 'ann,O=admin' })).toBe('CN=ann\\,O\\=admin')
  expect(subjectText({ CN: 'ann\nO=admin' })).toBe('CN=ann\\0aO\\=admin')
  expect(subjectText({ CN: ' #a ' })).toBe('CN=\\ #a\\ ')
  expect(subjectText(undefined)).toBe('')
})
