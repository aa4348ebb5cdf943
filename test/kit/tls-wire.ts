/** A PostgreSQL client of raw bytes that speaks TLS: asked for, or begun at once. */
import { connect as connectPlain, type Socket } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { Wire, type WireAddress } from './wire.ts'

export interface TlsClientOptions extends ConnectionOptions {
  /** TLS begins at once, without being asked for. */
  readonly direct?: boolean
}

/** An SSLRequest. */
export const SSL_REQUEST = Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47)
/** A GSSENCRequest. */
export const GSSENC_REQUEST = Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 48)

const TIMEOUT_MS = 5_000

/** A wire over TLS; `tls` tells of the handshake. */
export interface TlsWire {
  readonly wire: Wire
  readonly tls: TLSSocket
}

/** Connects; rejects with what the handshake fails with. */
export async function connectTls(
  { host, port }: WireAddress,
  { direct = false, ...options }: TlsClientOptions = {},
): Promise<TlsWire> {
  const plain = connectPlain({ host, port, allowHalfOpen: true, noDelay: true })
  await once(plain, 'connect')
  if (!direct) {
    plain.write(SSL_REQUEST)
    const [answer] = await once(plain, 'data')
    if (String(answer) !== 'S') {
      plain.destroy()
      throw new Error(`the answer to an SSLRequest was ${String(answer)}`)
    }
  }
  const tls = connect({
    socket: plain,
    ...{ allowHalfOpen: true },
    rejectUnauthorized: false,
    ...(direct ? { ALPNProtocols: ['postgresql'] } : {}),
    ...options,
  })
  await once(tls, 'secureConnect')
  return { wire: new Wire(tls, TIMEOUT_MS), tls }
}

/** The next event; rejects where the socket fails or closes before it. */
function once(socket: Socket, event: string): Promise<readonly unknown[]> {
  return new Promise((resolve, reject) => {
    const fail = (error?: unknown): void => {
      reject(error instanceof Error ? error : new Error('the connection was closed'))
    }
    socket.once('error', fail)
    socket.once('close', fail)
    socket.once(event, (...told) => {
      socket.off('error', fail)
      socket.off('close', fail)
      resolve(told)
    })
  })
}
