/** The ticks that plugins are told of: those of one generation at a time. */
import type { Generation } from './generation.ts'
import { startTicker } from './hooks/ticker.ts'

export class Tickers {
  #stops: readonly (() => void)[] = []

  /** One for each server that asks for it, in place of those before. */
  start({ config, services, desk }: Generation): void {
    this.stop()
    this.#stops = services.flatMap(({ group, listener }) => {
      const { enableTicker, tickInterval } = config.servers[group]!
      if (!enableTicker) return []
      const connections = (): number => listener.sessionsEverywhere
      return [startTicker({ intervalMs: tickInterval, desk, connections })]
    })
  }

  stop(): void {
    for (const stop of this.#stops) stop()
    this.#stops = []
  }
}
