/**
 * Whether new sessions go to an upstream. One failed attempt makes it `suspected`: it is left out
 * while others are there, and a probe follows at once. When as many attempts have failed as the
 * configuration gives a dial, it is `out`, which is logged. One answered probe brings it back.
 *
 * ```
 * up        --attempt failed--> suspected   --all attempts failed--> out
 * suspected --probe answered--> up          --probes used up-------> out
 * out       --probe answered--> up
 * ```
 */
import type { Probed } from './probe.ts'

/** The wait before the second probe in a row that is not answered; it doubles with each. */
export const PROBE_BACKOFF_MS = 1000
export const PROBE_BACKOFF_MS_MAX = 30_000
/** Between probes whose findings are awaited; it doubles with each that is not answered. */
export const PROBE_HURRY_MS = 500
export const PROBE_HURRY_MS_MAX = 2000

export type HealthState = 'up' | 'suspected' | 'out'

export interface Watching {
  /** Between probes while it is up; 0: only what is not up is probed. */
  readonly periodMs: number
  /** The first probe is made at once, and not after a period. */
  readonly atOnce: boolean
  /** Settles in a bounded time, and ends early when it is aborted. */
  readonly probe: (aborted: AbortSignal) => Promise<Probed>
  /** Told of each change from or to `out`; "" is the cause of coming back. */
  readonly changed: (state: 'up' | 'out', cause: string) => void
  /** Told of whatever an attempt or a probe has found. */
  readonly found?: () => void
}

export class Health {
  /** What the last attempt or probe found; null before the first. */
  reachable: boolean | null = null
  lastError = ''
  probes = 0
  probeFailures = 0
  #state: HealthState = 'up'
  /** Probes in a row that were not answered. */
  #unanswered = 0
  readonly #attemptsMax: number
  #watching: Watching | null = null
  #timer: Timer | null = null
  #probing: AbortController | null = null
  /** Settles when the last probe has ended. */
  #ended: Promise<void> = Promise.resolve()
  #hurried = false
  /** When the last probe began, in milliseconds. */
  #probedAtMs = Number.NEGATIVE_INFINITY
  /** Something has happened since the probe under way began. */
  #stale = false

  /** `attemptsMax`: as many as a dial makes. */
  constructor(attemptsMax: number) {
    this.#attemptsMax = attemptsMax
  }

  get state(): HealthState {
    return this.#state
  }

  /** True while new sessions go to it. */
  get usable(): boolean {
    return this.#state === 'up'
  }

  /** Begins to probe, or goes on in another way. */
  watch(watching: Watching): void {
    void this.stop()
    this.#watching = watching
    if (watching.atOnce || !this.usable) this.#probe()
    else this.#schedule(watching.periodMs)
  }

  /**
   * Ends all probes; idempotent. What is known stays known, and what the probe under way finds is
   * not; the promise settles when that has left its server in good order, which is soon.
   */
  stop(): Promise<void> {
    this.#watching = null
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#probing?.abort()
    this.#probing = null
    return this.#ended
  }

  /** A dial made a connection. A server that hangs accepts those too, so a probe must agree. */
  connected(): void {
    this.reachable = true
    if (this.usable) return
    if (this.#watching === null) this.#state = 'up'
    else this.#probe()
  }

  /** A dial takes its time: a probe finds out whether that is the upstream's fault. */
  doubt(): void {
    if (this.usable) this.#probe()
  }

  /** Something has happened that a probe should look into, soon: at most one in a while. */
  recheck(): void {
    this.#stale = this.#probing !== null
    if (this.#watching === null || this.#stale) return
    const waitMs = this.#probedAtMs + PROBE_HURRY_MS - performance.now()
    if (waitMs <= 0) this.#probe()
    else this.#probeIn(waitMs)
  }

  /** What probes find is awaited: they follow each other closely while that is so. */
  hurry(hurried: boolean): void {
    if (hurried === this.#hurried) return
    this.#hurried = hurried
    if (hurried) this.recheck()
  }

  /** One attempt of a dial failed. */
  attemptFailed(cause: string): void {
    this.#failed(cause)
    if (this.#state === 'up') this.#suspect()
    this.#watching?.found?.()
  }

  /** All attempts of a dial failed. */
  dialFailed(cause: string): void {
    this.#failed(cause)
    if (this.#state === 'up') this.#suspect()
    this.#out(cause)
    this.#watching?.found?.()
  }

  #failed(cause: string): void {
    this.reachable = false
    this.lastError = cause
  }

  #suspect(): void {
    this.#state = 'suspected'
    this.#unanswered = 0
    this.#probe()
  }

  #out(cause: string): void {
    if (this.#state === 'out') return
    this.#state = 'out'
    this.#watching?.changed('out', cause)
  }

  /** At most one at a time: what another would find, the one under way finds too. */
  #probe(): void {
    const watching = this.#watching
    if (watching === null || this.#probing !== null) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    const probing = new AbortController()
    this.#probing = probing
    this.#probedAtMs = performance.now()
    this.#stale = false
    this.#ended = watching.probe(probing.signal).then(
      (probed) => this.#probed(probing, probed),
      (thrown: unknown) => this.#probed(probing, { kind: 'failed', cause: String(thrown) }),
    )
  }

  #probed(probing: AbortController, probed: Probed): void {
    if (this.#probing !== probing) return
    this.#probing = null
    this.probes += 1
    if (probed.kind === 'failed') this.#unansweredBy(probed.cause)
    else this.#answered()
    this.#watching?.found?.()
  }

  #answered(): void {
    const wasOut = this.#state === 'out'
    this.#state = 'up'
    this.#unanswered = 0
    this.reachable = true
    this.#schedule(this.#watching?.periodMs ?? 0)
    if (wasOut) this.#watching?.changed('up', '')
  }

  #unansweredBy(cause: string): void {
    this.probeFailures += 1
    this.#failed(cause)
    if (this.#state === 'up') {
      this.#state = 'suspected'
      this.#unanswered = 0
    }
    this.#schedule(this.#backoff(this.#unanswered))
    this.#unanswered += 1
    if (this.#unanswered >= this.#attemptsMax) this.#out(cause)
  }

  /** Who asks for frequent probes does not want to wait longer for those that matter most. */
  #backoff(unanswered: number): number {
    const wait = Math.min(PROBE_BACKOFF_MS * 2 ** unanswered, PROBE_BACKOFF_MS_MAX)
    const periodMs = this.#watching?.periodMs ?? 0
    return periodMs === 0 ? wait : Math.min(wait, periodMs)
  }

  #schedule(afterMs: number): void {
    const soon = this.#hurried || this.#stale
    if (this.#watching === null || (afterMs === 0 && this.usable && !soon)) return
    const hurry = Math.min(PROBE_HURRY_MS * 2 ** this.#unanswered, PROBE_HURRY_MS_MAX)
    this.#probeIn(soon ? Math.min(afterMs || hurry, hurry) : afterMs)
  }

  #probeIn(waitMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#probe(), waitMs)
    this.#timer.unref()
  }
}
