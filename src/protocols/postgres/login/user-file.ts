/**
 * Reads a user file in the format of PgBouncer's `auth_file`: `"name" "secret"` a line, quotes
 * within doubled, empty lines and lines that begin with `;` or `#` skipped. Every problem is named
 * by its line, and no message repeats a secret.
 */
import { Secret } from './secret.ts'
import { secretKind, Users, type UsersOptions } from './users.ts'

export interface UserFileLimits {
  readonly fileBytesMax: number
  readonly usersMax: number
}

export const USER_FILE_LIMITS: UserFileLimits = { fileBytesMax: 16_777_216, usersMax: 100_000 }

/** As in PgBouncer; PostgreSQL itself has names of 63 bytes. */
const NAME_BYTES_MAX = 127
const SECRET_BYTES_MAX = 2047
/** More problems are not listed. */
const PROBLEMS_MAX = 100

const SKIPPED = /^\s*(?:[;#].*)?$/s
/** Two quoted texts; what stands behind them, after a space, is ignored as PgBouncer does. */
const ENTRY = /^\s*"((?:[^"]|"")*)"\s+"((?:[^"]|"")*)"(?:\s.*)?$/s

export interface UserFileProblem {
  /** Counted from 1; 0 for the file as a whole. */
  readonly line: number
  readonly message: string
}

export type UserFile =
  | { readonly kind: 'users'; readonly users: Users }
  | { readonly kind: 'problems'; readonly problems: readonly UserFileProblem[] }

export interface UserFileOptions extends UsersOptions {
  readonly limits?: UserFileLimits
}

/** The users of a file, or all that is wrong with it. */
export function parseUserFile(bytes: Uint8Array, options: UserFileOptions = {}): UserFile {
  const { fileBytesMax, usersMax } = options.limits ?? USER_FILE_LIMITS
  if (bytes.length > fileBytesMax) {
    return { kind: 'problems', problems: [{ line: 0, message: tooLarge(fileBytesMax) }] }
  }
  const reading = new Reading()
  const lines = linesOf(bytes)
  for (const [index, line] of lines.entries()) {
    reading.line(index + 1, line)
    if (reading.size <= usersMax) continue
    reading.problem(index + 1, `more than ${usersMax} users, which is the limit`)
    break
  }
  const { problems } = reading
  if (problems.length > 0) return { kind: 'problems', problems }
  return { kind: 'users', users: new Users(reading.entries(), options) }
}

function tooLarge(bytesMax: number): string {
  return `the file has more than ${bytesMax} bytes, which is the limit`
}

/** Line by line, so that a line that is not UTF-8 is found: it is null. */
function linesOf(bytes: Uint8Array): (string | null)[] {
  const strict = new TextDecoder('utf-8', { fatal: true })
  try {
    return strict.decode(bytes).split('\n')
  } catch {
    return Buffer.from(bytes)
      .toString('latin1')
      .split('\n')
      .map((line) => {
        try {
          return strict.decode(Buffer.from(line, 'latin1'))
        } catch {
          return null
        }
      })
  }
}

/** What has been read so far. */
class Reading {
  readonly problems: UserFileProblem[] = []
  readonly #entries = new Map<string, { readonly line: number; readonly secret: Secret }>()
  #unlisted = 0

  get size(): number {
    return this.#entries.size
  }

  *entries(): Generator<readonly [name: string, secret: Secret]> {
    for (const [name, { secret }] of this.#entries) yield [name, secret]
  }

  problem(line: number, message: string): void {
    if (this.problems.length < PROBLEMS_MAX) {
      this.problems.push({ line, message })
      return
    }
    this.#unlisted += 1
    this.problems[PROBLEMS_MAX] = {
      line: 0,
      message: `${this.#unlisted} more problems are not listed`,
    }
  }

  line(line: number, text: string | null): void {
    if (text === null) return this.problem(line, 'the line is not UTF-8')
    if (SKIPPED.test(text)) return
    const [, quotedName, quotedSecret] = ENTRY.exec(text) ?? []
    if (quotedName === undefined || quotedSecret === undefined) {
      const form = 'a line is "name" "secret", each in double quotes, quotes within doubled'
      return this.problem(line, form)
    }
    const name = quotedName.replaceAll('""', '"')
    const secret = new Secret(quotedSecret.replaceAll('""', '"'))
    const flaw = nameFlaw(name) ?? secretFlaw(secret)
    if (flaw !== null) return this.problem(line, flaw)
    const earlier = this.#entries.get(name)
    if (earlier !== undefined) {
      return this.problem(line, `user ${shown(name)} stands in line ${earlier.line} already`)
    }
    this.#entries.set(name, { line, secret })
  }
}

function nameFlaw(name: string): string | null {
  if (name === '') return 'the user name is empty'
  if (name.includes('\0')) return 'the user name has a zero byte'
  if (Buffer.byteLength(name) <= NAME_BYTES_MAX) return null
  return `the user name has more than ${NAME_BYTES_MAX} bytes`
}

function secretFlaw(secret: Secret): string | null {
  const text = secret.reveal()
  if (text.includes('\0')) return 'the secret has a zero byte'
  if (Buffer.byteLength(text) > SECRET_BYTES_MAX) {
    return `the secret has more than ${SECRET_BYTES_MAX} bytes`
  }
  if (secretKind(secret) !== null) return null
  return 'the SCRAM secret is malformed: it is SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey'
}

function shown(name: string): string {
  return JSON.stringify(name)
}
