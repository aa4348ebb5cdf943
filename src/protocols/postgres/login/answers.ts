/** The messages with which a server asks who somebody is, lets them in and tells its parameters. */
import { message } from '../messages.ts'
import { BACKEND } from '../tags.ts'

const encoder = new TextEncoder()

/** Kinds of Authentication messages, by the number that their body begins with. */
export const AUTHENTICATION = {
  Ok: 0,
  KerberosV5: 2,
  CleartextPassword: 3,
  MD5Password: 5,
  SCMCredential: 6,
  GSS: 7,
  GSSContinue: 8,
  SSPI: 9,
  SASL: 10,
  SASLContinue: 11,
  SASLFinal: 12,
} as const

function authentication(kind: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const body = new Uint8Array(4 + payload.length)
  new DataView(body.buffer).setUint32(0, kind)
  body.set(payload, 4)
  return message(BACKEND.Authentication, body)
}

/** AuthenticationOk: the client is in. */
export function authenticationOk(): Uint8Array {
  return authentication(AUTHENTICATION.Ok)
}

/** AuthenticationMD5Password with its random salt. */
export function authenticationMd5(salt: Uint8Array): Uint8Array {
  return authentication(AUTHENTICATION.MD5Password, salt)
}

/** AuthenticationSASL: the mechanisms that may be chosen, the best first. */
export function authenticationSasl(mechanisms: readonly string[]): Uint8Array {
  const names = mechanisms.map((name) => `${name}\0`).join('')
  return authentication(AUTHENTICATION.SASL, encoder.encode(`${names}\0`))
}

/** AuthenticationSASLContinue. */
export function saslContinue(words: string): Uint8Array {
  return authentication(AUTHENTICATION.SASLContinue, Buffer.from(words, 'latin1'))
}

/** AuthenticationSASLFinal. */
export function saslFinal(words: string): Uint8Array {
  return authentication(AUTHENTICATION.SASLFinal, Buffer.from(words, 'latin1'))
}

/** ParameterStatus; a zero byte in a value would end it early, so none is written. */
export function parameterStatus(name: string, value: string): Uint8Array {
  const pair = `${name.replaceAll('\0', '')}\0${value.replaceAll('\0', '')}\0`
  return message(BACKEND.ParameterStatus, encoder.encode(pair))
}

/** BackendKeyData around process id and secret, which are one run of bytes here. */
export function backendKeyData(cancelKey: Uint8Array): Uint8Array {
  return message(BACKEND.BackendKeyData, cancelKey)
}

/**
 * NegotiateProtocolVersion: the newest version that is spoken here, written as a startup packet
 * writes it (so does PostgreSQL, where its documentation has the minor number alone), and the
 * `_pq_.` options of the client that are not known.
 */
export function negotiateProtocolVersion(version: number, unknown: readonly string[]): Uint8Array {
  const names = encoder.encode(unknown.map((name) => `${name}\0`).join(''))
  const body = new Uint8Array(8 + names.length)
  const view = new DataView(body.buffer)
  view.setUint32(0, version)
  view.setUint32(4, unknown.length)
  body.set(names, 8)
  return message(BACKEND.NegotiateProtocolVersion, body)
}
