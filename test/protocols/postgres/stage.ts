/** A conversation without sockets: what a client and a server say, and what each of them reads. */
import { POSTGRES } from '../../../src/protocols/postgres/postgres.ts'
import type {
  Conversation,
  Cut,
  EncryptionTerms,
  Flow,
  FlowLimits,
  Gate,
  Lessor,
  Refused,
  Wanted,
} from '../../../src/protocols/protocol.ts'
import { type BackendMessage, decode, messageLength } from '../../kit/backend.ts'
import { concat, cstring, int16, int32, message, startup } from '../../kit/frontend.ts'

export type Decision =
  | 'forward'
  | { readonly deny: Refused }
  | { readonly respond: Uint8Array }
  | { readonly replace: Uint8Array }

type Decide = (unit: Uint8Array) => Decision

export interface StageOptions {
  readonly fromClient?: Decide
  readonly fromServer?: Decide
  readonly clientCut?: Cut
  readonly serverCut?: Cut
  readonly limits?: Partial<FlowLimits>
  readonly gate?: Gate
  readonly encryption?: EncryptionTerms
  readonly writeRefused?: () => void
  readonly lessor?: Lessor
}

export const DENIAL: Refused = { code: '42501', message: 'no' }

/** What a server says. */
export const server = {
  ready: (status = 'I') => message('Z', new TextEncoder().encode(status)),
  authentication: (code: number) => message('R', int32(code)),
  key: (pid: number, secret: number) => message('K', int32(pid), int32(secret)),
  complete: (tag: string) => message('C', cstring(tag)),
  row: (...values: readonly string[]) =>
    message('D', int16(values.length), ...values.map((value) => cellOf(value))),
  columns: () => message('T', int16(0)),
  noColumns: () => message('n'),
  parsed: () => message('1'),
  bound: () => message('2'),
  closed: () => message('3'),
  suspended: () => message('s'),
  empty: () => message('I'),
  copyIn: () => message('G', new Uint8Array([0]), int16(0)),
  copyOut: () => message('H', new Uint8Array([0]), int16(0)),
  copyData: (row: string) => message('d', new TextEncoder().encode(row)),
  copyDone: () => message('c'),
  notify: (channel: string) => message('A', int32(1), cstring(channel), cstring('')),
  parameter: (name: string, value: string) => message('S', cstring(name), cstring(value)),
  notice: (text: string) => message('N', report('NOTICE', '00000', text)),
  error: (code: string, text: string) => message('E', report('ERROR', code, text)),
}

function cellOf(value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value)
  return concat(int32(bytes.length), bytes)
}

function report(severity: string, code: string, text: string): Uint8Array {
  const fields = [`S${severity}`, `C${code}`, `M${text}`].map(cstring)
  return concat(...fields, new Uint8Array(1))
}

export class Stage {
  readonly conversation: Conversation
  readonly budget = { held: 0, heldMax: 2 ** 28, spent: 0 }
  /** Kinds of all pieces but `pass`, `inject` and `unit`, of either direction. */
  readonly events: string[] = []
  readonly units: Readonly<Record<'client' | 'server', Uint8Array[]>> = { client: [], server: [] }
  readonly #decide: { readonly client: Decide; readonly server: Decide }
  #working: Flow | null = null
  #toServer: Uint8Array[] = []
  #toClient: Uint8Array[] = []

  constructor(options: StageOptions = {}) {
    const { fromClient, fromServer, clientCut = 'message', serverCut = 'message' } = options
    const tags = new Uint8Array(256).fill(1)
    const wanted = (decide: Decide | undefined, cut: Cut): Wanted =>
      decide === undefined ? { cut: 'message', tags: null } : { cut, tags }
    const pass: Decide = () => 'forward'
    this.#decide = { client: fromClient ?? pass, server: fromServer ?? pass }
    this.conversation = POSTGRES.converse({
      fromClient: wanted(fromClient, clientCut),
      fromServer: wanted(fromServer, serverCut),
      limits: { messageBytesMax: 2 ** 24, budget: this.budget, ...options.limits },
      gate: options.gate ?? null,
      ...(options.encryption === undefined ? {} : { encryption: options.encryption }),
      writeRefused: options.writeRefused ?? null,
      lessor: options.lessor ?? null,
      waker: {
        wakeToServer: () => this.#work('client'),
        wakeToClient: () => this.#work('server'),
      },
    })
  }

  /** A stage on which the client is logged in, and nothing was read yet. */
  static loggedIn(options: StageOptions = {}): Stage {
    let asked = false
    const later =
      (given: Decide): Decide =>
      (unit) =>
        asked ? given(unit) : 'forward'
    const { fromClient, fromServer } = options
    const stage = new Stage({
      ...options,
      ...(fromClient === undefined ? {} : { fromClient: later(fromClient) }),
      ...(fromServer === undefined ? {} : { fromServer: later(fromServer) }),
    })
    stage.client(startup({ user: 'ann', database: 'shop' }))
    stage.server(server.authentication(0), server.key(7, 9), server.ready())
    stage.serverRead()
    stage.clientRead()
    stage.units.client.length = 0
    stage.units.server.length = 0
    asked = true
    return stage
  }

  client(...parts: readonly Uint8Array[]): void {
    this.conversation.fromClient.push(concat(...parts))
    this.#work('client')
  }

  /** There is a server now, which the client's messages have waited for. */
  served(): void {
    this.#work('client')
  }

  server(...parts: readonly Uint8Array[]): void {
    this.conversation.fromServer.push(concat(...parts))
    this.#work('server')
  }

  /** What the server has read since the last look: types of messages, in order. */
  serverReadTypes(): string {
    const bytes = this.serverRead()
    let types = ''
    for (let at = 0; at < bytes.length; at += 1 + new DataView(bytes.buffer).getInt32(at + 1)) {
      types += String.fromCharCode(bytes[at]!)
    }
    return types
  }

  serverRead(): Uint8Array {
    const bytes = concat(...this.#toServer)
    this.#toServer = []
    return bytes
  }

  /** What the client has read since the last look; every message must be whole and well-formed. */
  clientRead(): BackendMessage[] {
    let bytes = concat(...this.#toClient)
    this.#toClient = []
    const messages: BackendMessage[] = []
    while (bytes.length > 0) {
      const length = messageLength(bytes)
      if (length === null || length > bytes.length)
        throw new Error('the client reads half a message')
      messages.push(decode(bytes.slice(0, length)))
      bytes = bytes.slice(length)
    }
    return messages
  }

  clientReadRaw(): Uint8Array {
    const bytes = concat(...this.#toClient)
    this.#toClient = []
    return bytes
  }

  /** As `clientRead`, in short: `ErrorResponse 42501`, `ReadyForQuery I`, `DataRow 1,2`, … */
  clientReadShort(): string[] {
    return this.clientRead().map(short)
  }

  #work(from: 'client' | 'server'): void {
    const { conversation } = this
    const flow = from === 'client' ? conversation.fromClient : conversation.fromServer
    if (this.#working === flow) return
    const outer = this.#working
    this.#working = flow
    const out = from === 'client' ? this.#toServer : this.#toClient
    for (let piece = flow.next(); piece !== 'none'; piece = flow.next()) {
      if (piece === 'pass' || piece === 'inject') out.push(flow.bytes.slice())
      else if (piece === 'unit') this.#unit(from, flow, out)
      else {
        this.events.push(piece)
        if (piece === 'violation' || piece === 'serverless') break
        if (piece === 'oversize') flow.streamOversize()
      }
    }
    this.#working = outer
  }

  #unit(from: 'client' | 'server', flow: Flow, out: Uint8Array[]): void {
    const unit = flow.bytes.slice()
    this.units[from].push(unit)
    const decision = this.#decide[from](unit)
    if (decision === 'forward') out.push(flow.forward(unit).slice())
    else if ('replace' in decision) out.push(flow.forward(decision.replace).slice())
    else if ('respond' in decision) {
      out.push(this.conversation.fromClient.respond(unit, decision.respond).slice())
    } else {
      const instead = flow.deny(unit, decision.deny)
      if (instead === null) this.events.push('no words')
      else out.push(instead.slice())
    }
  }
}

/** A message in a few words. */
export function short(read: BackendMessage): string {
  switch (read.name) {
    case 'ErrorResponse':
    case 'NoticeResponse':
      return `${read.name} ${read.code}`
    case 'ReadyForQuery':
      return `${read.name} ${read.status}`
    case 'DataRow':
      return `${read.name} ${read.values.join()}`
    case 'CommandComplete':
      return `${read.name} ${read.tag}`
    default:
      return read.name
  }
}
