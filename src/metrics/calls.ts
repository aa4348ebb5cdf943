/** The calls of one plugin, hook by hook: how many, how many failed, and how long they took. */
import { emptyBuckets, observe } from './histogram.ts'

/** Bounds of the latency histogram in seconds: from a microsecond, what a WASM call takes. */
export const LATENCY_BOUNDS_SECONDS: readonly number[] = [
  1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1,
  0.5, 1, 5, 10,
]
/** The same in milliseconds, in which calls are measured. */
const BOUNDS_MS = LATENCY_BOUNDS_SECONDS.map((seconds) => seconds * 1000)

/** What one hook has counted. */
export interface HookCalls {
  readonly hook: string
  failures: number
  /** Those of the failures that ran out of time. */
  timeouts: number
  /** Milliseconds. */
  spentMs: number
  /** By LATENCY_BOUNDS_SECONDS. */
  readonly buckets: number[]
}

export class CallCounts {
  calls = 0
  failures = 0
  spentMs = 0
  readonly #hooks = new Map<string, HookCalls>()

  /** A call that took its time, whatever came of it. */
  took(hook: string, milliseconds: number): void {
    this.calls++
    this.spentMs += milliseconds
    const counts = this.#of(hook)
    counts.spentMs += milliseconds
    observe(counts.buckets, BOUNDS_MS, milliseconds)
  }

  /** A call that failed, or that was not made because the plugin could not be called. */
  failed(hook: string): void {
    this.failures++
    this.#of(hook).failures++
  }

  /** A call that failed because it ran out of time; it is counted by `failed` as well. */
  timedOut(hook: string): void {
    this.#of(hook).timeouts++
  }

  /** All hooks that were called. */
  hooks(): readonly HookCalls[] {
    return [...this.#hooks.values()]
  }

  #of(hook: string): HookCalls {
    const known = this.#hooks.get(hook)
    if (known !== undefined) return known
    const made = { hook, failures: 0, timeouts: 0, spentMs: 0, buckets: emptyBuckets(BOUNDS_MS) }
    this.#hooks.set(hook, made)
    return made
  }
}
