/** Clients and servers that speak in datagrams, for tests. */
import type { udp } from 'bun'

export interface DatagramServer {
  readonly port: number
  /** What came, as texts. */
  readonly heard: string[]
  stop(): void
}

/** A server that answers each datagram with what `answer` makes of it; null: with nothing. */
export async function startDatagramServer(
  answer: (datagram: Uint8Array) => Uint8Array | string | null = (datagram) => datagram,
  port = 0,
): Promise<DatagramServer> {
  const heard: string[] = []
  const socket = await Bun.udpSocket({
    hostname: '127.0.0.1',
    port,
    binaryType: 'uint8array',
    socket: {
      data(server, datagram, fromPort, from) {
        heard.push(Buffer.from(datagram).toString('latin1'))
        const words = answer(datagram)
        if (words !== null) server.send(words, fromPort, from)
      },
    },
  })
  return { port: socket.port, heard, stop: () => socket.close() }
}

export class DatagramClient {
  readonly #socket: udp.ConnectedSocket<'uint8array'>
  readonly #come: Uint8Array[] = []
  #wake: () => void = () => {}

  private constructor(socket: udp.ConnectedSocket<'uint8array'>) {
    this.#socket = socket
  }

  static async open(port: number): Promise<DatagramClient> {
    const socket = await Bun.udpSocket<'uint8array'>({
      hostname: '127.0.0.1',
      connect: { hostname: '127.0.0.1', port },
      binaryType: 'uint8array',
      socket: {
        data(_socket, datagram) {
          client.#come.push(datagram)
          client.#wake()
        },
        error() {},
      },
    })
    const client = new DatagramClient(socket)
    return client
  }

  get port(): number {
    return this.#socket.port
  }

  send(words: Uint8Array | string): void {
    this.#socket.send(words)
  }

  /** The next datagram; null where none comes in time. */
  async next(withinMs = 5000): Promise<Uint8Array | null> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    const timer = setTimeout(resolve, withinMs)
    if (this.#come.length === 0) await promise
    clearTimeout(timer)
    return this.#come.shift() ?? null
  }

  async ask(words: Uint8Array | string, withinMs = 5000): Promise<string | null> {
    this.send(words)
    const answer = await this.next(withinMs)
    return answer === null ? null : Buffer.from(answer).toString('latin1')
  }

  [Symbol.dispose](): void {
    this.#socket.close()
  }
}
