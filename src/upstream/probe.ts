/**
 * Asks an upstream whether it is there: connects, asks what its protocol answers before anybody
 * has logged in, and leaves. A server that accepts but does not answer is not there.
 */
import type { Socket, SocketHandler } from 'bun'
import type { Address } from '../base/address.ts'
import { sentenceOf } from '../base/errors.ts'

export type Probed =
  | { readonly kind: 'answered' }
  | { readonly kind: 'failed'; readonly cause: string }

/** A question that a server answers with one byte. */
export interface Question {
  readonly bytes: Uint8Array
  /** First bytes of an answer, each with what has to follow so that the server is left in peace. */
  readonly answers: Readonly<Record<string, 'leave' | 'shake hands'>>
}

export interface ProbeOptions {
  readonly address: Address
  /** All of it, from the first packet to the answer. */
  readonly timeoutMs: number
  /** Null: a connection is answer enough. */
  readonly question: Question | null
}

/** A probe that nobody wants any more has so long to end in good order. */
export const PARTING_MS = 500

/** Settles within `timeoutMs`, or soon after it is aborted. */
export function probe(options: ProbeOptions, aborted: AbortSignal): Promise<Probed> {
  return new Promise((resolve) => {
    const visit = new Visit(options, resolve)
    aborted.addEventListener('abort', () => visit.giveUp(), { once: true })
    visit.begin()
  })
}

/** One connection, from its beginning to its end. */
class Visit {
  readonly #options: ProbeOptions
  readonly #settle: (probed: Probed) => void
  #timer: Timer
  #socket: Socket<undefined> | null = null
  #stage: 'asking' | 'shaking hands' | 'over' = 'asking'

  constructor(options: ProbeOptions, settle: (probed: Probed) => void) {
    this.#options = options
    this.#settle = settle
    this.#timer = setTimeout(() => this.#late(), options.timeoutMs)
    this.#timer.unref()
  }

  begin(): void {
    const { address } = this.#options
    const socket = this.#handlers()
    const connecting =
      address.network === 'unix'
        ? Bun.connect<undefined>({ unix: address.path, socket })
        : Bun.connect<undefined>({
            hostname: address.host || '127.0.0.1',
            port: address.port,
            socket,
          })
    connecting.catch((thrown: unknown) => this.fail(causeOf(thrown)))
  }

  #handlers(): SocketHandler<undefined> {
    return {
      binaryType: 'uint8array',
      open: (socket) => this.#opened(socket),
      data: (_socket, chunk) => this.#heard(chunk),
      close: () => this.fail('it closed the connection without an answer'),
      error: (_socket, thrown) => this.fail(causeOf(thrown)),
      // The rejected promise of the dial tells; without this handler it would be told twice.
      connectError: () => {},
    }
  }

  #opened(socket: Socket<undefined>): void {
    this.#socket = socket
    socket.unref()
    if (this.#stage === 'over') return void socket.end()
    const { question } = this.#options
    if (question === null) this.#answered()
    else socket.write(question.bytes)
  }

  #heard(chunk: Uint8Array): void {
    if (this.#stage !== 'asking' || chunk.length === 0) return
    const first = String.fromCharCode(chunk[0]!)
    const then = this.#options.question?.answers[first]
    if (then === undefined) return this.fail(`it answered ${JSON.stringify(first)}`)
    if (then === 'leave') return this.#answered()
    this.#shakeHands()
  }

  /**
   * A server that said yes to encryption logs an error when nothing follows, once a probe. Whose
   * certificate it shows does not matter here, nor how the handshake ends: it has answered.
   */
  #shakeHands(): void {
    this.#stage = 'shaking hands'
    const done = (): void => this.#answered()
    const [, encrypted] = this.#socket!.upgradeTLS<undefined>({
      data: undefined,
      tls: { rejectUnauthorized: false },
      socket: { data: () => {}, handshake: done, close: done, error: done },
    })
    this.#socket = encrypted
  }

  /** A server that is asked would log an error if nobody heard its answer. */
  giveUp(): void {
    if (this.#stage === 'over') return
    if (this.#socket === null) return this.fail('given up')
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.fail('given up'), PARTING_MS)
  }

  #late(): void {
    if (this.#stage === 'shaking hands') return this.#answered()
    const what = this.#socket === null ? 'no connection' : 'no answer'
    this.fail(`${what} within ${this.#options.timeoutMs} ms`)
  }

  fail(cause: string): void {
    this.#over({ kind: 'failed', cause })
    this.#socket?.terminate()
  }

  #answered(): void {
    this.#over({ kind: 'answered' })
    this.#socket?.end()
  }

  #over(probed: Probed): void {
    if (this.#stage === 'over') return
    this.#stage = 'over'
    clearTimeout(this.#timer)
    this.#settle(probed)
  }
}

function causeOf(thrown: unknown): string {
  if (thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string') {
    return thrown.code
  }
  return sentenceOf(thrown)
}
