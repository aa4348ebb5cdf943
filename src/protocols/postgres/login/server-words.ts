/** Startup packets written, and what servers say in a login taken apart. */

const decoder = new TextDecoder()
const encoder = new TextEncoder()
/** Longer sentences of a server are cut. */
const MESSAGE_CHARACTERS_MAX = 500
const STARTUP_HEADER_BYTES = 8

/** A StartupMessage; zero bytes in names or values, which would end them early, are left out. */
export function startupPacket(
  protocol: number,
  parameters: Iterable<readonly [name: string, value: string]>,
): Uint8Array {
  let pairs = ''
  for (const [name, value] of parameters) {
    pairs += `${name.replaceAll('\0', '')}\0${value.replaceAll('\0', '')}\0`
  }
  const body = encoder.encode(`${pairs}\0`)
  const packet = new Uint8Array(STARTUP_HEADER_BYTES + body.length)
  const view = new DataView(packet.buffer)
  view.setUint32(0, packet.length)
  view.setUint32(4, protocol)
  packet.set(body, STARTUP_HEADER_BYTES)
  return packet
}

/** A list of texts, each with its zero, and one more zero; null where it is no such list. */
export function cstrings(bytes: Uint8Array): string[] | null {
  const texts: string[] = []
  let at = 0
  for (;;) {
    const end = bytes.indexOf(0, at)
    if (end < 0) return null
    if (end === at) return end === bytes.length - 1 ? texts : null
    texts.push(decoder.decode(bytes.subarray(at, end)))
    at = end + 1
  }
}

/** Name and value of a ParameterStatus; null where it is malformed. */
export function parameterOf(body: Uint8Array): readonly [name: string, value: string] | null {
  const nameEnd = body.indexOf(0)
  if (nameEnd < 1 || body.indexOf(0, nameEnd + 1) !== body.length - 1) return null
  const name = decoder.decode(body.subarray(0, nameEnd))
  return [name, decoder.decode(body.subarray(nameEnd + 1, -1))]
}

/** Code and message of an ErrorResponse, fit for one line of a log; null where it is malformed. */
export function errorFields(body: Uint8Array): { code: string; message: string } | null {
  const fields = cstrings(body)
  if (fields === null) return null
  const field = (letter: string): string =>
    fields.find((text) => text.startsWith(letter))?.slice(1) ?? ''
  const told = field('C')
  const code = /^[0-9A-Z]{5}$/.test(told) ? told : 'XX000'
  const message = field('M').replace(/\p{Cc}+/gu, ' ')
  return { code, message: message.slice(0, MESSAGE_CHARACTERS_MAX) }
}
