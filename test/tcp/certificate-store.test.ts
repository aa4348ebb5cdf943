/** Which of several certificates a client is shown. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { CertificateStore, pathsOf, type StoreOptions } from '../../src/tcp/certificate-store.ts'
import { makeAuthority, makePemFolder, type PemFolder } from '../kit/certificates.ts'

let folder: PemFolder
let options: StoreOptions
beforeAll(async () => {
  folder = makePemFolder()
  const authority = await makeAuthority()
  const filesOf = async (name: string, serverNames: readonly string[], days = 30) => {
    const issued = await authority.issue({ subject: `CN=${name}`, days })
    const { certFile, keyFile } = folder.put(name, issued)
    const certificate = { key: `${name}.certFile`, path: certFile }
    return { serverNames, certificate, key: { key: `${name}.keyFile`, path: keyFile } }
  }
  options = {
    certificates: [
      await filesOf('others', []),
      await filesOf('shop', ['Shop.example', '*.shop.example'], 2),
      await filesOf('admin', ['admin.shop.example'], -1),
    ],
    clientAuthorities: { key: 'ca', path: folder.write('ca', authority.certificate) },
    minVersion: 'TLSv1.2',
  }
})
afterAll(() => folder[Symbol.dispose]())

test('a name in full comes before a pattern, and a pattern before all others', () => {
  const store = new CertificateStore(options)
  expect(store.dependsOnName).toBe(true)
  const others = store.shownFor(null).context
  const shop = store.shownFor('shop.example').context
  const admin = store.shownFor('admin.shop.example').context
  expect(new Set([others, shop, admin]).size).toBe(3)
  expect(store.shownFor('eu.shop.example').context).toBe(shop)
  for (const name of ['a.eu.shop.example', 'example', '.shop.example', '', '*']) {
    expect(store.shownFor(name).context).toBe(others)
  }
})

test('the end of the first to end is told, and what is wrong with each', () => {
  const store = new CertificateStore(options)
  expect(store.notAfter.getTime()).toBeLessThan(Date.now())
  expect(store.warnings).toEqual([expect.stringContaining('admin.certFile: the certificate in')])
})

test('one certificate makes no difference between names', () => {
  const [first] = options.certificates
  const store = new CertificateStore({ ...options, certificates: [first!] })
  expect(store.dependsOnName).toBe(false)
})

test('a pair that is none is refused, naming its key', () => {
  const [first, second] = options.certificates
  const mixed = { ...first!, key: second!.key }
  expect(() => new CertificateStore({ ...options, certificates: [mixed] })).toThrow(
    expect.objectContaining({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('shop.keyFile: '),
    }),
  )
})

test('all files are those to be watched', () => {
  expect(pathsOf(options)).toHaveLength(7)
  expect(pathsOf({ ...options, clientAuthorities: null })).toHaveLength(6)
})
