/** Network addresses as configuration writes them: to listen on, or to connect to. */

import { GatewayError } from './errors.ts'

export type Address =
  | { readonly network: 'tcp'; readonly host: string; readonly port: number }
  | { readonly network: 'udp'; readonly host: string; readonly port: number }
  | { readonly network: 'unix'; readonly path: string }

const PORT_MAX = 65_535
/** The kernel's room for a path, without the byte that ends it. */
const PATH_BYTES_MAX = 107
/** DNS names are at most 253 bytes; an IPv6 address with a zone is shorter. */
const ADDRESS_LENGTH_MAX = 320
const V6 = /^\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]:(\d{1,5})$/
const PLAIN = /^([^\s:/@[\]]*):(\d{1,5})$/

/**
 * `host:port`, `[v6]:port` or `:port` (all interfaces, or this machine); null where the text is
 * none of them. The host comes without brackets. With the network `unix` the text is a path that a
 * socket can have.
 */
export function parseAddress(text: string, network: string): Address | null {
  if (network === 'unix') return pathFlaw(text) === null ? { network, path: text } : null
  if (text.length > ADDRESS_LENGTH_MAX) return null
  const [, host, digits] = V6.exec(text) ?? PLAIN.exec(text) ?? []
  const port = Number(digits)
  if (host === undefined || !(port <= PORT_MAX)) return null
  return network === 'udp' ? { network, host, port } : { network: 'tcp', host, port }
}

const EXAMPLES = 'localhost:5432, [::1]:5432 or :5432 (network unix: a path)'

/** Why the text is no address of the network, as what it must be; null where it is one. */
export function addressFlaw(text: string, network: string): string | null {
  if (network === 'unix') return pathFlaw(text)
  return parseAddress(text, network) === null ? `must be an address such as ${EXAMPLES}` : null
}

function pathFlaw(path: string): string | null {
  if (path === '') return 'must be the path of a Unix socket'
  if (path.startsWith('@')) {
    const why = 'must be a path: abstract sockets have no file whose mode would protect them'
    return `${why} (a file of this name is ./@name)`
  }
  if (path.includes('\0')) return 'must be a path without a zero byte'
  const bytes = Buffer.byteLength(path)
  if (bytes <= PATH_BYTES_MAX) return null
  return `must be a path of at most ${PATH_BYTES_MAX} bytes, and this one has ${bytes}`
}

/** The address that must stand at this key of the configuration; throws CONFIG_INVALID. */
export function requiredAddress(text: string, network: string, key: string): Address {
  const address = parseAddress(text, network)
  if (address !== null) return address
  throw new GatewayError('CONFIG_INVALID', `${key}: "${text}" is no address such as HOST:PORT`)
}

/** `ip:port`, with brackets around IPv6; "" where there is no host. */
export function hostPort(host: string | undefined, port: number | undefined): string {
  if (host === undefined || host === '') return ''
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** The address as people write it. */
export function addressText(address: Address): string {
  return address.network === 'unix' ? address.path : hostPort(address.host || '*', address.port)
}

const LOOPBACK_V4 = /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/

/** True where only this machine can be at the other end. */
export function isLocal(address: Address): boolean {
  if (address.network === 'unix') return true
  const { host } = address
  return host === 'localhost' || host === '::1' || LOOPBACK_V4.test(host)
}

/** What of a socket its addresses are read from; a Unix socket has none. */
interface SocketAddresses {
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
}

/** Both ends of a connection as `ip:port`, "" where there is none. */
export function addressesOf(socket: SocketAddresses): { local: string; remote: string } {
  return {
    local: hostPort(socket.localAddress, socket.localPort),
    remote: hostPort(socket.remoteAddress, socket.remotePort),
  }
}
