/** One worker as its gateway sees it: a process, a channel to it, and the lines that it logs. */
import { closeSync } from 'node:fs'
import type { Logger } from 'pino'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { relayTo } from '../base/log.ts'
import { descriptorPair, sendDescriptor } from '../tcp/descriptor-channel.ts'
import { type FromWorker, parseFromWorker, type ToWorker } from './messages.ts'

/** What makes a worker of the executable; nobody types it by accident. */
export const WORKER_COMMAND = '--worker-of-a-gateway'
/** Where a worker finds the channel over which descriptors come. */
export const DESCRIPTOR_CHANNEL = 3
/** A longer line is cut: a worker writes none, but what breaks in it may. */
const LINE_CHARACTERS_MAX = 1024 * 1024

/** Messages to a worker that has said nothing since: one that does not listen costs no more. */
const UNHEARD_MAX = 100_000

export interface ProcessOptions {
  readonly worker: number
  readonly log: Logger
  readonly heard: (message: FromWorker) => void
  /** The process has ended: told once, behind its last message. */
  readonly ended: (how: string) => void
}

export class WorkerProcess {
  readonly #options: ProcessOptions
  readonly #child: Bun.Subprocess<'ignore', 'ignore', 'pipe'>
  readonly #channel: number
  #hasEnded = false
  #unheard = 0

  /** Throws WORKER where the system gives no process. */
  constructor(options: ProcessOptions) {
    this.#options = options
    const { near, far } = descriptorPair()
    this.#channel = near
    try {
      this.#child = Bun.spawn(commandLine(), {
        argv0: 'postern',
        stdio: ['ignore', 'ignore', 'pipe', far],
        ipc: (message) => this.#hear(message),
        serialization: 'advanced',
      })
    } catch (cause) {
      closeSync(near)
      const problem = `worker ${options.worker}: the system starts no process for it`
      throw new GatewayError('WORKER', problem, { cause })
    } finally {
      closeSync(far)
    }
    const following = Promise.all([this.#child.exited, this.#relay()])
    following.then(
      () => this.#end(),
      (thrown: unknown) => {
        options.log.error({ err: thrown, worker: options.worker }, 'a worker was not followed')
        this.#end()
      },
    )
  }

  get pid(): number {
    return this.#child.pid
  }

  send(message: ToWorker): void {
    if (this.#hasEnded) return
    this.#unheard += 1
    if (this.#unheard > UNHEARD_MAX) return this.kill()
    try {
      this.#child.send(message)
    } catch (thrown) {
      const { log, worker } = this.#options
      log.debug({ worker }, `a worker could not be told: ${sentenceOf(thrown)}`)
    }
  }

  /** To be announced by a message behind it. Throws LISTEN_FAILED. */
  hand(descriptor: number): void {
    sendDescriptor(this.#channel, descriptor)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #hear(message: unknown): void {
    const { log, worker, heard } = this.#options
    this.#unheard = 0
    try {
      heard(parseFromWorker(message))
    } catch (thrown) {
      log.error({ worker, err: thrown }, 'a worker said what is not understood; it is ended')
      this.kill()
    }
  }

  #end(): void {
    this.#hasEnded = true
    closeSync(this.#channel)
    const { exitCode, signalCode } = this.#child
    this.#options.ended(
      signalCode === null ? `ended with ${exitCode}` : `was killed: ${signalCode}`,
    )
  }

  /** A worker writes records of the log; anything else is what broke it. */
  async #relay(): Promise<void> {
    const { log, worker } = this.#options
    const relay = relayTo(log)
    const decoder = new TextDecoder()
    let rest = ''
    for await (const chunk of this.#child.stderr) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      rest = (lines.pop() ?? '').slice(0, LINE_CHARACTERS_MAX)
      for (const line of lines) {
        if (line.startsWith('{"level":')) relay(`${line}\n`)
        else if (line !== '') log.error({ worker }, `a worker printed: ${line}`)
      }
    }
    if (rest !== '') log.error({ worker }, `a worker printed: ${rest}`)
  }
}

/** This executable once more, also where another lies at its path by now. */
function commandLine(): string[] {
  const isCompiled = Bun.main.startsWith('/$bunfs/')
  return ['/proc/self/exe', ...(isCompiled ? [] : [Bun.main]), WORKER_COMMAND]
}
