/** The process that shall take the place of this one, as this one sees it. */
import { closeSync } from 'node:fs'
import type { Logger } from 'pino'
import { identityOf, isAlive, type ProcessIdentity } from '../admin/process-identity.ts'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { settlesIn } from '../base/settles.ts'
import { closePair, descriptorPair, sendDescriptor } from '../tcp/descriptor-channel.ts'
import { Line } from './line.ts'
import {
  PREDECESSOR_VARIABLE,
  parseToPredecessor,
  type ToPredecessor,
  type ToSuccessor,
} from './messages.ts'
import { starterCommand } from './starter.ts'

/** How long a process that was killed may take to be gone, and how often it is looked for. */
const GONE_WITHIN_MS = 5000
const LOOK_EVERY_MS = 5
/** How long it may take to start a process. */
const STARTED_WITHIN_MS = 10_000

export interface SuccessorOptions {
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Logger
  /** Told of what is no answer. */
  readonly heard: (message: ToPredecessor) => void
}

type Answer = ToPredecessor['kind']

export class Successor {
  readonly #options: SuccessorOptions
  readonly #line: Line
  /** Its number is known, or there is no process. */
  readonly #known = Promise.withResolvers<void>()
  readonly #gone = Promise.withResolvers<void>()
  #channel: number | null = null
  #identity: ProcessIdentity | null = null
  /** What is waited for; told of the end too, as null. */
  #answered: ((message: ToPredecessor | null) => void) | null = null

  constructor(options: SuccessorOptions) {
    this.#options = options
    this.#line = new Line({
      heard: (message) => this.#hear(message),
      closed: () => this.#end(),
    })
  }

  get pid(): number {
    return this.#identity?.pid ?? 0
  }

  /** Throws UPGRADE_REFUSED where the file cannot be started. */
  async start(): Promise<void> {
    const { command, env } = this.#options
    const [channel, line] = [descriptorPair(), descriptorPair()]
    try {
      const starter = Bun.spawn(starterCommand(command), {
        stdio: ['inherit', 'inherit', 'inherit', channel.far, line.far],
        env: environmentOf(env),
      })
      starter.unref()
    } catch (cause) {
      closePair(channel)
      closePair(line)
      this.#line.close()
      throw new GatewayError('UPGRADE_REFUSED', 'no process can be started', { cause })
    }
    for (const { far } of [channel, line]) closeSync(far)
    this.#channel = channel.near
    await this.#line.open(line.near)
    await this.#answer('started', STARTED_WITHIN_MS)
  }

  /** In the order in which they are announced. */
  hand(descriptors: readonly number[]): void {
    try {
      const channel = this.#channel
      if (channel === null) return
      for (const descriptor of descriptors) sendDescriptor(channel, descriptor)
    } catch (thrown) {
      // Most likely it has ended; how, is told to whoever waits for it to be ready.
      this.#options.log.debug(`sockets could not be handed over: ${sentenceOf(thrown)}`)
    }
  }

  send(message: ToSuccessor): void {
    this.#line.send(message)
  }

  /** Says something, and waits for this answer. Throws UPGRADE_REFUSED where it does not come. */
  ask<Kind extends Answer>(
    message: ToSuccessor,
    kind: Kind,
    withinMs: number,
  ): Promise<ToPredecessor & { readonly kind: Kind }> {
    const answer = this.#answer(kind, withinMs)
    this.send(message)
    return answer
  }

  async #answer<Kind extends Answer>(
    kind: Kind,
    withinMs: number,
  ): Promise<ToPredecessor & { readonly kind: Kind }> {
    const waiting = Promise.withResolvers<ToPredecessor | 'late' | null>()
    const timer = setTimeout(() => waiting.resolve('late'), withinMs)
    this.#answered = waiting.resolve
    if (this.#line.isClosed) waiting.resolve(null)
    const answer = await waiting.promise
    clearTimeout(timer)
    this.#answered = null
    if (isOfKind(answer, kind)) return answer
    throw new GatewayError('UPGRADE_REFUSED', this.#whyNot(answer, kind, withinMs))
  }

  #whyNot(answer: ToPredecessor | 'late' | null, kind: Answer, withinMs: number): string {
    const [path = ''] = this.#options.command
    if (answer === 'late') return `${path}: not ${kind} within ${withinMs} ms (upgradeTimeout)`
    if (answer === null) return `${path} ended before it was ${kind}; the log has what it wrote`
    if (answer.kind === 'refused') return answer.problem
    return `${path} said "${answer.kind}" before it was ${kind}`
  }

  /** SIGKILL: it may be one that hears nothing. Resolves when it is gone. */
  async kill(): Promise<void> {
    // It may run without a word of it here yet.
    await settlesIn(STARTED_WITHIN_MS, this.#known.promise)
    const identity = this.#identity
    // No child of this process: its number is its own only as long as it holds the line.
    if (identity !== null && !this.#line.isClosed) kill(identity.pid)
    await settlesIn(GONE_WITHIN_MS, this.#gone.promise)
    this.#line.close()
    // One that ends has closed the line before it lets go of its folder.
    const endsAtMs = performance.now() + GONE_WITHIN_MS
    while (identity !== null && isAlive(identity) && performance.now() < endsAtMs) {
      await Bun.sleep(LOOK_EVERY_MS)
    }
  }

  #hear(heard: unknown): void {
    try {
      const message = parseToPredecessor(heard)
      if (message.kind === 'started') this.#meet(message.pid)
      if (message.kind === 'cancel' || message.kind === 'stop') this.#options.heard(message)
      else this.#answered?.(message)
    } catch (thrown) {
      const { log } = this.#options
      log.warn({ err: thrown }, 'the process that takes over says what is not understood')
    }
  }

  #meet(pid: number): void {
    this.#identity = identityOf(pid)
    this.#known.resolve()
  }

  #end(): void {
    if (this.#channel !== null) closeSync(this.#channel)
    this.#channel = null
    this.#answered?.(null)
    this.#known.resolve()
    this.#gone.resolve()
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended meanwhile.
  }
}

function isOfKind<Kind extends Answer>(
  answer: ToPredecessor | 'late' | null,
  kind: Kind,
): answer is ToPredecessor & { readonly kind: Kind } {
  return answer !== null && answer !== 'late' && answer.kind === kind
}

/** As ours, but that it knows whose place it takes, and that a watchdog's number is ours. */
function environmentOf(ours: SuccessorOptions['env']): Record<string, string> {
  const { WATCHDOG_PID: _ours, ...others } = ours
  const all = { ...others, [PREDECESSOR_VARIABLE]: String(process.pid) }
  const set = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  )
  return Object.fromEntries(set)
}
