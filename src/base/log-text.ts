/** Makes a line for people out of one JSON record of the log, safe to print on a terminal. */
import { formatGoTime, type GoTimeLayout } from './go-time.ts'

export interface LogTextOptions {
  readonly colour: boolean
  readonly timeFormat: GoTimeLayout
}

const LEVELS: Readonly<Record<string, { readonly short: string; readonly colour: number }>> = {
  trace: { short: 'TRC', colour: 90 },
  debug: { short: 'DBG', colour: 90 },
  info: { short: 'INF', colour: 32 },
  warn: { short: 'WRN', colour: 33 },
  error: { short: 'ERR', colour: 31 },
  fatal: { short: 'FTL', colour: 31 },
}

/** Printed in front, or left to the machines that read JSON. */
const NOT_AS_FIELDS = new Set(['level', 'time', 'message', 'group'])

/** One record as `TIME LEVEL message key=value …`, with a line feed; not JSON: escaped as it is. */
export function logText(line: string, moment: Date, options: LogTextOptions): string {
  const record = parseRecord(line)
  if (record === null) return `${escapeControls(line.trimEnd())}\n`
  const level = LEVELS[String(record['level'])] ?? { short: '???', colour: 0 }
  const parts = [
    paint(90, formatGoTime(options.timeFormat, moment), options.colour),
    paint(level.colour, level.short, options.colour),
    escapeControls(String(record['message'] ?? '')),
  ]
  let stack = ''
  for (const [key, value] of Object.entries(record)) {
    if (NOT_AS_FIELDS.has(key)) continue
    stack += stackOf(value)
    parts.push(`${paint(36, `${escapeControls(key)}=`, options.colour)}${valueText(value)}`)
  }
  return `${parts.join(' ')}\n${stack}`
}

/**
 * The text with every control character written out, also those that turn the direction of
 * writing: a log line may carry what a client sent, and a terminal obeys what it is sent.
 */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, escapeOne)
}

// C0, DEL and C1; line and paragraph separators; marks of direction; the byte order mark.
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

function escapeOne(character: string): string {
  if (character === '\n') return '\\n'
  if (character === '\r') return '\\r'
  if (character === '\t') return '\\t'
  const code = character.charCodeAt(0)
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`
  return `\\u${code.toString(16).padStart(4, '0')}`
}

function parseRecord(line: string): Record<string, unknown> | null {
  try {
    const parsed: unknown = JSON.parse(line)
    return isRecord(parsed) ? parsed : null
  } catch {
    return null
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function paint(colour: number, text: string, colours: boolean): string {
  return colours && colour !== 0 ? `\u001b[${colour}m${text}\u001b[0m` : text
}

/** Plain words stand bare; all else is quoted as JSON does, so that values cannot be confused. */
function valueText(value: unknown): string {
  if (typeof value === 'string') {
    return /^[\w./:@+-]+$/.test(value) ? value : escapeControls(JSON.stringify(value))
  }
  if (isRecord(value) && typeof value['message'] === 'string' && 'type' in value) {
    return escapeControls(JSON.stringify(value['message']))
  }
  return escapeControls(JSON.stringify(value))
}

/** The stack of a surprise, line by line, set in so that it cannot pass for a record. */
function stackOf(value: unknown): string {
  if (!isRecord(value) || typeof value['stack'] !== 'string') return ''
  const lines = value['stack'].split('\n').slice(1)
  return lines.map((line) => `    ${escapeControls(line.trim())}\n`).join('')
}
