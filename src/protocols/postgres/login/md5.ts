/** The MD5 login of PostgreSQL, both sides. Weak, and kept for databases that still use it. */
import { createHash } from 'node:crypto'
import { equal } from './scram.ts'

/** The challenge is this many random bytes. */
export const MD5_SALT_BYTES = 4

const STORED = /^md5[0-9a-f]{32}$/

/** True for a hash as pg_authid and user files store it. */
export function isMd5Hash(secret: string): boolean {
  return STORED.test(secret)
}

/** What is stored of a password: `md5` and the hash of password and name. */
export function md5Hash(user: string, password: string): string {
  return `md5${md5(password, user)}`
}

/** The answer to a challenge, from what is stored. */
export function md5Answer(stored: string, salt: Uint8Array): string {
  return `md5${md5(stored.slice(3), salt)}`
}

/** True where the client has given the answer that follows from what is stored. */
export function isMd5Answer(answer: string, stored: string, salt: Uint8Array): boolean {
  return equal(Buffer.from(answer), Buffer.from(md5Answer(stored, salt)))
}

function md5(secret: string, salt: string | Uint8Array): string {
  return createHash('md5').update(secret).update(salt).digest('hex')
}
