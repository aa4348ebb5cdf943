/** Tells observers of onTick how many clients a server has, at once and then at every interval. */
import type { ObserverDesk } from './observers.ts'

export interface TickerOptions {
  readonly intervalMs: number
  readonly desk: ObserverDesk
  /** Clients connected now. */
  readonly connections: () => number
}

/** Starts ticking; returns what ends it. Ticks that a plugin is too slow for are dropped. */
export function startTicker({ intervalMs, desk, connections }: TickerOptions): () => void {
  const tick = (): void => desk.track(desk.tell('onTick', { connections: connections() }))
  tick()
  const timer = setInterval(tick, intervalMs)
  return () => clearInterval(timer)
}
