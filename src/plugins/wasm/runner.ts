/**
 * Runs a plugin's hooks on its present instance: counts, times, turns whatever goes wrong into a
 * failure, and gives up an instance that trapped. Its callers never see an exception.
 */
import type { HookName } from '../../hooks/hook.ts'
import type { SessionFacts } from '../../hooks/step.ts'
import type { Failure } from '../../hooks/verdict.ts'
import { CallCounts } from '../../metrics/calls.ts'
import type { LimitHits, PluginLimits } from '../limits.ts'
import type { Guest } from './guest.ts'
import { LoopShare } from './share.ts'
import { trapOf } from './trap.ts'

/** From what a hook returned to its verdict. */
export type VerdictReader<Verdict> = (
  returned: number,
  payload: Uint8Array | null,
  plugin: string,
) => Verdict | Failure

/** What a runner needs of the life of its plugin. */
export interface Keeper {
  /** Why calls fail that are made now. */
  readonly absence: string
  /** Settles, and never rejects, when the attempt at a new instance is over; null: none. */
  readonly attempt: Promise<void> | null
  /** The instance cannot be called any more. */
  lost(reason: string): void
  /** A call behind a loss has succeeded. */
  succeeded(): void
  /** The plugin must not be called for a while. */
  trip(reason: string, durationMs: number): void
}

/** What a plugin may take of the loop, and where it is counted if it takes more. */
export interface LoopBudget {
  readonly limits: Pick<PluginLimits, 'cpuShareMax'>
  readonly hits: LimitHits
}

/** How long a plugin rests that took more than its share. */
const REST_MS = 1000

export class Runner {
  readonly counts = new CallCounts()
  /** The last failure's sentence, or "". */
  lastError = ''
  readonly #keeper: Keeper
  readonly #budget: LoopBudget
  readonly #share: LoopShare
  #guest: Guest | null = null
  /** False from a loss to the next call that succeeds. */
  #isProven = true

  constructor(keeper: Keeper, budget: LoopBudget) {
    this.#keeper = keeper
    this.#budget = budget
    this.#share = new LoopShare(budget.limits.cpuShareMax)
  }

  /** The memory of the present instance, in bytes. */
  get memoryBytes(): number {
    return this.#guest?.memoryBytes ?? 0
  }

  /** There is no instance, and calls may have to wait for one. */
  get isResting(): boolean {
    return this.#guest === null
  }

  /** Takes the instance that further calls run on; what went wrong with another is over. */
  use(guest: Guest): void {
    this.#guest = guest
    this.lastError = ''
  }

  /** Lets go of the instance: further calls fail, or wait where a new one is being made. */
  rest(): void {
    this.#guest = null
    this.#isProven = false
  }

  /**
   * Runs a hook at once; only while a new instance is being made the verdict is a promise, so that
   * what a plugin guards stays guarded. `input` is only borrowed until the verdict is there.
   */
  run<Verdict extends { readonly kind: string }>(
    hook: HookName,
    session: SessionFacts | null,
    input: Uint8Array,
    read: VerdictReader<Verdict>,
  ): Verdict | Failure | Promise<Verdict | Failure> {
    const guest = this.#guest
    if (guest !== null) return this.#runOn(guest, hook, session, input, read)
    const { attempt, absence } = this.#keeper
    if (attempt === null) return this.#failed(hook, absence)
    return attempt.then(() => this.run(hook, session, input, read))
  }

  /** Runs an observing hook; true if the plugin was told and had no verdict to give. */
  tell(
    hook: HookName,
    session: SessionFacts | null,
    input: Uint8Array,
  ): boolean | Promise<boolean> {
    const told = this.run(hook, session, input, readNothing)
    return told instanceof Promise ? told.then(isTold) : isTold(told)
  }

  #runOn<Verdict extends { readonly kind: string }>(
    guest: Guest,
    hook: HookName,
    session: SessionFacts | null,
    input: Uint8Array,
    read: VerdictReader<Verdict>,
  ): Verdict | Failure {
    const startedAt = performance.now()
    let verdict: Verdict | Failure
    try {
      const returned = guest.call(hook, session, input, startedAt)
      verdict = Number.isNaN(returned)
        ? { kind: 'failure', cause: guest.fault }
        : read(returned, guest.host.payload, guest.host.belongings.name)
      guest.finish()
      if (!this.#isProven) this.#prove()
    } catch (thrown) {
      const { kind, message } = trapOf(thrown)
      verdict = { kind: 'failure', cause: `trapped (${kind}): ${message}` }
      if (kind === 'deadline') this.counts.timedOut(hook)
      this.#lose(guest, `${hook}: ${verdict.cause}`)
    }
    const endedAt = performance.now()
    this.counts.took(hook, endedAt - startedAt)
    if (!this.#share.add(endedAt - startedAt, endedAt)) this.#yieldLoop()
    return isFailure(verdict) ? this.#failed(hook, verdict.cause) : verdict
  }

  /** The share of the loop is used up: the sessions of other plugins are waiting. */
  #yieldLoop(): void {
    const { limits, hits } = this.#budget
    hits.add('cpuShareMax')
    this.#share.forgive()
    this.#keeper.trip(`its calls took over ${limits.cpuShareMax}% of a second`, REST_MS)
  }

  #failed(hook: HookName, cause: string): Failure {
    this.counts.failed(hook)
    this.lastError = `${hook}: ${cause}`
    return { kind: 'failure', cause: this.lastError }
  }

  #prove(): void {
    this.#isProven = true
    this.#keeper.succeeded()
  }

  /** The instance's memory is in no known state any more; sessions and the store are not in it. */
  #lose(guest: Guest, reason: string): void {
    guest.host.end()
    this.rest()
    this.#keeper.lost(reason)
  }
}

function isFailure<Verdict extends { readonly kind: string }>(
  verdict: Verdict | Failure,
): verdict is Failure {
  return verdict.kind === 'failure'
}

interface Told {
  readonly kind: 'told'
}
const TOLD: Told = { kind: 'told' }

/** An observer has no verdict to give. */
function readNothing(returned: number): Told | Failure {
  if (returned === 0) return TOLD
  return { kind: 'failure', cause: `returned verdict ${returned}, but an observer has none` }
}

function isTold(told: Told | Failure): boolean {
  return told.kind === 'told'
}
