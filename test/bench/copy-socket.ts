/** A connection of a copy, plain or with TLS: Bun's own sockets, which cost the least. */
import { sslRequest } from '../kit/frontend.ts'
import type { WireAddress } from '../kit/wire.ts'

const ACCEPTED = 'S'.charCodeAt(0)

export interface CopySocket {
  /** How many of the bytes were taken; the rest may be written when `drain` is called. */
  write(bytes: Uint8Array): number
  pause(): void
  resume(): void
  terminate(): void
}

export interface CopyHandlers {
  readonly data: (chunk: Uint8Array) => void
  readonly drain: () => void
  readonly failed: (error: Error) => void
}

export interface CopyAddress extends WireAddress {
  /** True: with TLS, whatever certificate is shown; refused where there is none. */
  readonly tls?: boolean
}

/** Resolves when bytes may be written. */
export async function openCopySocket(
  { host, port, tls = false }: CopyAddress,
  { data, drain, failed }: CopyHandlers,
): Promise<CopySocket> {
  const opened = Promise.withResolvers<CopySocket>()
  let socket: Bun.Socket | null = null
  const fail = (error: Error): void => {
    opened.reject(error)
    failed(error)
    socket?.terminate()
  }
  const ended = {
    close: () => fail(new Error('the connection was closed before the copy was done')),
    error: (_: unknown, error: Error) => fail(error),
  }
  const secure = (socket: Bun.Socket): void => {
    const [, within] = socket.upgradeTLS({
      tls: { rejectUnauthorized: false },
      socket: {
        binaryType: 'uint8array',
        handshake: () => opened.resolve(within),
        data: (_, chunk: Uint8Array) => data(chunk),
        drain,
        ...ended,
      },
    })
  }
  let isAsking = tls
  socket = await Bun.connect({
    hostname: host,
    port,
    socket: {
      binaryType: 'uint8array',
      data(plain, chunk: Uint8Array) {
        if (!tls) return data(chunk)
        // What comes once TLS has begun is ciphertext, and is read elsewhere.
        if (!isAsking) return
        isAsking = false
        if (chunk[0] === ACCEPTED) secure(plain)
        else fail(new Error('no TLS is offered'))
      },
      drain: () => (tls ? undefined : drain()),
      ...ended,
    },
  })
  if (tls) socket.write(sslRequest())
  else opened.resolve(socket)
  return await opened.promise
}
