/** The calls of one plugin, over all its processes: made, timed, counted, and doubted. */
import type { Logger } from 'pino'
import { GatewayError, sentenceOf } from '../../base/errors.ts'
import { type HookName, methodName } from '../../hooks/hook.ts'
import type { OnFailure } from '../../hooks/step.ts'
import type { Failure } from '../../hooks/verdict.ts'
import type { PluginSpec } from '../plugin.ts'
import { writeRecord } from './log.ts'
import type { Running } from './running.ts'
import type { Outcome, StepOwner } from './steps.ts'
import type { Struct } from './struct.ts'
import { logsOf, signalsOf } from './verdict.ts'

/** How long a plugin that let a call time out has to show that it is only slow. */
const PING_TIMEOUT_MS = 1000

export interface CallerRequest {
  readonly name: string
  readonly spec: Pick<PluginSpec, 'priority' | 'onFailure' | 'timeoutMs'>
  readonly log: Logger
  /** Told where a process answers neither calls nor pings; its calls have failed by then. */
  readonly unresponsive: (running: Running, error: GatewayError) => void
}

export class Caller implements StepOwner {
  readonly name: string
  readonly priority: number
  readonly onFailure: OnFailure
  readonly #request: CallerRequest
  #running: Running | null = null
  #absence = 'the plugin was not started'
  #pinged: Running | null = null
  #calls = 0
  #failures = 0
  #callMicros = 0
  #lastError = ''

  constructor(request: CallerRequest) {
    this.#request = request
    this.name = request.name
    this.priority = request.spec.priority
    this.onFailure = request.spec.onFailure
  }

  get numbers(): { calls: number; failures: number; callMicros: number; lastError: string } {
    return {
      calls: this.#calls,
      failures: this.#failures,
      callMicros: Math.round(this.#callMicros),
      lastError: this.#lastError,
    }
  }

  /** From now on calls go to this process. */
  use(running: Running): void {
    this.#running = running
  }

  /** From now on calls fail at once, for the reason given. */
  rest(absence: string): void {
    this.#running = null
    this.#absence = absence
  }

  call(hook: HookName, params: Struct): Outcome | Promise<Outcome> {
    this.#calls++
    if (this.#running !== null) return this.#ask(this.#running, hook, params)
    return this.#failure(`${methodName(hook)}: ${this.#absence}`)
  }

  failed(hook: HookName, cause: string): void {
    this.#failure(`${methodName(hook)}: ${cause}`)
  }

  async #ask(running: Running, hook: HookName, params: Struct): Promise<Outcome> {
    const { spec, log } = this.#request
    const startedAt = performance.now()
    try {
      const result = await running.call(methodName(hook), params, spec.timeoutMs)
      for (const record of logsOf(signalsOf(result))) writeRecord(log, this.name, record)
      return { kind: 'result', result }
    } catch (thrown) {
      if (thrown instanceof GatewayError && thrown.code === 'PLUGIN_TIMEOUT') this.#doubt(running)
      return this.#failure(sentenceOf(thrown))
    } finally {
      this.#callMicros += (performance.now() - startedAt) * 1000
    }
  }

  /** Counted here and kept for the status; the chain, which knows what follows, logs it. */
  #failure(cause: string): Failure {
    this.#failures++
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
