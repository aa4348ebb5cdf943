/**
 * One client connection of a test: the protocol, the chains and the pumps of a gateway, with what
 * a test writes in the place of both sockets.
 */
import type { ObserverLine } from '../hooks/observers.ts'
import type { SessionFacts } from '../hooks/step.ts'
import type { OpeningVerdict, Refusal } from '../hooks/verdict.ts'
import { POSTGRES } from '../protocols/postgres/postgres.ts'
import type { Conversation } from '../protocols/protocol.ts'
import { RAW } from '../protocols/raw.ts'
import { newAccount } from '../tcp/account.ts'
import { Outlet } from '../tcp/outlet.ts'
import { Pump } from '../tcp/pump.ts'
import type { ServiceHooks } from '../tcp/surroundings.ts'
import { talkFlaw } from '../tcp/turning.ts'
import type { ConnectionFacts } from './file.ts'
import type { Happenings } from './happenings.ts'
import { messagesOf, type Side } from './messages.ts'

export interface ConnectionOptions {
  readonly id: string
  readonly facts: ConnectionFacts
  readonly protocol: 'postgres' | 'raw'
  readonly hooks: ServiceHooks
  readonly happenings: Happenings
  /** Why a session cannot go to a block; null where it can. */
  readonly blockFlaw: (block: string) => string | null
}

const MESSAGE_BYTES_MAX = 16_777_216
/** How often the loop may turn until everything that was sent has been worked off. */
const TURNS_MAX = 10_000
/** After these the machine is given time: a new instance is being made. */
const QUICK_TURNS = 20

export class TrialConnection {
  readonly facts: SessionFacts & { lastRequest: Uint8Array; block: string }
  readonly line: ObserverLine | null
  /** Why it is over, or null. */
  ended: string | null = null
  readonly #options: ConnectionOptions
  readonly #conversation: Conversation
  readonly #toServer: Pump
  readonly #toClient: Pump
  readonly #client: Outlet
  #state: 'new' | 'opened' | 'started' = 'new'

  constructor(options: ConnectionOptions) {
    this.#options = options
    const { protocol, hooks, happenings } = options
    this.#conversation = (protocol === 'raw' ? RAW : POSTGRES).converse({
      fromClient: hooks.fromClient.wanted,
      fromServer: hooks.fromServer.wanted,
      limits: {
        messageBytesMax: MESSAGE_BYTES_MAX,
        budget: { held: 0, heldMax: 4 * MESSAGE_BYTES_MAX, spent: 0 },
      },
      waker: {
        wakeToServer: () => this.#toServer.wake(),
        wakeToClient: () => this.#toClient.wake(),
      },
      gate: null,
    })
    this.facts = factsOf(options, this.#conversation)
    this.line = hooks.observers?.line(this.facts) ?? null
    const { fromClient, fromServer } = this.#conversation
    const owner = this.#owner()
    this.#toServer = new Pump(fromClient, fromClient, hooks.fromClient, owner)
    this.#toClient = new Pump(fromServer, null, hooks.fromServer, owner)
    this.#client = new Outlet(sinkOf((bytes) => happenings.written('toClient', bytes)))
    this.#toServer.writeTo(new Outlet(sinkOf((bytes) => happenings.written('toServer', bytes))))
    this.#toServer.answerTo(this.#client)
    this.#toClient.writeTo(this.#client)
  }

  /** Asks the onOpening chain and tells that the session is there. */
  async open(): Promise<void> {
    if (this.#state !== 'new') return
    this.#state = 'opened'
    const verdict = (await this.#options.hooks.opening?.(this.facts)) ?? null
    if (verdict !== null && !this.#admits(verdict)) return
    this.line?.tell('onOpened')
    this.line?.tell('onTraffic')
    await this.line?.settled()
  }

  /** Opens it and, under PostgreSQL's protocol, logs in: what a test does not want to spell out. */
  async begin(first: Uint8Array | null): Promise<void> {
    await this.open()
    if (this.#state === 'started') return
    this.#state = 'started'
    this.#toClient.start()
    this.#toServer.start()
    // A packet without a first byte begins with its length, and so with zero.
    if (this.#options.protocol === 'raw' || first?.[0] === 0 || this.ended !== null) return
    const { user, database, applicationName } = this.#options.facts
    const parameters = { user, database, application_name: applicationName }
    await this.#feed('client', messagesOf({ StartupMessage: parameters }, 'client'))
    await this.#feed('server', messagesOf(['AuthenticationOk', { ReadyForQuery: 'I' }], 'server'))
  }

  /** Sends messages as one chunk, and waits until all that comes of them has happened. */
  async send(side: Side, messages: readonly Uint8Array[]): Promise<void> {
    if (this.ended !== null) {
      this.#options.happenings.fault(`nothing can be sent: ${this.ended}`)
      return
    }
    await this.#feed(side, messages)
  }

  async #feed(side: Side, messages: readonly Uint8Array[]): Promise<void> {
    const chunk = new Uint8Array(Buffer.concat(messages))
    if (side === 'client') this.#toServer.feed(chunk)
    else this.#toClient.feed(chunk)
    for (let turn = 0; turn < TURNS_MAX; turn++) {
      await Bun.sleep(turn < QUICK_TURNS ? 0 : 1)
      if (!this.#toServer.busy && !this.#toClient.busy) break
    }
    await this.#options.hooks.observers?.quiet()
  }

  #admits(verdict: OpeningVerdict): boolean {
    switch (verdict.kind) {
      case 'deny':
        this.#refuse(verdict, 'onOpening refused the session')
        return false
      case 'close':
        this.#end(verdict.bytes ?? null, 'onOpening closed the session')
        return false
      case 'route':
        this.facts.block = verdict.block
        return true
      case 'continue':
      case 'failure':
        return true
    }
  }

  /** A client that is refused at the door has said nothing yet: it is told at once here. */
  #refuse(refusal: Refusal, why: string): void {
    this.#end(this.#conversation.farewell(refusal), why)
  }

  #end(lastWords: Uint8Array | null, why: string): void {
    if (this.ended !== null) return
    this.ended = why
    this.line?.tell('onClosing', { error: '' })
    this.#toServer.stop()
    this.#toClient.stop()
    if (lastWords !== null && lastWords.length > 0) this.#client.write(lastWords)
    this.line?.tell('onClosed', { error: '' })
  }

  /** What the pumps ask of a session. */
  #owner(): ConstructorParameters<typeof Pump>[3] {
    const { happenings, blockFlaw } = this.#options
    const session = this
    return {
      around: {
        account: newAccount(),
        // The verdict was noted where it was given; what the chain makes of others comes here.
        stepFailed: (_plugin, hook, cause) => {
          if (!cause.startsWith(`${hook}: `)) happenings.fault(`${hook}: ${cause}`)
        },
        denied: () => undefined,
      },
      facts: session.facts,
      get line() {
        return session.line
      },
      close: (lastWords) => this.#end(lastWords, 'the plugin closed the session'),
      refuse: (refusal) => this.#refuse(refusal, `it ended with "${refusal.message}"`),
      violated: (sentence) => {
        happenings.fault(`a gateway would end the session: ${sentence}`)
        this.#refuse({ code: '08P01', message: sentence }, sentence)
      },
      cancel: () => this.#end(null, 'a request to cancel ends its connection'),
      admitted: () => Promise.resolve(),
      secure: () => happenings.fault('a test has no TLS'),
      route: (block) => {
        const flaw = blockFlaw(block)
        if (flaw !== null) return flaw
        if (block === this.facts.block) return null
        // As in a pool, which is where a session can be routed whenever it has nothing under way.
        const unready = talkFlaw(this.#conversation)
        if (unready === null) this.facts.block = block
        return unready
      },
      rememberRequest: (bytes) => {
        this.facts.lastRequest = bytes.slice()
      },
      progressed: () => {
        this.#toServer.relieve()
      },
      broke: (thrown) => {
        happenings.fault(`something inside went wrong: ${String(thrown)}`)
        this.#end(null, 'the session broke')
      },
    }
  }
}

/** A socket that takes everything at once. */
function sinkOf(take: (bytes: Uint8Array) => void) {
  return {
    write: (bytes: Uint8Array): number => {
      take(bytes)
      return bytes.length
    },
  }
}

/** What plugins are told of the session: as the test says, until the login says otherwise. */
function factsOf(
  { id, facts, protocol }: ConnectionOptions,
  conversation: Conversation,
): TrialConnection['facts'] {
  return {
    id,
    client: { local: '127.0.0.1:15432', remote: facts.client },
    server: { local: '127.0.0.1:50001', remote: '127.0.0.1:5432' },
    group: 'default',
    block: 'writes',
    protocol,
    tls: null,
    get user() {
      return conversation.user || (protocol === 'raw' ? facts.user : '')
    },
    get database() {
      return conversation.database || (protocol === 'raw' ? facts.database : '')
    },
    get applicationName() {
      return conversation.applicationName || (protocol === 'raw' ? facts.applicationName : '')
    },
    lastRequest: new Uint8Array(0),
    memory: new Map(),
  }
}
