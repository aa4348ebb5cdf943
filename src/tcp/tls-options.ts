/** From the keys of the configuration to what TLS needs, on both sides; files are read here. */
import type { Logger } from 'pino'
import type { Address } from '../base/address.ts'
import { sentenceOf } from '../base/errors.ts'
import { WatchedFiles } from '../base/watched-files.ts'
import type { ClientConfig, ServerConfig } from '../config/schema.ts'
import { Encryption } from '../upstream/encryption.ts'
import type { TlsAccount } from './account.ts'
import { CertificateStore, pathsOf, type StoreOptions } from './certificate-store.ts'
import type { TlsOptions } from './tls.ts'

/** Null where clients are not offered TLS; throws CONFIG_INVALID where a file cannot be used. */
export function tlsOptionsOf(
  group: string,
  server: ServerConfig,
  account: TlsAccount,
  log: Logger,
): TlsOptions | null {
  if (!server.enableTLS) return null
  const store = storeOptionsOf(`servers.${group}`, server)
  const warn = ({ warnings }: CertificateStore): void => {
    for (const warning of warnings) log.warn(warning)
  }
  const certificates = new WatchedFiles({
    paths: pathsOf(store),
    build: () => new CertificateStore(store),
    rebuilt(built) {
      account.certificatesReloaded += 1
      log.info({ server: group, notAfter: built.notAfter }, 'certificates were read again')
      warn(built)
    },
    failed(cause) {
      account.certificatesRefused += 1
      const stays = 'changed certificates cannot be used, so those from before stay in use'
      log.error({ server: group }, `${stays}: ${sentenceOf(cause)}`)
    },
  })
  warn(certificates.current)
  return {
    certificates,
    required: server.requireTLS,
    clientCert: server.clientCert,
    handshakeTimeoutMs: server.handshakeTimeout,
    account,
  }
}

function storeOptionsOf(place: string, server: ServerConfig): StoreOptions {
  const named = server.certificates.map(({ serverNames, certFile, keyFile }, index) => ({
    serverNames,
    certificate: { key: `${place}.certificates[${index}].certFile`, path: certFile },
    key: { key: `${place}.certificates[${index}].keyFile`, path: keyFile },
  }))
  const others = {
    serverNames: [],
    certificate: { key: `${place}.certFile`, path: server.certFile },
    key: { key: `${place}.keyFile`, path: server.keyFile },
  }
  return {
    certificates: [others, ...named],
    clientAuthorities:
      server.clientCert === 'none'
        ? null
        : { key: `${place}.clientCaFile`, path: server.clientCaFile },
    minVersion: server.tlsMinVersion === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
  }
}

/** TLS to a database; null where none is wanted, or none is spoken, as over a Unix socket. */
export function encryptionOf(
  place: string,
  client: ClientConfig,
  address: Address,
  log: Logger,
): Encryption | null {
  const { sslMode, sslRootCert, sslCert, sslKey } = client
  if (sslMode === 'disable' || address.network === 'unix') return null
  const file = (key: string, path: string) => ({ key: `${place}.${key}`, path })
  return new Encryption({
    mode: sslMode === 'allow' ? 'prefer' : sslMode,
    host: address.host || '127.0.0.1',
    authorities: sslRootCert === '' ? null : file('sslRootCert', sslRootCert),
    certificate:
      sslCert === '' ? null : { file: file('sslCert', sslCert), key: file('sslKey', sslKey) },
    warn: (sentence) => log.warn(sentence),
    reread(cause) {
      if (cause === null) return log.info(`${place}: files for TLS were read again`)
      const stays = 'changed files cannot be used for TLS, so those from before stay in use'
      log.error(`${place}: ${stays}: ${sentenceOf(cause)}`)
    },
  })
}
