/** Any TCP service: no messages, every chunk is a unit as it was read. */
import type {
  ClientFlow,
  Conversation,
  ConversationOptions,
  Part,
  Piece,
  Protocol,
  Share,
  Waker,
  Wanted,
} from './protocol.ts'

const EMPTY = new Uint8Array(0)

class RawFlow implements ClientFlow {
  bytes: Uint8Array = EMPTY
  readonly over = false
  readonly violation = ''
  readonly full = false
  readonly due: Uint8Array[] = []
  readonly #unit: Piece
  readonly #answer: (bytes: Uint8Array) => void
  #chunk: Uint8Array = EMPTY

  constructor(wanted: Wanted, answer: (bytes: Uint8Array) => void) {
    this.#unit = wanted.tags === null ? 'pass' : 'unit'
    this.#answer = answer
  }

  pass(chunk: Uint8Array): Uint8Array | null {
    return this.#unit === 'pass' && this.due.length === 0 ? chunk : null
  }

  readyFor(): boolean {
    return true
  }

  push(chunk: Uint8Array): void {
    this.#chunk = chunk
  }

  next(): Piece {
    const due = this.due.shift()
    if (due !== undefined) {
      this.bytes = due
      return 'inject'
    }
    this.bytes = this.#chunk
    if (this.#chunk.length === 0) return 'none'
    this.#chunk = EMPTY
    return this.#unit
  }

  end(): void {}
  streamOversize(): void {}
  dropOversize(): void {}

  forward(bytes: Uint8Array): Uint8Array {
    return bytes
  }

  deny(): null {
    return null
  }

  respond(_unit: Uint8Array, bytes: Uint8Array): Uint8Array {
    this.#answer(bytes.slice())
    return EMPTY
  }

  share(): Share {
    return 'whole'
  }

  parts(bytes: Uint8Array): readonly Part[] {
    return [{ bytes, wanted: true }]
  }

  flaw(): null {
    return null
  }

  answerFlaw(): null {
    return null
  }

  release(): void {
    this.#chunk = EMPTY
  }
}

class RawConversation implements Conversation {
  readonly fromClient: RawFlow
  readonly fromServer: RawFlow
  readonly user = ''
  readonly database = ''
  readonly applicationName = ''
  readonly loggedIn = true
  readonly routable = false
  readonly prepares = false
  readonly idle = false
  readonly owes = false
  readonly awaitsServer = false
  readonly midMessage = false
  /** Where an exchange ends, nobody knows. */
  readonly atRest = false
  readonly outlivesServer = true
  readonly cancelKey = ''
  refusalTold = false

  constructor(options: ConversationOptions) {
    const waker: Waker = options.waker
    this.fromServer = new RawFlow(options.fromServer, () => {})
    this.fromClient = new RawFlow(options.fromClient, (bytes) => {
      this.fromServer.due.push(bytes)
      waker.wakeToClient()
    })
  }

  readonly startup = EMPTY
  readonly leaves = null
  readonly awaitsClient = false
  readonly departed = false
  readonly sharing = null
  readonly takesLongKeys = false

  secured(): void {}

  rewatch(): void {}

  refuse(): void {
    this.refusalTold = true
  }

  admit(): void {}
  correct(): void {}

  farewell(): null {
    return null
  }
}

export const RAW: Protocol = {
  name: 'raw',
  tag: () => undefined,
  cancelTarget: () => '',
  converse: (options) => new RawConversation(options),
  errands: null,
  roleErrands: null,
  cancelRequest: () => EMPTY,
}
