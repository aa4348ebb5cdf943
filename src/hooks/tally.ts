/** Counts what became of steps, and logs failures without flooding the log. */
import type { Logger } from 'pino'

/** A failure of the same kind is logged once in this time; the rest is counted. */
const LOG_INTERVAL_MS = 1000
/** Kinds of failure remembered for the interval; a plugin cannot make more than it has hooks. */
const KINDS_MAX = 10_000

interface Count {
  readonly plugin: string
  readonly hook: string
  count: number
}

export class HookTally {
  readonly log: Logger
  readonly #failures = new Map<string, Count>()
  readonly #drops = new Map<string, Count>()
  readonly #denials = new Map<string, number>()
  readonly #logged = new Map<string, { at: number; held: number }>()

  constructor(log: Logger) {
    this.log = log
  }

  stepFailed(plugin: string, hook: string, cause: string): void {
    add(this.#failures, plugin, hook)
    this.limited(`${plugin} ${hook}`, `plugin "${plugin}" failed at ${hook}: ${cause}`)
  }

  /** An observer could not be told. */
  failed(plugin: string, hook: string): void {
    add(this.#failures, plugin, hook)
  }

  dropped(plugin: string, hook: string): void {
    add(this.#drops, plugin, hook)
  }

  denied(hook: string): void {
    this.#denials.set(hook, (this.#denials.get(hook) ?? 0) + 1)
  }

  /** Warns, at most once an interval for each kind. */
  limited(kind: string, sentence: string): void {
    const now = performance.now()
    const last = this.#logged.get(kind)
    if (last !== undefined && now - last.at < LOG_INTERVAL_MS) {
      last.held += 1
      return
    }
    if (last === undefined && this.#logged.size >= KINDS_MAX) this.#logged.clear()
    this.log.warn(last?.held ? { alike: last.held } : {}, sentence)
    this.#logged.set(kind, { at: now, held: 0 })
  }

  failures(): readonly Count[] {
    return [...this.#failures.values()]
  }

  drops(): readonly Count[] {
    return [...this.#drops.values()]
  }

  denials(): readonly { readonly hook: string; readonly count: number }[] {
    return [...this.#denials].map(([hook, count]) => ({ hook, count }))
  }
}

function add(counts: Map<string, Count>, plugin: string, hook: string): void {
  const key = `${plugin} ${hook}`
  const known = counts.get(key)
  if (known === undefined) counts.set(key, { plugin, hook, count: 1 })
  else known.count += 1
}
