/** Servers that are spoken to in datagrams: a socket to one, and whether anybody is there. */
import { isIP, isIPv6 } from 'node:net'
import type { udp } from 'bun'
import type { Address } from '../base/address.ts'
import { sentenceOf } from '../base/errors.ts'
import type { Probed, ProbeOptions } from './probe.ts'

/** What UDP over IPv4 can carry; a kernel refuses more. */
export const DATAGRAM_BYTES_MAX = 65_507
/** How long the word that nobody is there may take. */
const REFUSAL_MS = 500
/** How long a name stands for an address. */
const RESOLVED_MS = 10_000

export type DatagramSocket = udp.ConnectedSocket<'uint8array'>

export interface DatagramHandlers {
  heard(datagram: Uint8Array): void
  /** The server's machine says that nobody is there, or something else is wrong. */
  failed(cause: string): void
}

interface Resolved {
  readonly ip: string
  readonly until: number
}

/** By name; there are as many as the configuration has upstreams. */
const resolved = new Map<string, Resolved>()

async function resolveHost(host: string): Promise<string> {
  if (host === '') return '127.0.0.1'
  if (isIP(host.replace(/%.*$/, '')) !== 0) return host
  const known = resolved.get(host)
  if (known !== undefined && known.until > performance.now()) return known.ip
  const all = await Bun.dns.lookup(host)
  // As most services listen: an address of both families stands for its IPv4 one.
  const ip = (all.find(({ family }) => family === 4) ?? all[0])?.address ?? host
  resolved.set(host, { ip, until: performance.now() + RESOLVED_MS })
  return ip
}

/** A socket of its own, whose answers are this one's. Rejects where the name is not known. */
export async function dialDatagrams(
  address: Address,
  handlers: DatagramHandlers,
): Promise<DatagramSocket> {
  if (address.network === 'unix') throw new Error('Unix sockets carry no datagrams here')
  const hostname = await resolveHost(address.host)
  return Bun.udpSocket<'uint8array'>({
    hostname: isIPv6(hostname.replace(/%.*$/, '')) ? '::' : '0.0.0.0',
    connect: { hostname, port: address.port },
    binaryType: 'uint8array',
    socket: {
      data: (_socket, datagram) => handlers.heard(datagram),
      // Bun hands over the error alone, whatever its types say.
      error: (...told: readonly unknown[]) => handlers.failed(causeOf(told.at(-1))),
    },
  })
}

/**
 * Sends an empty datagram. Whoever answers is there; who is silent is taken to be, for most that
 * listen are silent then. Only a refusal, which the machine itself sends, is a failure.
 */
export async function probeDatagrams(
  { address, timeoutMs }: ProbeOptions,
  aborted: AbortSignal,
): Promise<Probed> {
  const { promise, resolve } = Promise.withResolvers<Probed>()
  const answered = (): void => resolve({ kind: 'answered' })
  const timer = setTimeout(answered, Math.min(timeoutMs, REFUSAL_MS))
  aborted.addEventListener('abort', answered, { once: true })
  let socket: DatagramSocket | null = null
  try {
    const failed = (cause: string): void => resolve({ kind: 'failed', cause })
    socket = await dialDatagrams(address, { heard: answered, failed })
    socket.send(new Uint8Array(0))
    return await promise
  } catch (thrown) {
    return { kind: 'failed', cause: causeOf(thrown) }
  } finally {
    clearTimeout(timer)
    socket?.close()
  }
}

/** Why there is no socket, or no more. */
export function causeOf(thrown: unknown): string {
  if (thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string') {
    return thrown.code
  }
  return sentenceOf(thrown)
}
