/** Answers a PostgreSQL server's question who we are: clear text, MD5 and SCRAM-SHA-256. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { concat } from './frontend.ts'

export interface Login {
  readonly user: string
  readonly password: string
}

const ascii = new TextDecoder()

/** The answer to AuthenticationMD5Password. */
export function md5Password({ user, password }: Login, salt: Uint8Array): string {
  const md5 = (...parts: (string | Uint8Array)[]): string => {
    const hash = createHash('md5')
    for (const part of parts) hash.update(part)
    return hash.digest('hex')
  }
  return `md5${md5(md5(password, user), salt)}`
}

/** The mechanisms that AuthenticationSASL offers. */
export function saslMechanisms(payload: Uint8Array): string[] {
  return ascii
    .decode(payload)
    .split('\0')
    .filter((name) => name !== '')
}

/** One conversation of SCRAM-SHA-256 without channel binding. */
export interface Scram {
  readonly mechanism: string
  readonly first: string
  /** Our second words, to the server's first. */
  answer(serverFirst: Uint8Array): string
  /** Throws unless the server has proved that it knows the password, too. */
  verify(serverLast: Uint8Array): void
}

export function startScram(password: string): Scram {
  const nonce = randomBytes(18).toString('base64')
  const firstBare = `n=,r=${nonce}`
  let expected = ''
  return {
    mechanism: 'SCRAM-SHA-256',
    first: `n,,${firstBare}`,
    answer(serverFirst) {
      const challenge = ascii.decode(serverFirst)
      const { r = '', s = '', i = '' } = attributes(challenge)
      if (!r.startsWith(nonce) || s === '' || !(Number(i) > 0)) {
        throw new Error(`SCRAM: the server's first words make no sense: ${challenge}`)
      }
      const withoutProof = `c=biws,r=${r}`
      const spoken = `${firstBare},${challenge},${withoutProof}`
      const salted = pbkdf2Sync(password, Buffer.from(s, 'base64'), Number(i), 32, 'sha256')
      const clientKey = hmac(salted, 'Client Key')
      const storedKey = createHash('sha256').update(clientKey).digest()
      const signature = hmac(storedKey, spoken)
      expected = hmac(hmac(salted, 'Server Key'), spoken).toString('base64')
      const proof = concat(clientKey).map((byte, index) => byte ^ (signature[index] ?? 0))
      return `${withoutProof},p=${Buffer.from(proof).toString('base64')}`
    },
    verify(serverLast) {
      const { v } = attributes(ascii.decode(serverLast))
      if (v !== expected) throw new Error('SCRAM: the server does not know the password')
    },
  }
}

function hmac(key: Uint8Array, words: string): Buffer {
  return createHmac('sha256', key).update(words).digest()
}

/** `r=…,s=…,i=…` as an object. */
function attributes(words: string): Record<string, string> {
  return Object.fromEntries(words.split(',').map((word) => [word.slice(0, 1), word.slice(2)]))
}
