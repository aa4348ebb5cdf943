/** Log records of guests that can be printed as they were written. */
import { isSecretName } from '../../base/log-redact.ts'

/** So begins what the SDK's records are. */
const HEAD = '{"message":"'
/** Longer records are read with all that limits them. */
const CHARS_MAX = 4096

export interface PlainRecord {
  /** As it stands between quotes in JSON. */
  readonly message: string
  /** A JSON object. */
  readonly fields: string
}

/**
 * A record whose fields are printed as they stand: an object of plain values and lists of such, in
 * one line, no name of which is a secret's. Null: it must be read, and written anew.
 */
export function plainRecord(text: string): PlainRecord | null {
  if (text.length > CHARS_MAX || !text.startsWith(HEAD) || text.includes('\n')) return null
  const end = text.indexOf('"', HEAD.length)
  const message = text.slice(HEAD.length, end)
  if (message.includes('\\') || text[end + 1] !== ',' || !isPlain(text)) return null
  return { message, fields: `{${text.slice(end + 2)}` }
}

function isPlain(text: string): boolean {
  try {
    // It begins with a brace, so that it is an object if it is anything.
    const record: Readonly<Record<string, unknown>> = JSON.parse(text)
    for (const name in record) if (isSecretName(name) || !isFlat(record[name])) return false
    return true
  } catch {
    return false
  }
}

function isFlat(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  return Array.isArray(value) && !value.some((item) => typeof item === 'object' && item !== null)
}
