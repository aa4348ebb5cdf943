/** Reloads one after the other: what is asked for, how each went, and how many there were. */
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import type { ReloadReport } from './admin/report.ts'
import { GatewayError, sentenceOf } from './base/errors.ts'
import { setLevel } from './base/log.ts'
import type { LoggerConfig } from './config/schema.ts'
import type { ReloadCounts } from './readings.ts'

export interface ReloadsOptions {
  readonly log: Logger
  /** The number of the generation that is current. */
  readonly generation: () => number
  /** Takes the configuration into use as it is now; throws where nothing has changed. */
  readonly replace: () => Promise<readonly string[]>
  /** Told of the beginning and the end of each. */
  readonly begun: () => void
  readonly over: () => void
}

export class Reloads {
  readonly counts: ReloadCounts = { done: 0, refused: 0, lastError: '' }
  readonly #options: ReloadsOptions
  #running: Promise<ReloadReport> | null = null
  #next: Promise<ReloadReport> | null = null

  constructor(options: ReloadsOptions) {
    this.#options = options
  }

  /** Resolves when the one that is under way is over. */
  async settled(): Promise<void> {
    await this.#running
  }

  /** Never rejects. What is asked while one is under way is one more, together. */
  run(): Promise<ReloadReport> {
    const begin = (): Promise<ReloadReport> => {
      this.#next = null
      this.#running = this.#run()
      return this.#running
    }
    this.#next ??= (this.#running ?? Promise.resolve()).then(begin)
    return this.#next
  }

  async #run(): Promise<ReloadReport> {
    const { log, generation: current, replace, begun, over } = this.#options
    const startedAt = performance.now()
    begun()
    const report = (
      parts: Pick<ReloadReport, 'outcome' | 'changes' | 'problems'>,
    ): ReloadReport => ({
      ...parts,
      generation: current(),
      tookMs: Math.round(performance.now() - startedAt),
    })
    try {
      const changes = await replace()
      this.counts.done += 1
      this.counts.lastError = ''
      const done = report({ outcome: 'done', changes, problems: [] })
      const { generation, tookMs } = done
      log.info({ generation, tookMs, changes }, 'the configuration was reloaded')
      return done
    } catch (thrown) {
      const sentence = sentenceOf(thrown)
      this.counts.refused += 1
      this.counts.lastError = sentence
      // A sentence of ours says it all; behind anything else is a fault of ours.
      const facts = thrown instanceof GatewayError ? {} : { err: thrown }
      log.error(facts, `the configuration was not reloaded, nothing has changed: ${sentence}`)
      return report({ outcome: 'refused', changes: [], problems: sentence.split('\n') })
    } finally {
      over()
    }
  }
}

/** The log is open for good, so that only its level can follow what is set for it. */
export function followLogger(log: Logger, opened: LoggerConfig, settled: LoggerConfig): void {
  setLevel(log, settled.level)
  if (isDeepStrictEqual({ ...opened, level: settled.level }, settled)) return
  const problem = 'keys of loggers.default other than its level have changed: without effect'
  log.warn(`${problem} until the next start, for the log is open already`)
}
