/** A server that does what a test says: it listens, and gives every connection to the test. */
import { createServer, type Server, type Socket } from 'node:net'

const TIMEOUT_MS = 5_000

/** One connection that the gateway has made. */
export class FakeConnection {
  readonly socket: Socket
  readonly #ended = Promise.withResolvers<void>()
  readonly #closed = Promise.withResolvers<void>()
  #received: Uint8Array = new Uint8Array(0)
  #wake: () => void = () => {}

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    socket.on('end', () => this.#ended.resolve())
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#closed.resolve()
      this.#ended.resolve()
    })
  }

  send(...parts: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts))
  }

  /** Takes exactly so many bytes, as soon as they have come. */
  async read(length: number): Promise<Uint8Array> {
    await inTime(`${length} bytes from the gateway`, this.#until(length))
    const taken = this.#received.slice(0, length)
    this.#received = this.#received.slice(length)
    return taken
  }

  /** All that has come by the time that the gateway says it will send no more. */
  async readToEnd(): Promise<Uint8Array> {
    await this.ended
    const taken = this.#received
    this.#received = new Uint8Array(0)
    return taken
  }

  /** Resolves when the gateway will send no more. */
  get ended(): Promise<void> {
    return inTime('the end of what the gateway sends', this.#ended.promise)
  }

  get closed(): Promise<void> {
    return inTime('the gateway to close', this.#closed.promise)
  }

  async #until(length: number): Promise<void> {
    while (this.#received.length < length) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      await promise
    }
  }
}

export interface FakeServer {
  readonly port: number
  /** The next connection, made already or yet to come. */
  next(): Promise<FakeConnection>
  [Symbol.asyncDispose](): Promise<void>
}

export async function startFakeServer(): Promise<FakeServer> {
  const waiting: ((connection: FakeConnection) => void)[] = []
  const made: FakeConnection[] = []
  const all: FakeConnection[] = []
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const connection = new FakeConnection(socket)
    all.push(connection)
    const first = waiting.shift()
    if (first === undefined) made.push(connection)
    else first(connection)
  })
  const port = await listen(server)
  return {
    port,
    next: () => {
      const connection = made.shift()
      if (connection !== undefined) return Promise.resolve(connection)
      const { promise, resolve } = Promise.withResolvers<FakeConnection>()
      waiting.push(resolve)
      return inTime('a connection from the gateway', promise)
    },
    async [Symbol.asyncDispose]() {
      for (const { socket } of all) socket.destroy()
      await new Promise<void>((resolve) => void server.close(() => resolve()))
    },
  }
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      if (address === null || typeof address === 'string') reject(new Error('no port'))
      else resolve(address.port)
    })
  })
}

/** A promise that must settle before the test gives up, with a sentence that says which did not. */
export async function inTime<Value>(what: string, promise: Promise<Value>): Promise<Value> {
  const late = Promise.withResolvers<never>()
  const sentence = `waited ${TIMEOUT_MS} ms in vain for ${what}`
  const timer = setTimeout(() => late.reject(new Error(sentence)), TIMEOUT_MS)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
