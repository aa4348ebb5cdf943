/**
 * Rendezvous hashing: which block a client belongs to, as a pure function of the client and the
 * blocks there are. Gateways that see the same healthy blocks agree without talking, and when one
 * block goes only its own clients move.
 */
import { createHash } from 'node:crypto'
import { isIPv4 } from 'node:net'

/** 2 to the 53rd: as many bits as a number holds exactly. */
const RANGE = 2 ** 53
const MAPPED = '::ffff:'

/**
 * How strongly a block attracts a key: the first 64 bits of SHA-256 over `key LF group/block`, of
 * which the upper 53 become a fraction u between 0 and 1, and -weight/ln(u) of that. Every gateway
 * must come to the same result, so this is never changed.
 */
export function attraction(key: string, group: string, block: string, weight: number): number {
  const hash = createHash('sha256').update(`${key}\n${group}/${block}`).digest()
  const fraction = (Number(hash.readBigUInt64BE(0) >> 11n) + 0.5) / RANGE
  return -weight / Math.log(fraction)
}

/** What of a client's socket its address is read from; a Unix socket has none. */
export interface Remote {
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
}

/**
 * What a client is known by: its IP address, with its port unless `addressOnly`; "" where it has
 * none. The same machine is the same on every listener: IPv4 inside IPv6 is IPv4, and a zone means
 * nothing elsewhere.
 */
export function keyOf({ remoteAddress = '', remotePort }: Remote, addressOnly: boolean): string {
  const address = remoteAddress.replace(/%.*$/, '')
  const inner = address.slice(MAPPED.length)
  const plain = address.startsWith(MAPPED) && isIPv4(inner) ? inner : address
  return addressOnly || plain === '' ? plain : `${plain}:${remotePort}`
}
