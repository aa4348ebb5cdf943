/** All that a client says in its startup packet, in order. */
import { numberAt, STARTUP_BYTES_MAX } from '../startup.ts'

const PARAMETERS_AT = 8
/** Options of the protocol, which are no settings of the database. */
const PROTOCOL_OPTION = '_pq_.'
/** The newest version that is spoken here: 3.2. */
export const PROTOCOL_NEWEST = 196_610

export type Parameter = readonly [name: string, value: string]

export interface StartupParameters {
  readonly kind: 'startup'
  /** As written in the packet: `196608` is 3.0. */
  readonly protocol: number
  readonly parameters: readonly Parameter[]
}

export type StartupRead =
  | StartupParameters
  | { readonly kind: 'malformed'; readonly sentence: string }

/** Packets that were read before: clients of one kind introduce themselves in the same words. */
const readBefore = new Map<string, StartupRead>()
const READ_BEFORE_MAX = 100

/** Reads a whole StartupMessage. Texts must be UTF-8, whatever the encoding of the database. */
export function readStartup(packet: Uint8Array): StartupRead {
  const words = Buffer.from(packet.buffer, packet.byteOffset, packet.length).toString('latin1')
  const before = readBefore.get(words)
  if (before !== undefined) return before
  const read = readAnew(packet)
  if (readBefore.size >= READ_BEFORE_MAX) readBefore.clear()
  readBefore.set(words, read)
  return read
}

function readAnew(packet: Uint8Array): StartupRead {
  if (packet.length <= PARAMETERS_AT || packet.length > STARTUP_BYTES_MAX) {
    return malformed(`it has ${packet.length} bytes`)
  }
  if (numberAt(packet, 0) !== packet.length) return malformed('its length is not as declared')
  const protocol = numberAt(packet, 4)
  if (protocol >>> 16 !== 3) return malformed('it is not of protocol 3')
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const parameters: Parameter[] = []
  let at = PARAMETERS_AT
  while (at < packet.length && packet[at] !== 0) {
    const nameEnd = packet.indexOf(0, at)
    const valueEnd = nameEnd < 0 ? -1 : packet.indexOf(0, nameEnd + 1)
    if (valueEnd < 0) return malformed('it ends within a parameter')
    try {
      const name = strict.decode(packet.subarray(at, nameEnd))
      parameters.push([name, strict.decode(packet.subarray(nameEnd + 1, valueEnd))])
    } catch {
      return malformed(`its parameter ${parameters.length + 1} is not UTF-8`)
    }
    at = valueEnd + 1
  }
  if (at !== packet.length - 1) return malformed('its last byte is not its terminator')
  return { kind: 'startup', protocol, parameters }
}

/**
 * The `_pq_.` options, none of which is known here; and whether the version is newer than ours.
 * Where either is so the client is owed a NegotiateProtocolVersion before it is asked anything.
 */
export function negotiation({ protocol, parameters }: StartupParameters): {
  readonly owed: boolean
  /** What is spoken with this client. */
  readonly protocol: number
  readonly unknown: readonly string[]
} {
  const unknown = parameters.map(([name]) => name).filter((name) => isProtocolOption(name))
  const owed = protocol > PROTOCOL_NEWEST || unknown.length > 0
  return { owed, protocol: Math.min(protocol, PROTOCOL_NEWEST), unknown }
}

/** True for options of the protocol, which never become settings. */
export function isProtocolOption(name: string): boolean {
  return name.startsWith(PROTOCOL_OPTION)
}

function malformed(what: string): StartupRead {
  return { kind: 'malformed', sentence: `invalid startup packet: ${what}` }
}
