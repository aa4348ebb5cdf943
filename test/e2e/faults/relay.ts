/**
 * Stands between two sides and passes bytes on in pieces of any size, so that what one side writes
 * at once comes to the other as a network may deliver it; and writes down what clients have said.
 */
import { createServer, connect as dial, type Socket } from 'node:net'
import type { Random } from '../../kit/pipelines.ts'
import type { WireAddress } from '../../kit/wire.ts'

/** About so many pieces, however many bytes: each costs several processes a turn. */
const PIECES_MOST = 60

/** Calls `send` with all of the bytes, in pieces; now and then others are let run in between. */
export async function inPieces(
  bytes: Uint8Array,
  random: Random,
  send: (piece: Uint8Array) => void,
): Promise<void> {
  const most = Math.max(random.pick([9, 400, 20_000, bytes.length]), bytes.length / PIECES_MOST)
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + random.below(most)
    send(bytes.subarray(at, at + size))
    at += size
    if (random.chance(0.3)) await new Promise(setImmediate)
  }
}

export interface Relay extends WireAddress {
  /** What each client has said, in the order in which they came. */
  readonly said: readonly (readonly Uint8Array[])[]
  [Symbol.asyncDispose](): Promise<void>
}

/** `random` null: every chunk passes as it came. */
export async function startRelay(behind: WireAddress, random: Random | null): Promise<Relay> {
  const said: Uint8Array[][] = []
  const sockets = new Set<Socket>()
  const pass = (from: Socket, to: Socket, note: (chunk: Uint8Array) => void): void => {
    let before = Promise.resolve()
    from.on('data', (chunk: Buffer) => {
      note(chunk)
      before = before.then(async () => {
        if (random === null) to.write(chunk)
        else await inPieces(chunk, random, (piece) => to.write(piece))
      })
    })
    from.on('end', () => void before.then(() => to.end()))
    from.on('error', () => to.destroy())
    from.on('close', () => sockets.delete(from))
  }
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const upstream = dial({ ...behind, allowHalfOpen: true, noDelay: true })
    const words: Uint8Array[] = []
    said.push(words)
    for (const socket of [client, upstream]) sockets.add(socket)
    pass(client, upstream, (chunk) => words.push(new Uint8Array(chunk)))
    pass(upstream, client, () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    host: '127.0.0.1',
    port: address.port,
    said,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => void server.close(() => resolve()))
    },
  }
}
