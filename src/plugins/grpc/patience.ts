/**
 * A wait for an answer that only counts time in which the answer could have been heard: while this
 * process is busy or stopped itself, nobody else is late.
 */
import type { Clock } from '../clock.ts'

/** In how many steps the time passes; what is longer than a step counts as one. */
const STEPS = 10

/** Calls `act` once after `waitMs`; what it returns takes the call back. */
export function afterListening(clock: Clock, waitMs: number, act: () => void): () => void {
  let left = STEPS
  let takeBack = (): void => undefined
  const step = (): void => {
    if (left === 0) return act()
    left--
    takeBack = clock.after(waitMs / STEPS, step)
  }
  step()
  return () => takeBack()
}
