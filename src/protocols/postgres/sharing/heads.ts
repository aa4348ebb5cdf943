/** Where the names stand in the messages that begin with names. */
import { FRONTEND } from '../tags.ts'

const HEADER_BYTES = 5

/** Longest names, both together, that are looked for in a message which does not come whole. */
export const NAMES_BYTES_MAX = 8192

/** Where a text ends that begins at `from`: at its zero; -1 where there is none before `to`. */
export function textEnd(bytes: Uint8Array, from: number, to: number): number {
  for (let at = from; at < to; at++) if (bytes[at] === 0) return at
  return -1
}

/**
 * Where the name of the prepared statement begins in a message at `from`; -1 where the message
 * has none, because it speaks of a portal or is malformed.
 */
export function statementAt(tag: number, bytes: Uint8Array, from: number, to: number): number {
  const body = from + HEADER_BYTES
  if (tag === FRONTEND.Parse) return body
  if (tag === FRONTEND.Bind) {
    const portalEnd = textEnd(bytes, body, to)
    return portalEnd < 0 ? -1 : portalEnd + 1
  }
  // Describe and Close: `S` for a statement, `P` for a portal.
  return body < to && bytes[body] === 0x53 ? body + 1 : -1
}

/** True where all names stand before `to`, or never will. */
export function hasNames(tag: number, bytes: Uint8Array, from: number, to: number): boolean {
  if (to - from >= NAMES_BYTES_MAX) return true
  if (tag !== FRONTEND.Parse && tag !== FRONTEND.Bind) return true
  const name = statementAt(tag, bytes, from, to)
  return name >= 0 && textEnd(bytes, name, to) >= 0
}

/** A name as it is told of, whatever its encoding. */
export function nameIn(bytes: Uint8Array, from: number, to: number): string {
  let name = ''
  for (let at = from; at < to; at++) name += String.fromCharCode(bytes[at]!)
  return name
}
