/** What a gateway holds and has counted at one moment. */
import { readdirSync } from 'node:fs'
import { memoryBytes } from '../bench/processor.ts'

export interface Sample {
  /** Since the load began. */
  readonly atMs: number
  readonly statements: number
  readonly wrong: number
  /** Resident. */
  readonly memoryBytes: number
  /** Of the plugin's instance, which never shrinks. */
  readonly guestBytes: number
  readonly descriptors: number
  /** What must not be counted while everybody behaves. */
  readonly failures: number
}

const FAILURES = [
  'postern_step_failures_total',
  'postern_plugin_failures_total',
  'postern_plugin_restarts_total',
  'postern_plugin_traps_total',
  'postern_plugin_deadline_hits_total',
  'postern_plugin_limit_hits_total',
  'postern_observer_dropped_total',
  'postern_internal_errors_total',
  'postern_protocol_violations_total',
] as const

/** The numbers of a metrics page. */
export class Page {
  readonly #lines: readonly string[]

  constructor(text: string) {
    this.#lines = text.split('\n').filter((line) => !line.startsWith('#'))
  }

  /** The sum over all labels; 0 where there is no such number. */
  sum(name: string): number {
    return this.#lines
      .filter((line) => /^\w+/.exec(line)?.[0] === name)
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  }

  /** Each of them that is not 0, as on the page. */
  lines(name: string): string[] {
    return this.#lines.filter((line) => /^\w+/.exec(line)?.[0] === name && !line.endsWith(' 0'))
  }

  /** Failures of every kind that were counted, as lines of the page. */
  failures(): string[] {
    return FAILURES.flatMap((name) => this.lines(name))
  }
}

export async function readPage(metricsPort: number): Promise<Page> {
  const answer = await fetch(`http://127.0.0.1:${metricsPort}/metrics`)
  return new Page(await answer.text())
}

/** What the process and its page tell. */
export function readSample(
  pid: number,
  page: Page,
  counted: Pick<Sample, 'atMs' | 'statements' | 'wrong'>,
): Sample {
  return {
    ...counted,
    memoryBytes: memoryBytes(pid),
    guestBytes: page.sum('postern_plugin_memory_bytes'),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    failures: FAILURES.reduce((sum, name) => sum + page.sum(name), 0),
  }
}
