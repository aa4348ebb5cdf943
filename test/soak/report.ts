/** What a soak has found, for people and for programs. */
import { aligned } from '../bench/report.ts'
import {
  BOUNDS,
  type Figure,
  JUDGED_MINUTES_MIN,
  minutesOf,
  sampleAt,
  slopePerHour,
} from './judge.ts'
import type { PluginName } from './options.ts'
import type { Sample } from './sample.ts'

const MEBIBYTE = 1024 * 1024
const PARTS = [0.1, 0.5, 1] as const

export interface Outcome {
  readonly plugin: PluginName
  readonly connections: number
  readonly samples: readonly Sample[]
  /** Whatever is wrong, in words; none where the plugin has stood the soak. */
  readonly faults: readonly string[]
}

const mebibytes = (bytes: number): string => (bytes / MEBIBYTE).toFixed(1)

/** One line for all plugins: how far they are, and what they hold. */
export function progressLine(minutes: number, outcomes: readonly Outcome[]): string {
  const parts = outcomes.map(({ plugin, samples }) => {
    const last = samples.at(-1)
    if (last === undefined) return `${plugin}: -`
    const bad = last.wrong + last.failures
    const words = bad === 0 ? '' : `, ${last.wrong} WRONG, ${last.failures} FAILURES`
    return `${plugin} ${last.statements}, ${mebibytes(last.memoryBytes)} MiB${words}`
  })
  return `${minutes.toFixed(1).padStart(6)} min  ${parts.join(' · ')}`
}

/** The table at the end. */
export function table(outcomes: readonly Outcome[]): string {
  const titles = [
    'plugin',
    'statements',
    'wrong',
    'failures',
    ...PARTS.map((part) => `MiB at ${100 * part} %`),
    'MiB/h',
    'plugin MiB',
    'MiB/h',
    'descriptors',
  ]
  return aligned([titles, ...outcomes.map(rowOf)])
}

function rowOf({ plugin, samples }: Outcome): string[] {
  const last = samples.at(-1)
  if (last === undefined) return [plugin, '-']
  const slope = (figure: Figure): string => mebibytes(slopePerHour(samples, figure))
  return [
    plugin,
    String(last.statements),
    String(last.wrong),
    String(last.failures),
    ...PARTS.map((part) => mebibytes(sampleAt(samples, part)?.memoryBytes ?? 0)),
    slope('memoryBytes'),
    mebibytes(last.guestBytes),
    slope('guestBytes'),
    PARTS.map((part) => sampleAt(samples, part)?.descriptors ?? 0).join(' '),
  ]
}

/** What the table says and what it leaves out, as one object. */
export function recordOf({ plugin, connections, samples, faults }: Outcome) {
  const last = samples.at(-1)
  const figures = Object.keys(BOUNDS) as Figure[]
  const at = (figure: Figure): (number | null)[] =>
    PARTS.map((part) => sampleAt(samples, part)?.[figure] ?? null)
  return {
    plugin,
    minutes: minutesOf(samples),
    statements: last?.statements ?? 0,
    connections,
    wrong: last?.wrong ?? 0,
    failures: last?.failures ?? 0,
    figures: Object.fromEntries(
      figures.map((figure) => [figure, { at: at(figure), perHour: slopePerHour(samples, figure) }]),
    ),
    faults,
  }
}

/** The verdict, a line a plugin. */
export function verdictLines(outcomes: readonly Outcome[]): string[] {
  const lines = outcomes.flatMap(({ plugin, faults }) =>
    faults.length === 0
      ? [`met: ${plugin}`]
      : faults.map((fault) => `NOT MET: ${plugin}: ${fault}`),
  )
  const isJudged = outcomes.every(({ samples }) => minutesOf(samples) >= JUDGED_MINUTES_MIN)
  return isJudged ? lines : [...lines, `growth: not judged below ${JUDGED_MINUTES_MIN} minutes`]
}
