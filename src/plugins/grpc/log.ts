/** Turns what a plugin prints into records of our log: one line, one record. */
import type { Logger } from 'pino'
import { isPlainRecord } from './plain.ts'

/** A longer line is passed on in pieces, as text. */
export const LINE_CHARACTERS_MAX = 65_536

/** The levels that plugins use, which are pino's as well. */
export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const
export type Level = (typeof LEVELS)[number]

export interface LogRecord {
  readonly level: Level
  readonly message: string
  /** What the plugin said beside the message; ours goes elsewhere, so nothing can be forged. */
  readonly fields: Readonly<Record<string, unknown>> | null
}

/** Cuts a stream of bytes, wherever it was cut before, into lines. */
export class Lines {
  readonly #take: (line: string, whole: boolean) => void
  readonly #decoder = new TextDecoder()
  #rest = ''
  #whole = true

  /** `take` gets every line, and whether it is a whole one or a piece of a too long one. */
  constructor(take: (line: string, whole: boolean) => void) {
    this.#take = take
  }

  push(chunk: Uint8Array): void {
    const text = this.#rest + this.#decoder.decode(chunk, { stream: true })
    let start = 0
    let end = text.indexOf('\n', this.#rest.length)
    while (end >= 0) {
      this.#give(text.slice(start, end))
      start = end + 1
      end = text.indexOf('\n', start)
    }
    this.#rest = this.#cut(text.slice(start))
  }

  /** Gives the last line, where no line feed ends it. */
  end(): void {
    if (this.#rest !== '') this.#give(this.#rest)
    this.#rest = ''
  }

  #give(line: string): void {
    const text = this.#cut(line)
    this.#take(text.endsWith('\r') ? text.slice(0, -1) : text, this.#whole)
    this.#whole = true
  }

  /** Gives the pieces of a too long line, and returns what is left of it. */
  #cut(line: string): string {
    let text = line
    while (text.length > LINE_CHARACTERS_MAX) {
      this.#whole = false
      this.#take(text.slice(0, LINE_CHARACTERS_MAX), false)
      text = text.slice(LINE_CHARACTERS_MAX)
    }
    return text
  }
}

/** The level of this name, or undefined. */
export function levelNamed(name: unknown): Level | undefined {
  return LEVELS.find((level) => level === name)
}

function parsed(line: string): Record<string, unknown> | null {
  if (!line.startsWith('{')) return null
  try {
    const json: unknown = JSON.parse(line)
    return isPlainRecord(json) ? json : null
  } catch {
    return null
  }
}

/** hclog's JSON: its own keys begin with @, all others are fields. */
function structured(line: string): LogRecord | null {
  const json = parsed(line)
  if (json === null) return null
  const level = levelNamed(json['@level'])
  if (level === undefined) return null
  const fields: Record<string, unknown> = Object.create(null)
  for (const [key, value] of Object.entries(json)) {
    if (key === '@level' || key === '@message') continue
    fields[key.startsWith('@') ? key.slice(1) : key] = value
  }
  const message = json['@message']
  return {
    level,
    message: typeof message === 'string' ? message : '',
    fields: Object.keys(fields).length === 0 ? null : fields,
  }
}

/**
 * Makes the reader of one process's standard error. Once a Go program panics, the plain lines that
 * follow belong to the panic and are errors.
 */
export function recordReader(): (line: string, whole: boolean) => LogRecord | null {
  let panicking = false
  return (line, whole) => {
    if (line.trim() === '') return null
    if (!whole) return { level: 'debug', message: line, fields: null }
    const record = structured(line)
    if (record !== null) return record
    const prefix = /^\[(TRACE|DEBUG|INFO|WARN|ERROR)\]\s*/.exec(line)
    const level = levelNamed(prefix?.[1]?.toLowerCase())
    if (prefix !== null && level !== undefined) {
      return { level, message: line.slice(prefix[0].length), fields: null }
    }
    panicking ||= line.startsWith('panic: ') || line.startsWith('fatal error: ')
    // JSON without a level is no panic, only foreign.
    const isError = panicking && parsed(line) === null
    return { level: isError ? 'error' : 'debug', message: line, fields: null }
  }
}

/** Writes what a plugin printed or asked to be logged, its own words apart from ours. */
export function writeRecord(log: Logger, plugin: string, record: LogRecord): void {
  const ours = record.fields === null ? { plugin } : { plugin, fields: record.fields }
  log[record.level](ours, record.message)
}
