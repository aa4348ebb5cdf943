/** The calls of one plugin, over all its processes: made, timed, counted, and doubted. */
import type { Logger } from 'pino'
import { GatewayError, sentenceOf } from '../../base/errors.ts'
import { BUILT_IN_POLICIES, type Policies } from '../../config/policies.ts'
import { type HookName, methodName } from '../../hooks/hook.ts'
import type { OnFailure } from '../../hooks/step.ts'
import type { Failure } from '../../hooks/verdict.ts'
import type { CallCounts } from '../../metrics/calls.ts'
import type { PluginSpec } from '../plugin.ts'
import { writeRecord } from './log.ts'
import type { Running } from './running.ts'
import { logsOf, signalsOf, unknownOf } from './signals.ts'
import type { Outcome, StepOwner } from './steps.ts'
import type { Struct } from './struct.ts'

/** How long a plugin that let a call time out has to show that it is only slow. */
const PING_TIMEOUT_MS = 1000

/** Signals that nobody knows are told of once in this time. */
const UNKNOWN_TOLD_MS = 1000
const UNKNOWN_NAMED_MAX = 8

export interface CallerRequest {
  readonly name: string
  readonly spec: Pick<PluginSpec, 'priority' | 'onFailure' | 'timeoutMs' | 'policies'>
  readonly log: Logger
  /** Where calls are counted, over all callers of the plugin. */
  readonly counts: CallCounts
  /** Why calls fail while no process is in use, as the end of a sentence. */
  readonly absence: () => string
  /** Told where a process answers neither calls nor pings; its calls have failed by then. */
  readonly unresponsive: (running: Running, error: GatewayError) => void
}

export class Caller implements StepOwner {
  readonly name: string
  readonly priority: number
  readonly onFailure: OnFailure
  readonly policies: Policies
  readonly #request: CallerRequest
  #running: Running | null = null
  #pinged: Running | null = null
  readonly #counts: CallCounts
  #lastError = ''
  #unknownToldAt = Number.NEGATIVE_INFINITY
  #unknownHeld = 0

  constructor(request: CallerRequest) {
    this.#request = request
    this.#counts = request.counts
    this.name = request.name
    this.priority = request.spec.priority
    this.onFailure = request.spec.onFailure
    this.policies = request.spec.policies ?? BUILT_IN_POLICIES
  }

  /** What went wrong last with the present process, or "". */
  get lastError(): string {
    return this.#lastError
  }

  /** From now on calls go to this process; what went wrong with another is over. */
  use(running: Running): void {
    this.#running = running
    this.#lastError = ''
  }

  /** From now on calls fail at once. */
  rest(): void {
    this.#running = null
  }

  call(hook: HookName, params: Struct): Outcome | Promise<Outcome> {
    if (this.#running !== null) return this.#ask(this.#running, hook, params)
    return this.#failure(hook, `${methodName(hook)}: ${this.#request.absence()}`)
  }

  failed(hook: HookName, cause: string): void {
    this.#failure(hook, `${methodName(hook)}: ${cause}`)
  }

  async #ask(running: Running, hook: HookName, params: Struct): Promise<Outcome> {
    const { spec } = this.#request
    const startedAt = performance.now()
    try {
      const result = await running.call(methodName(hook), params, spec.timeoutMs)
      if ('__signals__' in result) this.#logSignals(hook, result)
      return { kind: 'result', result }
    } catch (thrown) {
      if (thrown instanceof GatewayError && thrown.code === 'PLUGIN_TIMEOUT') {
        this.#counts.timedOut(hook)
        this.#doubt(running)
      }
      return this.#failure(hook, sentenceOf(thrown))
    } finally {
      this.#counts.took(hook, performance.now() - startedAt)
    }
  }

  /** Logs what the signals of a result ask for, and, once a second, those that nobody knows. */
  #logSignals(hook: HookName, result: Struct): void {
    const { log } = this.#request
    const signals = signalsOf(result)
    for (const record of logsOf(signals, this.policies)) writeRecord(log, this.name, record)
    const unknown = unknownOf(signals)
    const now = performance.now()
    if (unknown.length === 0) return
    if (now - this.#unknownToldAt < UNKNOWN_TOLD_MS) {
      this.#unknownHeld += 1
      return
    }
    this.#unknownToldAt = now
    const alike = this.#unknownHeld
    this.#unknownHeld = 0
    const names = unknown
      .slice(0, UNKNOWN_NAMED_MAX)
      .map((name) => JSON.stringify(name.slice(0, 100)))
      .join(', ')
    const sentence = `${methodName(hook)}: signals without an action are dropped: ${names}`
    log.error(alike === 0 ? { plugin: this.name } : { plugin: this.name, alike }, sentence)
  }

  /** Counted here and kept for the status; the chain, which knows what follows, logs it. */
  #failure(hook: HookName, cause: string): Failure {
    this.#counts.failed(hook)
    this.#lastError = cause
    this.#request.log.debug({ plugin: this.name }, cause)
    return { kind: 'failure', cause }
  }

  /** Tells a slow plugin from a dead one; one ping answers for all calls that time out with it. */
  #doubt(running: Running): void {
    if (this.#pinged === running) return
    this.#pinged = running
    const { log } = this.#request
    const pinging = this.#ping(running).finally(() => {
      this.#pinged = null
    })
    pinging.catch((cause) => log.error({ plugin: this.name }, sentenceOf(cause)))
  }

  async #ping(running: Running): Promise<void> {
    if (await running.ping(PING_TIMEOUT_MS)) return
    const problem = `it answers neither calls nor pings (${PING_TIMEOUT_MS} ms)`
    const error = new GatewayError('PLUGIN_TIMEOUT', problem)
    running.fail(error)
    this.#request.unresponsive(running, error)
  }
}
