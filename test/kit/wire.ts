/**
 * A PostgreSQL client of raw bytes on a TCP socket: it writes exactly what a test says, and reads
 * messages one at a time, each within a time limit.
 */
import { connect, type Socket } from 'node:net'
import { type BackendMessage, type BackendName, decode, messageLength } from './backend.ts'
import {
  concat,
  passwordMessage,
  query,
  type Startup,
  saslInitial,
  saslResponse,
  startup,
  terminate,
} from './frontend.ts'
import { md5Password, saslMechanisms, startScram } from './login.ts'

const TIMEOUT_MS = 5_000

export interface WireAddress {
  readonly host: string
  readonly port: number
  /** Which of our addresses to come from; left out: whichever the kernel takes. */
  readonly localAddress?: string
}

/** A message of a given name, with its own fields. */
export type Named<Name extends BackendName> = Extract<BackendMessage, { readonly name: Name }>

/** What a login has told: the key for cancelling, and the server's parameters. */
export interface LoggedIn {
  readonly pid: number
  readonly secret: Uint8Array
  readonly parameters: ReadonlyMap<string, string>
}

/** Connects, and sends nothing yet. `timeoutMs` is for every single wait. */
export async function connectWire(
  address: WireAddress,
  { timeoutMs = TIMEOUT_MS }: { readonly timeoutMs?: number } = {},
): Promise<Wire> {
  const socket = connect({ ...address, allowHalfOpen: true, noDelay: true })
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  return new Wire(socket, timeoutMs)
}

/** Connects and logs in, up to the first ReadyForQuery. */
export async function openSession(
  address: WireAddress & Startup & { readonly password?: string; readonly timeoutMs?: number },
): Promise<Wire> {
  const { host, port, localAddress = '', timeoutMs = TIMEOUT_MS } = address
  const from = localAddress === '' ? {} : { localAddress }
  const wire = await connectWire({ host, port, ...from }, { timeoutMs })
  try {
    await wire.login(address)
    return wire
  } catch (error) {
    wire.destroy()
    throw error
  }
}

/** One connection. All reads are in order, and only one may wait at a time. */
export class Wire {
  readonly socket: Socket
  readonly #timeoutMs: number
  /** What has come and was not read yet. */
  #unread: Uint8Array = new Uint8Array(0)
  #fresh: Uint8Array[] = []
  #ended: 'no' | 'closed' | 'reset' = 'no'
  #wake: () => void = () => {}

  constructor(socket: Socket, timeoutMs: number) {
    this.socket = socket
    this.#timeoutMs = timeoutMs
    socket.on('data', (chunk: Buffer) => {
      this.#fresh.push(new Uint8Array(chunk))
      this.#wake()
    })
    socket.on('end', () => this.#end('closed'))
    socket.on('error', () => this.#end('reset'))
    socket.on('close', () => this.#end('closed'))
  }

  /** Writes bytes as they are, in one write. */
  send(...parts: readonly Uint8Array[]): void {
    this.socket.write(concat(...parts))
  }

  /** The next message. */
  async read(): Promise<BackendMessage> {
    const bytes = await this.#next('a message', messageLength)
    return decode(bytes)
  }

  /** The next message, which must be of this name. */
  async expect<Name extends BackendName>(name: Name): Promise<Named<Name>> {
    const read = await this.read()
    if (isNamed(read, name)) return read
    throw new Error(`expected ${name}, read ${describeMessage(read)}`)
  }

  /** Messages up to and with the first of this name. */
  async readUntil(name: BackendName): Promise<BackendMessage[]> {
    const messages: BackendMessage[] = []
    for (;;) {
      const read = await this.read()
      messages.push(read)
      if (read.name === name) return messages
    }
  }

  /** Sends a simple Query and reads its whole reply. */
  async query(sql: string): Promise<BackendMessage[]> {
    this.send(query(sql))
    return this.readUntil('ReadyForQuery')
  }

  /** The rows of a simple Query, as texts; an ErrorResponse is thrown. */
  async rows(sql: string): Promise<(string | null)[][]> {
    const rows: (string | null)[][] = []
    for (const reply of await this.query(sql)) {
      if (reply.name === 'DataRow') rows.push([...reply.values])
      if (reply.name === 'ErrorResponse') throw new Error(describeMessage(reply))
    }
    return rows
  }

  /** The next bytes without any framing, such as the one byte that answers an SSLRequest. */
  readBytes(length: number): Promise<Uint8Array> {
    return this.#next(`${length} bytes`, () => length)
  }

  /** Resolves when the other side has closed; every byte that still came is an error. */
  async closed(): Promise<void> {
    await this.#wait('the end of the connection', () => this.#ended !== 'no' || this.#pending > 0)
    if (this.#pending === 0) return
    throw new Error(`expected the end of the connection, ${this.#pending} bytes came`)
  }

  /** True where the other side has closed or reset the connection. */
  get isEnded(): boolean {
    return this.#ended !== 'no'
  }

  /** Logs in; throws with the server's own words where it refuses. */
  async login(who: Startup & { readonly password?: string }): Promise<LoggedIn> {
    this.send(startup(who))
    await this.#authenticate(who.user, who.password ?? '')
    const parameters = new Map<string, string>()
    let key = { pid: 0, secret: new Uint8Array(0) }
    for (;;) {
      const read = await this.read()
      if (read.name === 'ReadyForQuery') return { ...key, parameters }
      if (read.name === 'ParameterStatus') parameters.set(read.parameter, read.value)
      else if (read.name === 'BackendKeyData') key = { pid: read.pid, secret: read.secret.slice() }
      else if (read.name !== 'NoticeResponse') throw new Error(`login: ${describeMessage(read)}`)
    }
  }

  /** Sends Terminate, and waits for the other side to close. */
  async terminate(): Promise<void> {
    this.send(terminate())
    this.socket.end()
    await this.#wait('the end of the connection', () => this.#ended !== 'no')
    this.socket.destroy()
  }

  /** Closes our side only: the other side reads an end, and may still write. */
  halfClose(): void {
    this.socket.end()
  }

  /** Drops the connection without a word. */
  destroy(): void {
    this.socket.destroy()
  }

  [Symbol.dispose](): void {
    this.destroy()
  }

  async #authenticate(user: string, password: string): Promise<void> {
    const scram = startScram(password)
    for (;;) {
      const read = await this.read()
      if (read.name === 'NegotiateProtocolVersion') continue
      if (read.name !== 'Authentication') throw new Error(`login: ${describeMessage(read)}`)
      const { code, payload } = read
      if (code === 0) return
      if (code === 3) this.send(passwordMessage(password))
      else if (code === 5) this.send(passwordMessage(md5Password({ user, password }, payload)))
      else if (code === 10) {
        const offered = saslMechanisms(payload)
        if (!offered.includes(scram.mechanism)) throw new Error(`login: only ${offered} offered`)
        this.send(saslInitial(scram.mechanism, scram.first))
      } else if (code === 11) this.send(saslResponse(scram.answer(payload)))
      else if (code === 12) scram.verify(payload)
      else throw new Error(`login: the server asks for method ${code}, which is not known here`)
    }
  }

  get #pending(): number {
    return this.#unread.length + this.#fresh.reduce((total, chunk) => total + chunk.length, 0)
  }

  /** The first bytes of what has come, as many as `measure` finds that they should be. */
  async #next(what: string, measure: (bytes: Uint8Array) => number | null): Promise<Uint8Array> {
    let needed = 0
    const isThere = (): boolean => {
      if (this.#pending < needed) return false
      this.#unread = concat(this.#unread, ...this.#fresh)
      this.#fresh = []
      needed = measure(this.#unread) ?? this.#unread.length + 1
      return this.#unread.length >= needed
    }
    await this.#wait(what, () => isThere() || this.#ended !== 'no')
    const length = measure(this.#unread)
    if (length === null || this.#unread.length < length) {
      const left = this.#pending === 0 ? '' : ` with ${this.#pending} bytes of it read`
      throw new Error(`waited for ${what}, but the connection was ${this.#ended}${left}`)
    }
    const taken = this.#unread.slice(0, length)
    this.#unread = this.#unread.subarray(length)
    return taken
  }

  async #wait(what: string, isThere: () => boolean): Promise<void> {
    const { promise: late, reject } = Promise.withResolvers<never>()
    const sentence = `waited ${this.#timeoutMs} ms in vain for ${what}`
    const timer = setTimeout(() => reject(new Error(sentence)), this.#timeoutMs)
    try {
      while (!isThere()) {
        const { promise, resolve } = Promise.withResolvers<void>()
        this.#wake = resolve
        await Promise.race([promise, late])
      }
    } finally {
      clearTimeout(timer)
    }
  }

  #end(how: 'closed' | 'reset'): void {
    if (this.#ended === 'no') this.#ended = how
    this.#wake()
  }
}

function isNamed<Name extends BackendName>(read: BackendMessage, name: Name): read is Named<Name> {
  return read.name === name
}

/** A message in a few words, for failures of tests. */
export function describeMessage(read: BackendMessage): string {
  if (read.name === 'ErrorResponse' || read.name === 'NoticeResponse') {
    return `${read.name} ${read.severity} ${read.code}: ${read.message}`
  }
  return read.name
}
