/** The form of a password that SCRAM works with: RFC 4013, as PostgreSQL applies it. */

const NO_ASCII = /[\u{80}-\u{10ffff}]/u

/**
 * The password in its prepared form. One that SASLprep prohibits is taken as it is, as PostgreSQL
 * does, for it must be possible to log in with it all the same.
 */
export function preparedPassword(password: string): string {
  if (!NO_ASCII.test(password)) return password
  // Loaded when first needed: its tables take 6 ms, and most passwords are ASCII.
  const library = require('@mongodb-js/saslprep') as typeof import('@mongodb-js/saslprep')
  try {
    return library.saslprep(password)
  } catch {
    return password
  }
}
