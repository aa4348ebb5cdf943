/** The gateway's certificate has the profile that plugins expect. */
import { expect, setDefaultTimeout, test } from 'bun:test'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  BasicConstraintsExtension,
  KeyUsagesExtension,
  X509Certificate as Read,
} from '@peculiar/x509'
import { makeIdentity } from '../../../src/plugins/grpc/cert.ts'

// Processes are started, on machines that have other things to do.
setDefaultTimeout(60_000)

const DAY_MS = 24 * 3600 * 1000

test('names localhost, may sign and be signed for, and holds for thirty years', async () => {
  const { certificate, key } = await makeIdentity()
  const read = new X509Certificate(certificate)
  expect(read.subject).toBe('CN=localhost')
  expect(read.subjectAltName).toBe('DNS:localhost')
  expect(read.ca).toBe(true)
  expect(read.verify(read.publicKey)).toBe(true)
  expect(read.checkPrivateKey(createPrivateKey(key))).toBe(true)
  expect(read.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1')
  const from = Date.parse(read.validFrom)
  expect(Date.now() - from).toBeGreaterThan(29_000)
  expect(Date.now() - from).toBeLessThan(DAY_MS)
  expect(Date.parse(read.validTo)).toBeGreaterThan(Date.now() + 29 * 365 * DAY_MS)
})

test('has the extensions of go-plugin, the right ones critical', async () => {
  const read = new Read((await makeIdentity()).certificate)
  const usage = read.getExtension(KeyUsagesExtension)
  // digitalSignature, keyEncipherment, keyAgreement, keyCertSign: bits 0, 2, 4 and 5.
  expect(Number(usage?.usages)).toBe(1 + 4 + 16 + 32)
  expect(usage?.critical).toBe(true)
  expect(read.getExtension(BasicConstraintsExtension)?.critical).toBe(true)
})

test('is another one each time, with a positive serial number', async () => {
  const serials = new Set<string>()
  for (let round = 0; round < 8; round++) {
    const { serialNumber } = new X509Certificate((await makeIdentity()).certificate)
    expect(serialNumber).not.toStartWith('-')
    serials.add(serialNumber)
  }
  expect(serials.size).toBe(8)
})

test('can be made in a bundle, where modules have another order than in files', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pt-'))
  const bundle = join(folder, 'bundle.js')
  const entry = join(import.meta.dir, '../../fixtures/grpc/identity.ts')
  const flags = ['--target=bun', '--format=esm', '--minify']
  const build = Bun.spawnSync([process.execPath, 'build', ...flags, `--outfile=${bundle}`, entry])
  expect(build.stderr.toString()).not.toContain('error')
  const run = Bun.spawnSync([process.execPath, bundle], { cwd: folder })
  rmSync(folder, { recursive: true })
  expect(run.stderr.toString()).toBe('')
  expect(new X509Certificate(run.stdout).subject).toBe('CN=localhost')
})
