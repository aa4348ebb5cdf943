/**
 * The HTTP/2 connection of the hot calls: mutual TLS 1.3 with the one certificate the plugin told,
 * and windows large enough that no result waits for them.
 */
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { Identity } from './cert.ts'
import type { Address, Handshake } from './handshake.ts'

/**
 * What the plugin may send ahead, on each stream and on all of them. The same number for both:
 * Bun 1.4.5 counts streams by the connection's window once that is set.
 */
const WINDOW_BYTES = 4 * 1024 * 1024

/** Our own bound on requests is elsewhere; this one, in MB, only must not be lower. */
const SESSION_MEMORY_MB = 4096

/** The name in every plugin's certificate, wherever its socket is. */
const SERVER_NAME = 'localhost'

export interface HotSession {
  readonly http2: ClientHttp2Session
  /** False while it is being connected. */
  isConnected(): boolean
  /** What is known of why it broke. */
  cause(): Error | null
  /** Drops it with all its streams at once. */
  destroy(): void
}

export interface HotSessionEvents {
  /** No new call may use it; those it has may still be answered. */
  readonly retired: () => void
  /** It is gone, and every call it had. */
  readonly closed: () => void
}

function whereTo(address: Address): { path: string } | { host: string; port: number } {
  return address.network === 'unix'
    ? { path: address.path }
    : { host: address.host, port: address.port }
}

function dial({ address, certificate }: Handshake, identity: Identity): TLSSocket {
  const socket = connectTls({
    ...whereTo(address),
    ca: [certificate],
    cert: identity.certificate,
    key: identity.key,
    servername: SERVER_NAME,
    ALPNProtocols: ['h2'],
    // Whatever the environment says.
    rejectUnauthorized: true,
  })
  if (address.network === 'tcp') socket.setNoDelay(true)
  return socket
}

/** What TLS calls a server whose certificate is not the one that must be there. */
const STRANGER = /SELF_SIGNED|VERIFY|ISSUER|ALTNAME|CERT_HAS_EXPIRED|CERT_SIGNATURE/

/** An error of the connection; one about the plugin's certificate says what that means here. */
function explained(error: Error): Error {
  if (!('code' in error && STRANGER.test(String(error.code)))) return error
  const words = 'it serves with another certificate than that of its handshake line'
  return new Error(`${words}; the plugin must be mended`, { cause: error })
}

/** Begins to connect; requests may be made at once, they wait. */
export function openHotSession(
  handshake: Handshake,
  identity: Identity,
  { retired, closed }: HotSessionEvents,
): HotSession {
  const socket = dial(handshake, identity)
  let cause: Error | null = null
  let isConnected = false
  const remember = (error: Error): void => {
    cause ??= explained(error)
  }
  // Before those of the session, so that the cause is known when its streams fail.
  socket.on('error', remember)
  const http2 = connectHttp2(`https://${SERVER_NAME}`, {
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
    maxSessionMemory: SESSION_MEMORY_MB,
  })
  http2.on('connect', () => {
    isConnected = true
    http2.setLocalWindowSize(WINDOW_BYTES)
  })
  http2.on('error', remember)
  http2.on('goaway', retired)
  http2.on('close', closed)
  return {
    http2,
    isConnected: () => isConnected,
    cause: () => cause,
    destroy(): void {
      http2.destroy()
      // The session would wait for the other side to end, which a hanging one never does.
      socket.destroy()
    },
  }
}
