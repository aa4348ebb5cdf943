/** Logs in to a real server with the machine under test, over a plain socket or TLS. */
import type { Socket } from 'bun'
import {
  ClientLogin,
  type ClientLoginOptions,
  type LoggedIn,
  type LoginStep,
} from '../../../../src/protocols/postgres/login/client-login.ts'
import { Credentials } from '../../../../src/protocols/postgres/login/scram-client.ts'
import { Secret } from '../../../../src/protocols/postgres/login/secret.ts'
import { type BackendMessage, decode, messageLength } from '../../../kit/backend.ts'
import { concat, query, sslRequest, terminate } from '../../../kit/frontend.ts'

const TIMEOUT_MS = 10_000

export interface DialOptions {
  readonly port: number
  readonly tls?: boolean
  /** Chunks of the server are cut into pieces of this size. */
  readonly pieceBytes?: number
}

/** What most tests want to say of a login. */
export function loginOf(
  user: string,
  password: string,
  more: Partial<ClientLoginOptions> = {},
): ClientLoginOptions {
  const credentials = new Credentials(new Secret(password))
  return { user, database: 'postgres', credentials, cleartextPermitted: true, ...more }
}

export class Dialled {
  readonly step: Exclude<LoginStep, { kind: 'more' }>
  readonly #line: Line

  constructor(step: Exclude<LoginStep, { kind: 'more' }>, line: Line) {
    this.step = step
    this.#line = line
  }

  /** What the login told, or an error with the sentence of its failure. */
  get login(): LoggedIn {
    if (this.step.kind === 'loggedIn') return this.step.login
    throw new Error(this.step.failure.sentence)
  }

  get failure(): string {
    return this.step.kind === 'failed' ? this.step.failure.sentence : 'logged in'
  }

  /** The reply to a query, up to ReadyForQuery. */
  async query(sql: string): Promise<BackendMessage[]> {
    this.#line.socket.write(query(sql))
    const messages: BackendMessage[] = []
    let held: Uint8Array = new Uint8Array(0)
    for (;;) {
      const length = messageLength(held)
      if (length === null || held.length < length) {
        held = concat(held, await this.#line.read())
        continue
      }
      messages.push(decode(held.slice(0, length)))
      held = held.slice(length)
      if (messages.at(-1)?.name === 'ReadyForQuery') return messages
    }
  }

  /** The first row, as texts; the server's own words where it is an error. */
  async row(sql: string): Promise<(string | null)[]> {
    for (const reply of await this.query(sql)) {
      if (reply.name === 'DataRow') return [...reply.values]
      if (reply.name === 'ErrorResponse') throw new Error(`${reply.code}: ${reply.message}`)
    }
    return []
  }

  [Symbol.dispose](): void {
    this.#line.socket.write(terminate())
    this.#line.socket.end()
  }
}

/** Connects, and feeds the machine until it is in or has failed. */
export async function dial(where: DialOptions, options: ClientLoginOptions): Promise<Dialled> {
  const line = where.tls ? await connectTls(where.port) : await connect(where.port)
  const login = new ClientLogin(options)
  line.socket.write(login.startup())
  for (;;) {
    const chunk = await line.read()
    const size = where.pieceBytes ?? chunk.length
    for (let at = 0; at < chunk.length; at += size) {
      const step = login.take(chunk.subarray(at, at + size))
      if (step.kind !== 'more') return new Dialled(step, line)
      if (step.bytes.length > 0) line.socket.write(step.bytes)
    }
  }
}

/** A socket that is read chunk by chunk. */
class Line {
  socket!: Socket
  #chunks: Uint8Array[] = []
  #ended = false
  #wake: () => void = () => {}

  readonly handlers = {
    data: (_socket: Socket, chunk: Uint8Array) => {
      this.#chunks.push(new Uint8Array(chunk))
      this.#wake()
    },
    close: () => {
      this.#ended = true
      this.#wake()
    },
    error: () => {},
  }

  async read(): Promise<Uint8Array> {
    const { promise: late, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => reject(new Error('the server said nothing')), TIMEOUT_MS)
    try {
      while (this.#chunks.length === 0) {
        if (this.#ended) throw new Error('the server has closed')
        const { promise, resolve } = Promise.withResolvers<void>()
        this.#wake = resolve
        await Promise.race([promise, late])
      }
    } finally {
      clearTimeout(timer)
    }
    const all = concat(...this.#chunks)
    this.#chunks = []
    return all
  }
}

async function connect(port: number): Promise<Line> {
  const line = new Line()
  line.socket = await Bun.connect({ hostname: '127.0.0.1', port, socket: line.handlers })
  return line
}

async function connectTls(port: number): Promise<Line> {
  const plain = await connect(port)
  plain.socket.write(sslRequest())
  const [answer] = await plain.read()
  if (answer !== 0x53) throw new Error('the server has no TLS')
  const line = new Line()
  const { promise, resolve } = Promise.withResolvers<void>()
  const [, tls] = plain.socket.upgradeTLS({
    tls: { rejectUnauthorized: false },
    socket: { ...line.handlers, handshake: () => resolve() },
  })
  await promise
  line.socket = tls
  return line
}
