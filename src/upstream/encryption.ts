/**
 * TLS to a database, with the words of libpq for how much of it is demanded: what is configured,
 * the files it needs, and whether the database that answered is the one that was meant.
 */
import { checkServerIdentity, createSecureContext, type PeerCertificate } from 'node:tls'
import { type NamedFile, readAuthorities, readPair } from '../base/certificates.ts'
import { GatewayError } from '../base/errors.ts'
import { WatchedFiles } from '../base/watched-files.ts'

export const SSL_MODES = ['prefer', 'require', 'verify-ca', 'verify-full'] as const

export type SslMode = (typeof SSL_MODES)[number]

export interface EncryptionOptions {
  readonly mode: SslMode
  /** The host as configured: the name that the database must prove to have. */
  readonly host: string
  /** Null where none are configured. */
  readonly authorities: NamedFile | null
  readonly certificate: { readonly file: NamedFile; readonly key: NamedFile } | null
  /** Told of changed files: null as cause where they are used, else why they are not. */
  reread(cause: unknown): void
  warn(sentence: string): void
}

/** What is known of a database's certificate when the handshake is over. */
export interface Verdict {
  readonly authorized: boolean
  /** Of the library; "" where there is none. */
  readonly code: string
  readonly certificate: PeerCertificate | null
}

/** A chain that is fine, of a certificate for another name. */
const OTHER_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID'

export class Encryption {
  readonly #options: EncryptionOptions
  readonly #contexts: WatchedFiles<object>

  /** Reads the files; throws CONFIG_INVALID where one cannot be used. */
  constructor(options: EncryptionOptions) {
    this.#options = options
    const { authorities, certificate } = options
    const pair = certificate === null ? [] : [certificate.file, certificate.key]
    const files = authorities === null ? pair : [authorities, ...pair]
    this.#contexts = new WatchedFiles({
      paths: files.map(({ path }) => path),
      build: () => contextOf(options),
      rebuilt: () => options.reread(null),
      failed: (cause) => options.reread(cause),
    })
  }

  /** A database without TLS is used all the same. */
  get optional(): boolean {
    return this.#options.mode === 'prefer'
  }

  /** Looks whether files have changed, before they are used. */
  refresh(): Promise<void> {
    return this.#contexts.lookIfDue(performance.now())
  }

  /** What a handshake is given; the verdict is ours, so nothing is rejected by the library. */
  get handshakeOptions(): { readonly rejectUnauthorized: false; readonly serverName?: string } {
    const { host } = this.#options
    const shared = {
      ...{ secureContext: this.#contexts.current },
      rejectUnauthorized: false,
    } as const
    return isAddress(host) ? shared : { ...shared, serverName: host }
  }

  /** Why the database is not to be trusted, with the cure; null where it is. */
  flawOf({ authorized, code, certificate }: Verdict): string | null {
    const { mode, host, authorities } = this.#options
    const checks = mode === 'verify-ca' || mode === 'verify-full' || authorities !== null
    if (!checks || mode === 'prefer') return null
    if (!authorized && code !== OTHER_NAME) return untrusted(code)
    if (mode !== 'verify-full') return null
    const matches = certificate !== null && checkServerIdentity(host, certificate) === undefined
    return matches ? null : misnamed(host, certificate)
  }
}

function untrusted(code: string): string {
  const flaw = `the certificate of the database is not to be trusted (${code || 'no reason given'})`
  return `${flaw}; name the authority that has signed it in sslRootCert`
}

function misnamed(host: string, certificate: PeerCertificate | null): string {
  const flaw = `the certificate of the database is not for ${host} but for ${namesOf(certificate)}`
  return `${flaw}; connect by a name that it has, or use sslMode verify-ca`
}

function contextOf({ authorities, certificate, warn }: EncryptionOptions): object {
  const ca = authorities === null ? {} : { ca: readAuthorities(authorities) }
  let own = {}
  if (certificate !== null) {
    const pair = readPair(certificate.file, certificate.key)
    for (const warning of pair.warnings) warn(warning)
    own = { cert: pair.certificate, key: pair.key }
  }
  const made: { readonly context?: unknown } = createSecureContext({ ...ca, ...own })
  if (typeof made.context === 'object' && made.context !== null) return made.context
  throw new GatewayError('CONFIG_INVALID', 'TLS to the database cannot be set up')
}

function namesOf(certificate: PeerCertificate | null): string {
  const names = certificate?.subjectaltname || certificate?.subject?.CN
  return [names].flat().join(', ') || 'no name at all'
}

function isAddress(host: string): boolean {
  return host.includes(':') || /^[\d.]+$/.test(host)
}
