/**
 * The name of the server that a client asks for in its first message of TLS, read before TLS
 * begins: which certificate is shown depends on it. Source: RFC 8446, sections 4.1.2 and 5.1.
 */

/**
 * - `more`: the message has not come whole
 * - `named`: it has; `name` is null where it names no server
 * - `none`: this is no such message, which is for TLS itself to refuse
 */
export type HelloName =
  | { readonly kind: 'more' }
  | { readonly kind: 'named'; readonly name: string | null }
  | { readonly kind: 'none' }

/** Far more than any client sends; what is longer is refused. */
const HELLO_BYTES_MAX = 65_536

const HANDSHAKE_RECORD = 22
const CLIENT_HELLO = 1
const SERVER_NAME = 0
const HOST_NAME = 0
const RECORD_HEADER_BYTES = 5
const MESSAGE_HEADER_BYTES = 4
/** Version and random. */
const FIXED_BYTES = 34

const NONE: HelloName = { kind: 'none' }
const MORE: HelloName = { kind: 'more' }

export function serverNameIn(bytes: Uint8Array): HelloName {
  const message = messageIn(bytes)
  if (message === 'more') return bytes.length > HELLO_BYTES_MAX ? NONE : MORE
  if (message === 'none') return NONE
  try {
    return { kind: 'named', name: nameIn(new Fields(message)) }
  } catch (thrown) {
    if (thrown instanceof RangeError) return NONE
    throw thrown
  }
}

/** The ClientHello, put together from the records that it was cut into. */
function messageIn(bytes: Uint8Array): Uint8Array | 'more' | 'none' {
  let message: Uint8Array = new Uint8Array(0)
  let at = 0
  while (at < bytes.length) {
    if (bytes[at] !== HANDSHAKE_RECORD) return 'none'
    if (bytes.length < at + RECORD_HEADER_BYTES) return 'more'
    const length = bytes[at + 3]! * 256 + bytes[at + 4]!
    if (length === 0) return 'none'
    at += RECORD_HEADER_BYTES
    message = Buffer.concat([message, bytes.subarray(at, at + length)])
    at += length
    if (message.length > 0 && message[0] !== CLIENT_HELLO) return 'none'
    if (message.length < MESSAGE_HEADER_BYTES) continue
    const end = MESSAGE_HEADER_BYTES + Buffer.from(message).readUIntBE(1, 3)
    if (end > HELLO_BYTES_MAX) return 'none'
    if (message.length >= end) return message.subarray(MESSAGE_HEADER_BYTES, end)
  }
  return 'more'
}

function nameIn(hello: Fields): string | null {
  hello.take(FIXED_BYTES)
  hello.take(hello.number(1))
  hello.take(hello.number(2))
  hello.take(hello.number(1))
  if (hello.atEnd) return null
  const extensions = new Fields(hello.take(hello.number(2)))
  while (!extensions.atEnd) {
    const kind = extensions.number(2)
    const content = extensions.take(extensions.number(2))
    if (kind === SERVER_NAME) return hostIn(new Fields(content))
  }
  return null
}

function hostIn(extension: Fields): string | null {
  const names = new Fields(extension.take(extension.number(2)))
  while (!names.atEnd) {
    const kind = names.number(1)
    const name = names.take(names.number(2))
    if (kind === HOST_NAME) return Buffer.from(name).toString('latin1').toLowerCase()
  }
  return null
}

/** Fields of known lengths, one behind the other; throws RangeError where one is cut. */
class Fields {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  take(length: number): Uint8Array {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new RangeError('a field is cut')
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }

  number(length: number): number {
    return this.take(length).reduce((value, byte) => value * 256 + byte, 0)
  }
}
