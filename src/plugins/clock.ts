/** Time as the lives of plugins see it; handed in, so that tests can turn it. */

/** What tells the time and wakes at a time. */
export interface Clock {
  /** Milliseconds on a scale that never jumps. */
  now(): number
  /** Milliseconds since 1970, as the machine believes. */
  wall(): number
  /** Calls `act` once after `delayMs`; what it returns takes the call back. */
  after(delayMs: number, act: () => void): () => void
}

/** The machine's own clock; what waits for it does not keep the process alive. */
export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (delayMs, act) => {
    const timer = setTimeout(act, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
