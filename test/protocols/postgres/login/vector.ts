/** The example of RFC 7677, section 3: user "user" with the password "pencil". */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'

const clientNonce = 'rOprNGfwEbeRWgbNEkqO'
const serverNonce = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
const salt = 'W22ZaJ0SNY7soEsUEjb6gQ=='
const proof = 'dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ='
const serverFirst = `r=${clientNonce}${serverNonce},s=${salt},i=4096`
const withoutProof = `c=biws,r=${clientNonce}${serverNonce}`

export const VECTOR = {
  clientNonce,
  serverNonce,
  salt,
  proof,
  clientFirst: `n,,n=user,r=${clientNonce}`,
  serverFirst,
  clientFinal: `${withoutProof},p=${proof}`,
  signature: '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  /** What proof and signature are about. */
  spoken: `n=user,r=${clientNonce},${serverFirst},${withoutProof}`,
} as const

/** What PostgreSQL stores of a password; written apart from the gateway's own code. */
export function stored(password: string, saltText: string = salt, iterations = 4096): string {
  const hmac = (key: Uint8Array, words: string) => createHmac('sha256', key).update(words).digest()
  const bytes = Buffer.from(saltText, 'base64')
  const salted = pbkdf2Sync(password, bytes, iterations, 32, 'sha256')
  const storedKey = createHash('sha256').update(hmac(salted, 'Client Key')).digest('base64')
  const serverKey = hmac(salted, 'Server Key').toString('base64')
  return `SCRAM-SHA-256$${iterations}:${saltText}$${storedKey}:${serverKey}`
}

export const PENCIL = stored('pencil')
