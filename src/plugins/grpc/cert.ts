/**
 * The certificate by which the gateway identifies itself to one process of one plugin: made for
 * it, told to it, never stored. Loading the library takes about 60 ms and happens at first use.
 */

export interface Identity {
  /** PEM of a self-signed certificate for `localhost`. */
  readonly certificate: string
  /** PEM of its private key (PKCS #8). */
  readonly key: string
}

// P-256: plugins built on gRPC's C core cannot verify a client that shows P-521.
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

const SECOND_MS = 1000
const YEAR_MS = 365 * 24 * 3600 * SECOND_MS

/** 128 random bits; the highest is clear, for a serial number is positive. */
function serialNumber(): string {
  const bytes = crypto.getRandomValues(Buffer.alloc(16))
  bytes[0] = (bytes[0] ?? 0) & 0x7f
  return bytes.toString('hex')
}

/**
 * One after the other: the library refuses to run before the functions of `metadata.ts` are there,
 * and files that are loaded side by side may run in either order.
 */
async function loadLibrary() {
  await import('./metadata.ts')
  return await import('@peculiar/x509')
}

/** Makes a key and a certificate with the profile that go-plugin's own certificates have. */
export async function makeIdentity(): Promise<Identity> {
  const x509 = await loadLibrary()
  const usage = x509.ExtendedKeyUsage
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const now = Date.now()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=localhost',
    serialNumber: serialNumber(),
    // Clocks of a machine and its containers may differ a little.
    notBefore: new Date(now - 30 * SECOND_MS),
    notAfter: new Date(now + 30 * YEAR_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.digitalSignature |
          x509.KeyUsageFlags.keyEncipherment |
          x509.KeyUsageFlags.keyAgreement |
          x509.KeyUsageFlags.keyCertSign,
        true,
      ),
      new x509.ExtendedKeyUsageExtension([usage.clientAuth, usage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  const key = await crypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    certificate: certificate.toString('pem'),
    key: x509.PemConverter.encode(key, x509.PemConverter.PrivateKeyTag),
  }
}
