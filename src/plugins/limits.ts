/** What an operator may bound of a WASM plugin, entry by entry, and how often a bound was hit. */

import { NamedCounts } from '../metrics/named-counts.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** The limits of one plugin; which keys they are set by, and why, stands in the schema. */
export interface PluginLimits {
  /** Longest call of a hook, in milliseconds of the loop. */
  readonly callDeadlineMs: number
  /** Longest start, in milliseconds of the loop: start section, `_initialize` and `describe`. */
  readonly startDeadlineMs: number
  /** Percent of any one second that the calls of the plugin may take of the loop. */
  readonly cpuShareMax: number
  readonly memoryBytesMax: number
  readonly tableElementsMax: number
  readonly moduleBytesMax: number
  /** The payload of one verdict. */
  readonly outputBytesMax: number
  /** One log line; all lines of one call together may be 16 times as long. */
  readonly logBytesMax: number
  /** Lines of any one second. */
  readonly logLinesMax: number
  /** What is kept with one session: keys and values together. */
  readonly sessionBytesMax: number
  /** What is kept in the plugin's store: keys and values together. */
  readonly kvBytesMax: number
  /** The variables of an Extism PDK: keys and values together. */
  readonly variablesBytesMax: number
  /** Series that the plugin's own metrics may fill. */
  readonly metricSeriesMax: number
  /** Signals that one call may send. */
  readonly signalsMax: number
}

/** What holds where an entry says nothing; the defaults of the schema, for those without one. */
export const DEFAULT_LIMITS: PluginLimits = {
  callDeadlineMs: 50,
  startDeadlineMs: 500,
  cpuShareMax: 50,
  memoryBytesMax: 64 * MIB,
  tableElementsMax: 100_000,
  moduleBytesMax: 64 * MIB,
  outputBytesMax: 16 * MIB,
  logBytesMax: 64 * KIB,
  logLinesMax: 20_000,
  sessionBytesMax: 64 * KIB,
  kvBytesMax: 16 * MIB,
  variablesBytesMax: 1 * MIB,
  metricSeriesMax: 1000,
  signalsMax: 64,
}

/** Every limit by its key in the file; the last two are fixed: see wasm/limits.ts. */
export const LIMIT_NAMES = [
  'callDeadline',
  'startDeadline',
  'cpuShareMax',
  'memoryBytesMax',
  'tableElementsMax',
  'moduleBytesMax',
  'outputBytesMax',
  'logBytesMax',
  'logLinesMax',
  'sessionBytesMax',
  'kvBytesMax',
  'variablesBytesMax',
  'metricSeriesMax',
  'signalsMax',
  'hostCallBytesMax',
  'pdkMemory',
] as const

/** The name that a limit goes by in metrics and errors. */
export type LimitName = (typeof LIMIT_NAMES)[number]

/** How often one plugin hit each of its limits, over all its instances. */
export type LimitHits = NamedCounts<LimitName>

/** None yet. */
export function noLimitHits(): LimitHits {
  return new NamedCounts(LIMIT_NAMES)
}
