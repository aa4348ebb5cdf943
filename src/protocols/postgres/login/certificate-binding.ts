/** What channel binding of the kind `tls-server-end-point` binds to: RFC 5929, section 4.1. */
import { createHash, X509Certificate } from 'node:crypto'

/** `ecdsa-with-SHA256`, `RSA-SHA384`, `sha512WithRSAEncryption`. */
const HASH = /(md5|sha-?1|sha-?224|sha-?256|sha-?384|sha-?512)(?!\d)/i

/**
 * The hash of a certificate, in PEM or DER, by the function that it is signed with; SHA-256 where
 * that is MD5 or SHA-1. Null where its signature names no hash, as Ed25519 does: then there is no
 * channel binding, in PostgreSQL as here. Throws where it is no certificate.
 */
export function certificateBinding(certificate: string | Uint8Array): Uint8Array | null {
  const { raw, signatureAlgorithm } = new X509Certificate(certificate)
  const [, named] = HASH.exec(signatureAlgorithm ?? '') ?? []
  if (named === undefined) return null
  const hash = named.toLowerCase().replace('-', '')
  const weak = hash === 'md5' || hash === 'sha1'
  return createHash(weak ? 'sha256' : hash)
    .update(raw)
    .digest()
}
