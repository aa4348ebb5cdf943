/** Certificates signed in several ways, for channel binding. */
import type { Identity } from '../../../../src/plugins/grpc/cert.ts'

/** How the key is made, and how it signs. */
interface Algorithm {
  readonly name: string
  readonly hash?: string
  readonly namedCurve?: string
  readonly modulusLength?: number
  readonly publicExponent?: Uint8Array
}

/** A self-signed certificate for `localhost`. */
export async function certificateSignedBy(
  algorithm: Algorithm,
): Promise<Identity & { readonly der: Uint8Array }> {
  // The library refuses to run before the functions of reflect-metadata are there.
  await import('../../../../src/plugins/grpc/metadata.ts')
  const x509 = await import('@peculiar/x509')
  const keys = (await crypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as CryptoKeyPair
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=localhost',
    serialNumber: '01',
    signingAlgorithm: algorithm,
    keys,
  })
  const key = await crypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    certificate: certificate.toString('pem'),
    key: x509.PemConverter.encode(key, x509.PemConverter.PrivateKeyTag),
    der: new Uint8Array(certificate.rawData),
  }
}
