/** Certificates for tests, made when a test runs: an authority, and what it signs. */
import 'reflect-metadata'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  BasicConstraintsExtension,
  type Extension,
  PemConverter,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const DAY_MS = 24 * 3600 * 1000

export interface Issued {
  /** PEM. */
  readonly certificate: string
  /** PEM (PKCS #8). */
  readonly key: string
}

export interface IssueOptions {
  /** Such as `CN=ann`. */
  readonly subject: string
  readonly hosts?: readonly string[]
  readonly addresses?: readonly string[]
  /** Days from now; negative: it has expired. */
  readonly days?: number
}

export interface Authority {
  /** PEM. */
  readonly certificate: string
  issue(options: IssueOptions): Promise<Issued>
}

let serial = 1

export async function makeAuthority(name = 'CN=test authority'): Promise<Authority> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const own = await X509CertificateGenerator.createSelfSigned({
    name,
    keys,
    ...validity(30),
    signingAlgorithm: ALGORITHM,
    extensions: [new BasicConstraintsExtension(true, undefined, true)],
  })
  return {
    certificate: pem(own),
    async issue({ subject, hosts = [], addresses = [], days = 30 }) {
      const pair = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
      const issued = await X509CertificateGenerator.create({
        subject,
        issuer: own.subject,
        publicKey: pair.publicKey,
        signingKey: keys.privateKey,
        ...validity(days),
        signingAlgorithm: ALGORITHM,
        extensions: namesOf(hosts, addresses),
      })
      const key = await crypto.subtle.exportKey('pkcs8', pair.privateKey)
      return { certificate: pem(issued), key: PemConverter.encode(key, 'PRIVATE KEY') }
    },
  }
}

function namesOf(hosts: readonly string[], addresses: readonly string[]): Extension[] {
  if (hosts.length + addresses.length === 0) return []
  return [
    new SubjectAlternativeNameExtension([
      ...hosts.map((value) => ({ type: 'dns', value }) as const),
      ...addresses.map((value) => ({ type: 'ip', value }) as const),
    ]),
  ]
}

function validity(days: number) {
  serial += 1
  const now = Date.now()
  return {
    serialNumber: serial.toString(16).padStart(4, '0'),
    notBefore: new Date(Math.min(now, now + days * DAY_MS) - DAY_MS),
    notAfter: new Date(now + days * DAY_MS),
  }
}

function pem(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`
}

/** A folder of PEM files, removed at the end. */
export interface PemFolder {
  readonly path: string
  /** Writes `NAME.crt` and `NAME.key` as one renames files into their place; returns both paths. */
  put(name: string, issued: Issued): { readonly certFile: string; readonly keyFile: string }
  /** Writes one file; returns its path. */
  write(name: string, text: string): string
  [Symbol.dispose](): void
}

export function makePemFolder(): PemFolder {
  const path = mkdtempSync(join(tmpdir(), 'postern-pem-'))
  const write = (name: string, text: string): string => {
    const file = join(path, name)
    writeFileSync(`${file}.new`, text, { mode: 0o600 })
    renameSync(`${file}.new`, file)
    return file
  }
  return {
    path,
    write,
    put: (name, { certificate, key }) => ({
      certFile: write(`${name}.crt`, certificate),
      keyFile: write(`${name}.key`, key),
    }),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  }
}
