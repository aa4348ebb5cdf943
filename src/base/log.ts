/**
 * The log: pino records as JSON lines, or as text for people on the console. No pino `transport`:
 * it starts a worker from a file that a compiled executable does not have.
 */
import { openSync } from 'node:fs'
import { resolve } from 'node:path'
import { isatty } from 'node:tty'
import { type Bindings, type Logger, pino } from 'pino'
import { GatewayError, sentenceOf } from './errors.ts'
import type { GoTimeLayout } from './go-time.ts'
import { redact } from './log-redact.ts'
import { type LogSink, logSink } from './log-sink.ts'
import { logText } from './log-text.ts'

/** What one logger group of the configuration says; the names and defaults are GatewayD's. */
export interface LogOptions {
  /** Name of the logger group; every record carries it. */
  readonly group?: string
  /** The process among several of one gateway; every record carries it. */
  readonly worker?: number
  /** `syslog` and `rsyslog` are accepted, but nothing is sent there yet. */
  readonly output?: readonly LogOutput[]
  readonly level?: LogLevel
  /** How `time` is written in JSON records. */
  readonly timeFormat?: LogTimeFormat
  readonly consoleTimeFormat?: GoTimeLayout
  readonly noColor?: boolean
  /** The file of the output `file`; it is appended to and never rotated by us. */
  readonly fileName?: string
}

export type LogOutput = 'console' | 'stdout' | 'stderr' | 'file' | 'syslog' | 'rsyslog'
export type LogTimeFormat = 'unix' | 'unixms' | 'unixmicro' | 'unixnano'
export type LogLevel =
  | 'trace'
  | 'debug'
  | 'info'
  | 'warn'
  | 'error'
  | 'fatal'
  | 'panic'
  | 'disabled'

/** How long the end of the process may wait for a slow reader of the log. */
const FLUSH_MS_MAX = 1000

const STDOUT = 1
const STDERR = 2

/**
 * Makes the logger of one group. The console is standard error, not standard output as in GatewayD:
 * standard output belongs to the results of commands. `logger.flush(done)` calls back when all
 * lines are written, after at most a second. Throws CONFIG_INVALID where the file cannot be opened.
 */
export function createLog(options: LogOptions = {}): Logger {
  const outputs = openOutputs(options)
  const everywhere = {
    write: (line: string) => {
      for (const output of outputs) output.write(line)
    },
    flush: (done: () => void) => {
      const flushed = outputs.map((output) => output.flush(FLUSH_MS_MAX))
      Promise.all(flushed).then(done, done)
    },
  }
  const time = timestampOf(options.timeFormat ?? 'unix')
  const log = pino(
    {
      base: baseOf(options),
      level: pinoLevel(options.level ?? 'info'),
      messageKey: 'message',
      timestamp: time,
      formatters: {
        level: (label) => ({ level: label }),
        log: redact,
      },
      // Errors are made plain, and stripped of secrets, by `redact` already.
      serializers: { err: (value: unknown) => value },
    },
    everywhere,
  )
  origins.set(log, { write: everywhere.write, time })
  return redactChildren(log)
}

function baseOf({ group = 'default', worker }: LogOptions): Record<string, unknown> {
  return worker === undefined ? { group } : { group, worker }
}

/** Where the lines of a logger and its children go, and how they tell the time. */
interface Origin {
  readonly write: (line: string) => void
  readonly time: () => string
}

const origins = new WeakMap<Logger, Origin>()

/** Writes records that another process has made to the outputs of a logger, as they are. */
export function relayTo(log: Logger): (line: string) => void {
  return origins.get(log)?.write ?? (() => undefined)
}

/** `message`: as it stands between quotes in JSON; `fields`: a JSON object in one line. */
export type WritePrinted = (level: LogLevel, message: string, fields: string) => void

/**
 * Writes records that are JSON already, and may be printed as they are: the same lines that pino
 * makes of `{ fields }`, at a quarter of the cost. Whoever calls has asked whether the level is
 * enabled. Null for a logger that was not made here.
 */
export function printedTo(log: Logger): WritePrinted | null {
  const origin = origins.get(log)
  if (origin === undefined) return null
  const { write, time } = origin
  const bound: unknown = Reflect.get(log, pino.symbols.chindingsSym)
  return (level, message, fields) => {
    write(`{"level":"${level}"${time()}${bound},"fields":${fields},"message":"${message}"}\n`)
  }
}

/** A child keeps the level that its parent had when it was made; so the living ones are known. */
const families = new WeakMap<Logger, readonly WeakRef<Logger>[]>()

/** pino's formatters do not see what a child logger is bound to; children inherit this method. */
function redactChildren(log: Logger): Logger {
  const child = log.child
  const children: WeakRef<Logger>[] = []
  families.set(log, children)
  log.child = function bind(this: Logger, bindings: Bindings, options?: object) {
    const made = Reflect.apply(child, this, [redact(bindings), options])
    const origin = origins.get(this)
    if (origin !== undefined) origins.set(made, origin)
    for (let at = children.length; at-- > 0; ) {
      if (children[at]!.deref() === undefined) children.splice(at, 1)
    }
    children.push(new WeakRef<Logger>(made))
    return made
  }
  return log
}

/** Has a logger and its children write what is of this level or above from now on. */
export function setLevel(log: Logger, level: LogLevel): void {
  log.level = pinoLevel(level)
  for (const child of families.get(log) ?? []) {
    const living = child.deref()
    if (living !== undefined) living.level = pinoLevel(level)
  }
}

/** The level of the same strictness that pino has. */
function pinoLevel(level: LogLevel): string {
  if (level === 'panic') return 'fatal'
  return level === 'disabled' ? 'silent' : level
}

/** The text that pino puts into a record for its time; the clock knows milliseconds. */
function timestampOf(format: LogTimeFormat): () => string {
  switch (format) {
    case 'unix':
      return () => `,"time":${Math.floor(Date.now() / 1000)}`
    case 'unixms':
      return () => `,"time":${Date.now()}`
    case 'unixmicro':
      return () => `,"time":${Date.now()}000`
    case 'unixnano':
      return () => `,"time":${Date.now()}000000`
  }
}

function openOutputs(options: LogOptions): readonly LogSink[] {
  const wanted = new Set(options.output ?? ['console'])
  const outputs: LogSink[] = []
  if (wanted.has('stdout')) outputs.push(logSink(STDOUT, lostRecord))
  if (wanted.has('stderr')) outputs.push(logSink(STDERR, lostRecord))
  if (wanted.has('file')) outputs.push(openFile(options))
  // A gateway that only logs where we cannot send yet must not run without any log.
  if (wanted.has('console') || outputs.length === 0) outputs.push(openConsole(options))
  return outputs
}

function openConsole(options: LogOptions): LogSink {
  const format = {
    colour: options.noColor !== true && !process.env['NO_COLOR'] && isatty(STDERR),
    timeFormat: options.consoleTimeFormat ?? 'RFC3339',
  }
  const sink = logSink(STDERR, (count) => logText(lostRecord(count), new Date(), format))
  return {
    write: (line) => sink.write(logText(line, new Date(), format)),
    flush: (boundMs) => sink.flush(boundMs),
  }
}

const files = new Map<string, LogSink>()

/** One descriptor a file, however many groups write to it and however often we are reloaded. */
function openFile(options: LogOptions): LogSink {
  const path = resolve(options.fileName ?? 'gatewayd.log')
  const known = files.get(path)
  if (known !== undefined) return known
  try {
    // Log lines may carry statements: no permission for anybody but owner and group.
    const sink = logSink(openSync(path, 'a', 0o640), lostRecord)
    files.set(path, sink)
    return sink
  } catch (cause) {
    throw new GatewayError(
      'CONFIG_INVALID',
      `loggers.${options.group ?? 'default'}.fileName: cannot append to ${path} ` +
        `(${sentenceOf(cause)}); make its folder writable for this user or name another file`,
      { cause },
    )
  }
}

function lostRecord(count: number): string {
  const message = 'log lines were lost: the reader of this log is too slow, or its disk is full'
  return `${JSON.stringify({ level: 'warn', count, message })}\n`
}
