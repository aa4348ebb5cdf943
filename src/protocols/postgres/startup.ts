/** The untyped packets that begin a session. Source: PostgreSQL, "Message Formats". */

const decoder = new TextDecoder()

/** Requests that come in the place of a protocol version. */
export const SSL_REQUEST = 80877103
export const GSSENC_REQUEST = 80877104
export const CANCEL_REQUEST = 80877102
const PROTOCOL_3 = 3

/**
 * What a server answers before anybody has logged in: an SSLRequest. One that says yes logs an
 * error where no handshake follows; one that says no is left without a trace.
 */
export const PROBE_QUESTION = {
  bytes: Uint8Array.of(0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f),
  answers: { S: 'shake hands', N: 'leave' },
} as const

/** PostgreSQL's own limit for a startup packet, in bytes. */
export const STARTUP_BYTES_MAX = 10_000
const STARTUP_BYTES_MIN = 8

export interface StartupFacts {
  readonly user: string
  readonly database: string
  readonly applicationName: string
}

/** The four-byte number at `at`, unsigned. */
export function numberAt(bytes: Uint8Array, at: number): number {
  // A DataView would make the engine give a fresh chunk a buffer object: dear at every connection.
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  )
}

/** Why a declared length or code cannot begin a PostgreSQL session; null if it can. */
export function startupFlaw(length: number, code: number | null): string | null {
  if (length < STARTUP_BYTES_MIN || length > STARTUP_BYTES_MAX) {
    const bounds = `a startup packet has 8 to ${STARTUP_BYTES_MAX}`
    return `the first packet declares ${length} bytes; ${bounds}`
  }
  if (code === null) return null
  const known = code === SSL_REQUEST || code === GSSENC_REQUEST || code === CANCEL_REQUEST
  if (known || code >>> 16 === PROTOCOL_3) return null
  return `protocol version ${code >>> 16}.${code & 0xffff} is not supported; 3.0 or newer is`
}

/** Who wants to connect, from a whole StartupMessage; null where its parameters are malformed. */
export function parseStartup(packet: Uint8Array): StartupFacts | null {
  const parameters = new Map<string, string>()
  let at = STARTUP_BYTES_MIN
  for (;;) {
    const keyEnd = packet.indexOf(0, at)
    if (keyEnd < 0) return null
    if (keyEnd === at) break
    const valueEnd = packet.indexOf(0, keyEnd + 1)
    if (valueEnd < 0) return null
    parameters.set(
      decoder.decode(packet.subarray(at, keyEnd)),
      decoder.decode(packet.subarray(keyEnd + 1, valueEnd)),
    )
    at = valueEnd + 1
  }
  const user = parameters.get('user') ?? ''
  return {
    user,
    database: parameters.get('database') ?? user,
    applicationName: parameters.get('application_name') ?? '',
  }
}

/** The key in a CancelRequest, in hex; "" where the bytes are none. */
export function cancelTarget(packet: Uint8Array): string {
  if (packet.length <= STARTUP_BYTES_MIN || numberAt(packet, 0) !== packet.length) return ''
  if (numberAt(packet, 4) !== CANCEL_REQUEST) return ''
  return Buffer.from(packet.subarray(STARTUP_BYTES_MIN)).toString('hex')
}

/** The request that cancels what the session with this key (process id and secret) is doing. */
export function cancelRequest(key: Uint8Array): Uint8Array {
  const packet = new Uint8Array(STARTUP_BYTES_MIN + key.length)
  const view = new DataView(packet.buffer)
  view.setUint32(0, packet.length)
  view.setUint32(4, CANCEL_REQUEST)
  packet.set(key, STARTUP_BYTES_MIN)
  return packet
}
