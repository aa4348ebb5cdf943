/** A client of the soak: one connection, whose replies are read whole and counted. */
import * as frontend from '../kit/frontend.ts'
import type { Random } from '../kit/pipelines.ts'
import { openSession, type Wire, type WireAddress } from '../kit/wire.ts'
import type { Tally } from './tally.ts'

/** A machine that is busy with something else for a while is no fault of the gateway. */
const TIMEOUT_MS = 60_000

/** Everything up to one ReadyForQuery. */
export interface Reply {
  readonly rows: readonly (readonly (string | null)[])[]
  /** The same rows as bytes. */
  readonly cells: readonly (readonly (Uint8Array | null)[])[]
  /** SQLSTATE of the first error, or null. */
  readonly code: string | null
  readonly tags: readonly string[]
  readonly copied: number
  readonly status: string
}

export interface Login extends WireAddress {
  readonly user: string
  readonly database: string
}

export class Session {
  readonly user: string
  readonly tally: Tally
  /** Statements that went over this connection. */
  sent = 0
  readonly #wire: Wire
  #names = 0

  constructor(wire: Wire, { user }: Login, tally: Tally) {
    this.#wire = wire
    this.user = user
    this.tally = tally
  }

  /** The name of a prepared statement that this connection has not used before. */
  nextName(): string {
    return `statement_${++this.#names}`
  }

  /** Sends one statement in whatever messages, and reads to ReadyForQuery. */
  async send(...messages: readonly Uint8Array[]): Promise<Reply> {
    const [reply] = await this.sendAll([messages])
    if (reply === undefined) throw new Error('no reply to one statement')
    return reply
  }

  /** Sends several statements at once; each ends with what makes a ReadyForQuery. */
  async sendAll(statements: readonly (readonly Uint8Array[])[]): Promise<Reply[]> {
    this.#count(statements.length)
    this.#wire.send(...statements.flat())
    const replies: Reply[] = []
    for (const _ of statements) replies.push(await this.#reply())
    return replies
  }

  simple(sql: string): Promise<Reply> {
    return this.send(frontend.query(sql))
  }

  extended(sql: string, values: readonly (string | null)[] = []): Promise<Reply> {
    return this.send(frontend.extendedQuery(sql, values))
  }

  /** By the simple or the extended protocol, without parameters. */
  either(random: Random, sql: string): Promise<Reply> {
    return random.chance(0.5) ? this.simple(sql) : this.extended(sql)
  }

  /** Sends, and goes away without a look at the answer. */
  abandon(sql: string): void {
    this.#count(1)
    this.#wire.send(frontend.query(sql))
    this.#wire.destroy()
  }

  get isEnded(): boolean {
    return this.#wire.isEnded || this.#wire.socket.destroyed
  }

  /** In good order, or by just dropping the connection. */
  async end(inOrder: boolean): Promise<void> {
    if (inOrder && !this.isEnded) await this.#wire.terminate()
    else this.#wire.destroy()
  }

  #count(statements: number): void {
    this.sent += statements
    this.tally.statements += statements
  }

  async #reply(): Promise<Reply> {
    const messages = await this.#wire.readUntil('ReadyForQuery')
    const rows: (readonly (string | null)[])[] = []
    const cells: (readonly (Uint8Array | null)[])[] = []
    const tags: string[] = []
    let code: string | null = null
    let copied = 0
    let status = ''
    for (const message of messages) {
      if (message.name === 'DataRow') {
        rows.push(message.values)
        cells.push(message.cells)
      } else if (message.name === 'ErrorResponse') code ??= message.code
      else if (message.name === 'CommandComplete') tags.push(message.tag)
      else if (message.name === 'CopyData') copied++
      else if (message.name === 'ReadyForQuery') status = message.status
    }
    return { rows, cells, code, tags, copied, status }
  }
}

/** Logs in; throws with the words of who refuses. */
export async function open(login: Login, tally: Tally): Promise<Session> {
  const wire = await openSession({ ...login, timeoutMs: TIMEOUT_MS })
  tally.connections++
  return new Session(wire, login, tally)
}

/** An address of this machine that hardly anybody came from before. */
export function freshAddress(random: Random): string {
  const part = (): number => 1 + random.below(250)
  return `127.${part()}.${part()}.${part()}`
}
