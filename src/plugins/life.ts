/**
 * The life of a plugin, the same for every runtime: one written machine of states, and what drives
 * it. A runtime gives the body that is opened, taken into use and taken away.
 */
import type { Logger } from 'pino'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { type Clock, SYSTEM_CLOCK } from './clock.ts'
import type { PluginState } from './plugin.ts'

/**
 * What happens in a life: asked to start; able to answer; the attempt at that failed; able no more;
 * time to try again; kept from trying by the breaker; asked to stop.
 */
export const LIFE_EVENTS = ['start', 'opened', 'failed', 'lost', 'due', 'tripped', 'stop'] as const
export type LifeEvent = (typeof LIFE_EVENTS)[number]

/** What is not in a row has no meaning in that state and changes nothing. */
const TABLE: Readonly<Record<PluginState, Readonly<Partial<Record<LifeEvent, PluginState>>>>> = {
  stopped: { start: 'starting' },
  starting: { opened: 'ready', failed: 'broken', stop: 'stopped' },
  ready: { lost: 'failing', tripped: 'broken', stop: 'stopped' },
  failing: { start: 'restarting', due: 'restarting', tripped: 'broken', stop: 'stopped' },
  restarting: { opened: 'ready', failed: 'failing', tripped: 'broken', stop: 'stopped' },
  broken: { start: 'starting', due: 'restarting', tripped: 'broken', stop: 'stopped' },
}

/** The state behind an event, or null where the event has no meaning. */
export function stateAfter(state: PluginState, event: LifeEvent): PluginState | null {
  return TABLE[state][event] ?? null
}

/** Failures in a row at which the breaker opens. */
export const FAILURES_IN_A_ROW_MAX = 5
/** The wait before the second restart in a row; the first one does not wait. */
export const BACKOFF_FIRST_MS = 100
/** The longest wait before a restart. */
export const BACKOFF_MAX_MS = 30_000

/** The wait behind this many failures in a row: none, then doubling up to the cap. */
export function backoffMs(failuresInARow: number): number {
  if (failuresInARow < 2) return 0
  return Math.min(BACKOFF_FIRST_MS * 2 ** (failuresInARow - 2), BACKOFF_MAX_MS)
}

/** What a runtime gives to be driven; `discard` and `close` are idempotent and bounded in time. */
export interface PluginBody {
  /**
   * Makes what can answer; resolves with what takes it into use, which may throw. Rejects with a
   * GatewayError, soon after an abort; what it left then is taken away by `discard`.
   */
  open(signal: AbortSignal): Promise<() => void>
  /** From now on calls are not made but fail, for the life's `absence`. */
  rest(): void
  /** Takes away at once what cannot answer any more. */
  discard(): Promise<void> | void
  /** Takes it away with its leave. */
  close(): Promise<void> | void
}

export interface LifeRequest {
  readonly body: PluginBody
  /** The name as far as it is known, for sentences. */
  readonly label: () => string
  readonly log: Logger
  readonly clock?: Clock | undefined
  /** False: what is lost stays `failing` until it is started again. */
  readonly restarts: boolean
  /** How long it must have been ready for its failures to be no row; null: `succeeded` tells. */
  readonly stableMs: number | null
  /** How a loss is logged that is mended at once; a quiet one is for those that clients cause. */
  readonly lossLevel: 'debug' | 'error'
  /** Told of every new state. */
  readonly told?: (state: PluginState) => void
}

/** What a status says of a life. */
export interface LifeReport {
  readonly state: PluginState
  /** Restarts begun so far. */
  readonly restarts: number
  /** Milliseconds until it is tried again, or null. */
  readonly nextTryInMs: number | null
  /** When it became ready, in milliseconds since 1970, or null where it is not. */
  readonly readySince: number | null
}

export class PluginLife {
  readonly #request: LifeRequest
  readonly #clock: Clock
  #state: PluginState = 'stopped'
  #absence = 'the plugin was not started'
  #lastError = ''
  #failuresInARow = 0
  #restarts = 0
  /** True while a failure stands in the log as an error, so that its end is worth a line too. */
  #isLoud = false
  #readyAt = 0
  #readySince: number | null = null
  #dueAt: number | null = null
  #cancelWait: () => void = () => undefined
  #abort = new AbortController()
  #attempt: Promise<void> | null = null
  #settled: Promise<void> | null = null
  #stopping: Promise<void> | null = null
  #discarding: Promise<void> | null = null

  constructor(request: LifeRequest) {
    this.#request = request
    this.#clock = request.clock ?? SYSTEM_CLOCK
  }

  get state(): PluginState {
    return this.#state
  }

  /** Why calls fail that are made now, as the end of a sentence. */
  get absence(): string {
    return this.#absence
  }

  /** Why it failed last, or "". */
  get lastError(): string {
    return this.#lastError
  }

  get failuresInARow(): number {
    return this.#failuresInARow
  }

  /** Settles, and never rejects, when the attempt under way is over; null: there is none. */
  get attempt(): Promise<void> | null {
    return this.#settled
  }

  report(): LifeReport {
    const dueAt = this.#dueAt
    return {
      state: this.#state,
      restarts: this.#restarts,
      nextTryInMs: dueAt === null ? null : Math.max(0, Math.ceil(dueAt - this.#clock.now())),
      readySince: this.#readySince,
    }
  }

  /** Resolves when ready. Rejects where that fails, and then nothing tries again by itself. */
  start(): Promise<void> {
    if (this.#state === 'ready') return Promise.resolve()
    return this.#attempt ?? this.#begin('start')
  }

  /** A ready body cannot answer any more: it is made anew, at once or after a wait. */
  lost(reason: string): void {
    if (stateAfter(this.#state, 'lost') === null) return
    const { stableMs } = this.#request
    const isNewRow = stableMs !== null && this.#clock.now() - this.#readyAt >= stableMs
    this.#failuresInARow = isNewRow ? 1 : this.#failuresInARow + 1
    this.#lastError = reason
    this.#step('lost')
    this.#leave()
    this.#retry()
  }

  /** A call succeeded: failures before it are no row with those behind it. */
  succeeded(): void {
    this.#failuresInARow = 0
  }

  /** Opens the breaker for `durationMs`: calls fail at once, for the reason given. */
  trip(reason: string, durationMs: number): void {
    if (stateAfter(this.#state, 'tripped') === null) return
    this.#lastError = reason
    this.#break(reason, Math.max(durationMs, this.report().nextTryInMs ?? 0))
  }

  /** Idempotent and bounded, from every state; nothing tries again, and no timer is left. */
  stop(): Promise<void> {
    const problem = `plugin ${this.#request.label()}: its start was broken off by a stop`
    this.#halt(new GatewayError('PLUGIN_EXITED', problem))
    this.#step('stop')
    this.#absence = 'the plugin was stopped'
    this.#request.body.rest()
    this.#stopping ??= this.#end(this.#settled).finally(() => {
      this.#stopping = null
    })
    return this.#stopping
  }

  /** Ends waits and attempts, which must not come back to life. */
  #halt(reason: GatewayError): void {
    this.#cancelWait()
    this.#dueAt = null
    this.#abort.abort(reason)
  }

  /** What cannot answer is not kept until it is made anew: that may be long. */
  #leave(): void {
    this.#request.body.rest()
    this.#discarding = this.#discard()
  }

  async #end(attempt: Promise<void> | null): Promise<void> {
    await attempt
    await this.#discarding
    await this.#request.body.close()
  }

  #step(event: LifeEvent): void {
    const next = stateAfter(this.#state, event)
    if (next === null || next === this.#state) return
    this.#state = next
    if (next !== 'ready') this.#readySince = null
    this.#request.told?.(next)
  }

  #begin(event: 'start' | 'due'): Promise<void> {
    this.#cancelWait()
    this.#dueAt = null
    this.#step(event)
    if (this.#state === 'restarting') {
      this.#restarts++
      this.#absence = `the plugin has failed: ${this.#lastError}; it is being restarted`
    } else this.#absence = 'the plugin is being started'
    this.#abort = new AbortController()
    const attempt = this.#try(this.#abort.signal, this.#settled)
    this.#attempt = attempt
    const settled = attempt.then(
      () => this.#settle(attempt),
      () => this.#settle(attempt),
    )
    this.#settled = settled
    return attempt
  }

  #settle(attempt: Promise<void>): void {
    if (this.#attempt !== attempt) return
    this.#attempt = null
    this.#settled = null
  }

  async #try(signal: AbortSignal, before: Promise<void> | null): Promise<void> {
    const { body } = this.#request
    // Only a stop that came first: a later one waits for this.
    const stopping = this.#stopping
    try {
      await before
      await stopping
      // A new one comes only when nothing of the last one is left.
      await body.discard()
      signal.throwIfAborted()
      const use = await body.open(signal)
      signal.throwIfAborted()
      use()
      this.#opened()
    } catch (thrown) {
      await this.#discard()
      if (signal.aborted) throw signal.reason
      this.#failed(sentenceOf(thrown))
      throw thrown
    }
  }

  async #discard(): Promise<void> {
    const { body, label, log } = this.#request
    try {
      await body.discard()
    } catch (thrown) {
      log.error({ plugin: label() }, `could not be taken away: ${sentenceOf(thrown)}`)
    }
  }

  #opened(): void {
    const { label, log } = this.#request
    const isRestart = this.#state === 'restarting'
    this.#readyAt = this.#clock.now()
    this.#step('opened')
    this.#readySince = this.#clock.wall()
    // A loss from here on begins an attempt of its own.
    this.#attempt = null
    this.#settled = null
    if (!isRestart) this.#lastError = ''
    else {
      const level = this.#isLoud ? 'info' : 'debug'
      log[level]({ plugin: label(), restarts: this.#restarts }, 'plugin ready again')
    }
    this.#isLoud = false
  }

  #failed(reason: string): void {
    this.#lastError = reason
    this.#failuresInARow++
    this.#step('failed')
    if (this.#state === 'failing') return this.#retry()
    // The chains are made without a plugin that did not start: whoever asked is told.
    this.#absence = `the plugin did not start: ${reason}`
  }

  /** What a failure leads to: a restart, at once or later, or an open breaker, or nothing. */
  #retry(): void {
    const { restarts, lossLevel } = this.#request
    const failures = this.#failuresInARow
    const reason = this.#lastError
    if (!restarts) {
      this.#absence = `the plugin has failed: ${reason}`
      return this.#say('error', `plugin failed: ${reason}; it stays so: reloadOnCrash is false`)
    }
    const delayMs = backoffMs(failures)
    if (failures >= FAILURES_IN_A_ROW_MAX) {
      return this.#break(`it failed ${failures} times in a row, at last: ${reason}`, delayMs)
    }
    if (delayMs === 0) {
      this.#say(lossLevel, `plugin failed: ${reason}; restarting it`)
      // Whoever waits for it looks at `attempt`; failures lead here again.
      this.#begin('due').catch(() => undefined)
      return
    }
    this.#say('error', `plugin failed: ${reason}; it is restarted in ${delayMs} ms`)
    this.#absence = `the plugin has failed: ${reason}; it is restarted at ${this.#wait(delayMs)}`
  }

  /** Opens the breaker; `reason` is a sentence about the plugin. */
  #break(reason: string, durationMs: number): void {
    const problem = `plugin ${this.#request.label()}: its restart was broken off: ${reason}`
    this.#halt(new GatewayError('PLUGIN_EXITED', problem))
    this.#step('tripped')
    this.#leave()
    const until = this.#wait(durationMs)
    this.#absence = `the plugin is not called until ${until}: ${reason}`
    this.#say('error', `plugin broken: ${reason}; it is not called until ${until}`)
  }

  /** Has it tried again after a wait; returns when that is, as text. */
  #wait(delayMs: number): string {
    this.#cancelWait()
    this.#dueAt = this.#clock.now() + delayMs
    this.#cancelWait = this.#clock.after(delayMs, () => {
      this.#begin('due').catch(() => undefined)
    })
    return new Date(this.#clock.wall() + delayMs).toISOString()
  }

  #say(level: 'debug' | 'error', sentence: string): void {
    if (level === 'error') this.#isLoud = true
    this.#request.log[level]({ plugin: this.#request.label() }, sentence)
  }
}
