/** Whom a connection to a server belongs to, and how its events reach the owner. */
import type { Socket, SocketHandler } from 'bun'

/** Told of what happens on a connection to a server. */
export interface ServerOwner {
  fromServer(socket: Socket<ServerOwner>, chunk: Uint8Array): void
  serverDrained(): void
  serverEnded(socket: Socket<ServerOwner>): void
  serverClosed(socket: Socket<ServerOwner>): void
}

/** One for all connections to servers; the owner of one may change. */
export const serverHandlers: SocketHandler<ServerOwner> = {
  binaryType: 'uint8array',
  data: (socket, chunk) => socket.data.fromServer(socket, chunk),
  drain: (socket) => socket.data.serverDrained(),
  end: (socket) => socket.data.serverEnded(socket),
  close: (socket) => socket.data.serverClosed(socket),
  error: (socket) => socket.data.serverClosed(socket),
  // The rejected promise of the dial tells; without this handler the error would be told twice.
  connectError: () => {},
}
