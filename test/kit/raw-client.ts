/** A client of a raw service that asks in chunks, and takes each chunk that comes for an answer. */
import { once } from 'node:events'
import { connect } from 'node:net'

export interface RawClient {
  /** What comes next; "" where the connection has ended. */
  ask(words: string): Promise<string>
  close(): void
  [Symbol.dispose](): void
}

export async function openRaw(at: {
  readonly host: string
  readonly port: number
}): Promise<RawClient> {
  const socket = connect({ host: at.host, port: at.port, noDelay: true })
  let answered: (words: string) => void = () => {}
  socket.on('error', () => {})
  socket.on('data', (chunk) => answered(String(chunk)))
  socket.on('close', () => answered(''))
  await once(socket, 'connect')
  return {
    ask(words) {
      if (socket.closed) return Promise.resolve('')
      const { promise, resolve } = Promise.withResolvers<string>()
      answered = resolve
      socket.write(words)
      return promise
    },
    close: () => void socket.destroy(),
    [Symbol.dispose]: () => void socket.destroy(),
  }
}
