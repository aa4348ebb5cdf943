/**
 * Runs a plugin's hooks on its present instance: counts, times, turns whatever goes wrong into a
 * failure, and replaces an instance that trapped. Its callers never see an exception.
 */
import { sentenceOf } from '../../base/errors.ts'
import type { HookName } from '../../hooks/hook.ts'
import type { SessionFacts } from '../../hooks/step.ts'
import type { Failure } from '../../hooks/verdict.ts'
import type { Guest } from './guest.ts'
import type { Journal } from './journal.ts'

/** From what a hook returned to its verdict. */
export type VerdictReader<Verdict> = (
  returned: number,
  payload: Uint8Array | null,
  plugin: string,
) => Verdict | Failure

export interface RunnerOptions {
  readonly journal: Journal
  /** Makes a new instance from the compiled module. */
  readonly renew: () => Promise<Guest>
  /** Told once when no new instance could be made: the plugin cannot answer any more. */
  readonly onBroken: () => void
}

export class Runner {
  calls = 0
  failures = 0
  /** Milliseconds spent in calls. */
  spentMs = 0
  /** The last failure's sentence, or "". */
  lastError = ''
  readonly #options: RunnerOptions
  #guest: Guest | null = null
  /** Settles when there is an instance again, or none is to be had; null: nothing is under way. */
  #renewal: Promise<void> | null = null
  /** Counts changes from outside, so that a renewal that was overtaken by one is dropped. */
  #epoch = 0

  constructor(options: RunnerOptions) {
    this.#options = options
  }

  /** True while an instance that trapped is being replaced. */
  get renewing(): boolean {
    return this.#renewal !== null
  }

  /** Takes the instance that further calls run on. */
  use(guest: Guest): void {
    this.#epoch++
    this.#guest = guest
    this.#renewal = null
  }

  /** Lets go of the instance: further calls fail. */
  stop(): void {
    this.#epoch++
    this.#guest = null
    this.#renewal = null
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
    if (this.#renewal === null) return this.#failed(hook, 'the plugin is not running')
    return this.#renewal.then(() => this.run(hook, session, input, read))
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
    this.calls++
    let verdict: Verdict | Failure
    try {
      const returned = guest.call(hook, session, input)
      verdict = Number.isNaN(returned)
        ? { kind: 'failure', cause: guest.fault }
        : read(returned, guest.host.payload, guest.host.belongings.name)
      guest.finish()
    } catch (thrown) {
      verdict = { kind: 'failure', cause: `trapped: ${sentenceOf(thrown)}` }
      this.#replace(guest)
    }
    this.spentMs += performance.now() - startedAt
    return isFailure(verdict) ? this.#failed(hook, verdict.cause) : verdict
  }

  #failed(hook: HookName, cause: string): Failure {
    this.failures++
    this.lastError = `${hook}: ${cause}`
    return { kind: 'failure', cause: this.lastError }
  }

  /** The instance's memory is in no known state any more; sessions and the store are not in it. */
  #replace(guest: Guest): void {
    guest.host.end()
    this.#guest = null
    const epoch = this.#epoch
    this.#renewal = this.#options.renew().then(
      (made) => this.#renewed(epoch, made),
      (thrown) => {
        this.lastError = `no new instance: ${sentenceOf(thrown)}`
        this.#options.journal.warn(this.lastError)
        this.#renewed(epoch, null)
      },
    )
  }

  #renewed(epoch: number, made: Guest | null): void {
    if (epoch !== this.#epoch) return
    this.#renewal = null
    this.#guest = made
    if (made === null) this.#options.onBroken()
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
