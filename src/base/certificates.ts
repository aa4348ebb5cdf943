/** Certificates, keys and authorities in PEM files, and errors that name key, file and cure. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { GatewayError, sentenceOf } from './errors.ts'

/** A file, and the key of the configuration that names it. */
export interface NamedFile {
  readonly key: string
  readonly path: string
}

export interface CertificatePair {
  /** PEM, with the certificates of intermediate authorities behind. */
  readonly certificate: string
  /** PEM. */
  readonly key: string
  readonly notAfter: Date
  /** What is wrong with it without being an error, as sentences. */
  readonly warnings: readonly string[]
}

/** Where Linux distributions keep the authorities that the system trusts. */
const SYSTEM_AUTHORITIES: readonly string[] = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g
/** Others may read the file, or change it. */
const FOR_OTHERS = 0o006

function invalid({ key, path }: NamedFile, flaw: string, cause?: unknown): GatewayError {
  return new GatewayError('CONFIG_INVALID', `${key}: ${path} ${flaw}`, { cause })
}

/** Reads a certificate with its key; throws CONFIG_INVALID where they are no usable pair. */
export function readPair(certificate: NamedFile, key: NamedFile): CertificatePair {
  const text = readText(certificate)
  const [first] = certificatesIn(certificate, text)
  const keyText = readText(key)
  if (!first!.checkPrivateKey(readKey(key, keyText))) {
    throw invalid(key, `is not the key of the certificate in ${certificate.path}`)
  }
  const warnings: string[] = []
  const notAfter = new Date(first!.validTo)
  const named = `${certificate.key}: the certificate in ${certificate.path}`
  if (notAfter.getTime() < Date.now()) {
    warnings.push(
      `${named} has expired on ${first!.validTo}: clients that check it will not connect`,
    )
  }
  if (new Date(first!.validFrom).getTime() > Date.now()) {
    warnings.push(`${named} is not valid before ${first!.validFrom}`)
  }
  if ((statSync(key.path).mode & FOR_OTHERS) !== 0) {
    warnings.push(`${key.key}: every user can read ${key.path}; its mode should be 0600 or 0640`)
  }
  return { certificate: text, key: keyText, notAfter, warnings }
}

/** Reads certificates of authorities (PEM); `system` as path means those that the system trusts. */
export function readAuthorities(file: NamedFile): string {
  const text = readText(file.path === 'system' ? systemAuthorities(file.key) : file)
  if (file.path !== 'system') certificatesIn(file, text)
  return text
}

function systemAuthorities(key: string): NamedFile {
  for (const path of SYSTEM_AUTHORITIES) {
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) return { key, path }
  }
  const flaw = `the system has no authorities in ${SYSTEM_AUTHORITIES.join(', ')}`
  throw new GatewayError('CONFIG_INVALID', `${key}: ${flaw}; install ca-certificates`)
}

function readText(file: NamedFile): string {
  try {
    return readFileSync(file.path, 'utf8')
  } catch (cause) {
    throw invalid(file, 'cannot be read', cause)
  }
}

function certificatesIn(file: NamedFile, text: string): readonly X509Certificate[] {
  const found = text.match(CERTIFICATE)
  if (found === null) throw invalid(file, 'holds no certificate in PEM form')
  try {
    return found.map((pem) => new X509Certificate(pem))
  } catch (cause) {
    throw invalid(file, 'holds a certificate that cannot be read', cause)
  }
}

function readKey(file: NamedFile, text: string): KeyObject {
  if (!text.includes('PRIVATE KEY-----')) throw invalid(file, 'holds no private key in PEM form')
  if (text.includes('ENCRYPTED')) {
    throw invalid(file, 'is encrypted: the gateway needs it without a passphrase')
  }
  try {
    return createPrivateKey(text)
  } catch (cause) {
    throw invalid(file, `holds a key that cannot be read (${sentenceOf(cause)})`)
  }
}

/** Subject of a certificate in the form of RFC 4514, "" where there is none. */
export function subjectText(subject: unknown): string {
  if (typeof subject !== 'object' || subject === null) return ''
  return Object.entries(subject)
    .flatMap(([name, values]) =>
      [values].flat().map((value) => `${name}=${escaped(String(value))}`),
    )
    .join(',')
}

/** A value cannot pass for another attribute: what separates them is escaped. */
function escaped(value: string): string {
  return value
    .replaceAll(/[,+"\\<>;=]/g, '\\$&')
    .replaceAll(/\p{Cc}/gu, (control) => {
      return `\\${control.charCodeAt(0).toString(16).padStart(2, '0')}`
    })
    .replace(/^[# ]/, '\\$&')
    .replace(/ $/, '\\ ')
}
