/** The certificates that clients are shown: one for all, or others for some names of servers. */
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { type NamedFile, readAuthorities, readPair } from '../base/certificates.ts'
import { GatewayError } from '../base/errors.ts'
import type { ShownCertificate } from '../protocols/protocol.ts'

export interface CertificateFiles {
  /** Lower case; `*.example.org` is any one label before it. Empty: for all others. */
  readonly serverNames: readonly string[]
  readonly certificate: NamedFile
  readonly key: NamedFile
}

export interface StoreOptions {
  /** The first is for all others. */
  readonly certificates: readonly CertificateFiles[]
  /** Authorities of clients' certificates; null where none are asked for. */
  readonly clientAuthorities: NamedFile | null
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
}

/** What Bun calls the native part of a context; it is made once and shared by all handshakes. */
export type NativeContext = object

/** What a client is shown, and how. */
export interface Shown {
  readonly context: NativeContext
  readonly certificate: ShownCertificate
}

export class CertificateStore {
  readonly warnings: readonly string[]
  /** The end of the certificate that ends first. */
  readonly notAfter: Date
  readonly #byName = new Map<string, Shown>()
  readonly #others: Shown

  /** Reads all files; throws CONFIG_INVALID where one cannot be used. */
  constructor({ certificates, clientAuthorities, minVersion }: StoreOptions) {
    const ca = clientAuthorities === null ? undefined : readAuthorities(clientAuthorities)
    const warnings: string[] = []
    let notAfter = Number.POSITIVE_INFINITY
    const contexts = certificates.map((files) => {
      const pair = readPair(files.certificate, files.key)
      warnings.push(...pair.warnings)
      notAfter = Math.min(notAfter, pair.notAfter.getTime())
      const context = nativeContext(files.certificate, {
        cert: pair.certificate,
        key: pair.key,
        minVersion,
        ...(ca === undefined ? {} : { ca }),
      })
      const shown = { context, certificate: { pem: pair.certificate } }
      for (const name of files.serverNames) this.#byName.set(name.toLowerCase(), shown)
      return shown
    })
    this.#others = contexts[0]!
    this.warnings = warnings
    this.notAfter = new Date(notAfter)
  }

  /** False where the name that a client asks for makes no difference. */
  get dependsOnName(): boolean {
    return this.#byName.size > 0
  }

  shownFor(name: string | null): Shown {
    if (name === null) return this.#others
    const exact = this.#byName.get(name)
    if (exact !== undefined) return exact
    const dot = name.indexOf('.')
    return (dot > 0 ? this.#byName.get(`*${name.slice(dot)}`) : undefined) ?? this.#others
  }
}

export function nativeContext(file: NamedFile, options: SecureContextOptions): NativeContext {
  try {
    const made: { readonly context?: unknown } = createSecureContext(options)
    if (typeof made.context === 'object' && made.context !== null) return made.context
    throw new TypeError('there is no native context')
  } catch (cause) {
    const flaw = `${file.path} cannot be used for TLS`
    throw new GatewayError('CONFIG_INVALID', `${file.key}: ${flaw}`, { cause })
  }
}

/** Every file that a store is built from. */
export function pathsOf({ certificates, clientAuthorities }: StoreOptions): readonly string[] {
  const files = certificates.flatMap(({ certificate, key }) => [certificate.path, key.path])
  return clientAuthorities === null ? files : [...files, clientAuthorities.path]
}
