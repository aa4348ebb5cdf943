/**
 * A pair of sockets over which two processes of an upgrade speak: one message a line, as JSON.
 * Bun's own channel is for a process and its child; the one that takes over is nobody's child, so
 * that a service manager follows it as its own.
 */
import type { Socket } from 'bun'

/** What is longer is no message of ours. */
const LINE_CHARACTERS_MAX = 1024 * 1024

export interface LineOptions {
  /** Told of each message, and not whether it is one that is known. */
  readonly heard: (message: unknown) => void
  /** The other process is gone: told once. */
  readonly closed: () => void
}

export class Line {
  readonly #options: LineOptions
  readonly #decoder = new TextDecoder()
  #socket: Socket<undefined> | null = null
  #isClosed = false
  /** Not taken by the kernel yet, or said before there was a socket. */
  #unsent = Buffer.alloc(0)
  #rest = ''

  constructor(options: LineOptions) {
    this.#options = options
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Speaks over this descriptor, which is the line's now. Rejects where it is no socket. */
  async open(descriptor: number): Promise<void> {
    const place = { fd: descriptor, hostname: '', port: 0 }
    const opened = await Bun.connect<undefined>({
      ...place,
      socket: {
        data: (_socket, chunk) => this.#take(chunk),
        drain: () => this.#flush(),
        close: () => this.#close(),
        error: () => this.#close(),
      },
    })
    this.#socket = opened
    this.#flush()
  }

  send(message: unknown): void {
    if (this.#isClosed) return
    const line = Buffer.from(`${JSON.stringify(message)}\n`)
    this.#unsent = Buffer.concat([this.#unsent, line])
    this.#flush()
  }

  /** Idempotent. */
  close(): void {
    this.#socket?.terminate()
    this.#close()
  }

  #flush(): void {
    if (this.#socket === null || this.#isClosed || this.#unsent.length === 0) return
    const written = this.#socket.write(this.#unsent)
    this.#unsent = this.#unsent.subarray(Math.max(0, written))
  }

  #take(chunk: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n')
    this.#rest = lines.pop() ?? ''
    if (this.#rest.length > LINE_CHARACTERS_MAX) return this.close()
    for (const line of lines) this.#options.heard(parsed(line))
  }

  #close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#options.closed()
  }
}

/** What is no JSON is no message either, whoever looks at it. */
function parsed(line: string): unknown {
  try {
    const message: unknown = JSON.parse(line)
    return message
  } catch {
    return null
  }
}
