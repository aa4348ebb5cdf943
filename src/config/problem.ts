/** What is wrong with a configuration, all of it at once, each with its place. */
import { GatewayError } from '../base/errors.ts'
import type { Path } from './shape.ts'

/** One thing that is wrong. */
export interface Problem {
  /** The file, or the variable or flag, that the value comes from. */
  readonly file: string
  /** Counted from 1; 0 where the place is no file. */
  readonly line: number
  readonly column: number
  readonly path: string
  readonly message: string
  /** A known name that is close to an unknown one. */
  readonly nearest?: string
}

/** No more problems than this are listed; the rest are counted. */
const PROBLEMS_MAX = 1000

/** Where a value stands. */
export interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** `servers.default.address`, `plugins[2].env[0]`. */
export function shownPath(path: Path): string {
  let shown = ''
  for (const key of path) {
    if (/^\d+$/.test(key)) shown += `[${key}]`
    else shown += shown === '' ? key : `.${key}`
  }
  return shown
}

/** Longer texts are cut in messages. */
const SHOWN_LENGTH_MAX = 60

/** The beginning of a text of any length. */
export function clipped(text: string): string {
  return text.length > SHOWN_LENGTH_MAX ? `${text.slice(0, SHOWN_LENGTH_MAX)}…` : text
}

/** One line for one problem: `file:line:column: sentence (did you mean "x"?)`. */
export function problemLine(problem: Problem): string {
  const { file, line, column, message, nearest } = problem
  const place = line === 0 ? file : `${file}:${line}:${column}`
  const hint = nearest === undefined ? '' : ` (did you mean "${nearest}"?)`
  return `${place}: ${message}${hint}`
}

/** A configuration that cannot be used; the message has a line for every problem. */
export class ConfigError extends GatewayError {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    super('CONFIG_INVALID', problems.map(problemLine).join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** Collects problems while a configuration is read; only the first about each path counts. */
export class Problems {
  readonly #found = new Map<string, Problem>()
  #unlisted = 0

  add(place: Place, path: Path, message: string, nearest?: string): void {
    const about = path.length === 0 ? `${place.line}:${place.column}` : path.join('\n')
    const key = `${place.file}\n${about}`
    if (this.#found.has(key)) return
    if (this.#found.size >= PROBLEMS_MAX) {
      this.#unlisted += 1
      return
    }
    const { file, line, column } = place
    const problem = { file, line, column, path: shownPath(path), message }
    this.#found.set(key, nearest === undefined ? problem : { ...problem, nearest })
  }

  any(): boolean {
    return this.#found.size > 0
  }

  /** All of them in one error, by file and line. */
  error(): ConfigError {
    const sorted = [...this.#found.values()].sort(
      (a, b) => order(a.file, b.file) || a.line - b.line || a.column - b.column,
    )
    const [first] = sorted
    if (this.#unlisted > 0 && first !== undefined) {
      const message = `${this.#unlisted} more problems are not listed`
      sorted.push({ file: first.file, line: 0, column: 0, path: '', message })
    }
    return new ConfigError(sorted)
  }
}

function order(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
