/** Turns raw rows into medians, ratios and a judgement against the targets. Pure. */
import type { TargetName } from './targets.ts'

export interface Row {
  readonly round: number
  readonly cell: string
  readonly unit: string
  readonly target: TargetName
  readonly count: number
  readonly perSecond: number
  /** Microseconds of processor for one unit; null for the database itself. */
  readonly microsEach: number | null
  /** The most memory that the target held, where it was watched. */
  readonly peakMegabytes?: number
  /** Why there is no figure, or null. */
  readonly error: string | null
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other)
  const middle = sorted.length / 2
  const low = sorted[Math.ceil(middle) - 1]
  const high = sorted[Math.floor(middle)]
  if (low === undefined || high === undefined) throw new Error('the median of nothing')
  return (low + high) / 2
}

export function geometricMean(values: readonly number[]): number {
  if (values.length === 0) throw new Error('the geometric mean of nothing')
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length)
}

type Figure = 'perSecond' | 'microsEach'

/** The median over the rounds, or null where any round has failed or has no figure. */
export function figureOf(
  rows: readonly Row[],
  cell: string,
  target: TargetName,
  figure: Figure,
): number | null {
  const values = rows
    .filter((row) => row.cell === cell && row.target === target)
    .map((row) => (row.error === null ? row[figure] : null))
    .filter((value, _, all) => value !== null && !all.includes(null))
  const numbers = values.filter((value) => value !== null)
  return numbers.length === 0 ? null : median(numbers)
}

/**
 * How `target` compares with `other` in a cell: the median of the ratios within each round, so
 * that a machine that grows slower from round to round does not count for or against anyone.
 */
export function ratioOf(
  rows: readonly Row[],
  cell: string,
  [target, other]: readonly [TargetName, TargetName],
  figure: Figure,
): number | null {
  const ratios: number[] = []
  for (const row of rows) {
    if (row.cell !== cell || row.target !== target) continue
    const peer = rows.find(
      (one) => one.cell === cell && one.target === other && one.round === row.round,
    )
    if (row.error !== null || (peer !== undefined && peer.error !== null)) return null
    const mine = row[figure]
    const theirs = peer?.[figure] ?? null
    if (mine !== null && theirs !== null && theirs > 0) ratios.push(mine / theirs)
  }
  return ratios.length === 0 ? null : median(ratios)
}

/** A bound on how one target compares with another, over all cells and in the worst of them. */
export interface Goal {
  readonly title: string
  readonly pair: readonly [TargetName, TargetName]
  readonly figure: Figure
  /** The one cell that it is about; left out: all that both were measured in. */
  readonly cell?: string
  /** `atLeast` for throughput, `atMost` for cost. */
  readonly bound: 'atLeast' | 'atMost'
  readonly mean: number
  /** Null: shown, not judged. */
  readonly worst: number | null
}

export const GOALS: readonly Goal[] = [
  {
    title: 'throughput, postern / haproxy',
    pair: ['postern', 'haproxy'],
    figure: 'perSecond',
    bound: 'atLeast',
    mean: 1,
    worst: 0.93,
  },
  {
    title: 'processor a unit, postern / haproxy',
    pair: ['postern', 'haproxy'],
    figure: 'microsEach',
    bound: 'atMost',
    mean: 1,
    worst: 1.08,
  },
  {
    title: 'throughput, wasm / postern',
    pair: ['wasm', 'postern'],
    figure: 'perSecond',
    bound: 'atLeast',
    mean: 0.9,
    worst: null,
  },
]

export interface Judgement {
  readonly goal: Goal
  readonly mean: number
  readonly worst: { readonly cell: string; readonly ratio: number }
  readonly isMet: boolean
}

/** Null where the rows hold no such pair; a cell that failed is a goal not met. */
export function judge(rows: readonly Row[], goal: Goal): Judgement | null {
  const [target, other] = goal.pair
  const cells = cellsOfRows(rows).filter((cell) => goal.cell === undefined || cell === goal.cell)
  const hasFailed = rows.some(
    ({ error, target: of, cell }) =>
      error !== null && (of === target || of === other) && cells.includes(cell),
  )
  const ratios = cells.flatMap((cell) => {
    const ratio = ratioOf(rows, cell, goal.pair, goal.figure)
    return ratio === null ? [] : [{ cell, ratio }]
  })
  const isWorse = (one: number, than: number): boolean =>
    goal.bound === 'atLeast' ? one < than : one > than
  const [first, ...rest] = ratios
  if (first === undefined) return null
  const mean = geometricMean(ratios.map(({ ratio }) => ratio))
  const worst = rest.reduce((sofar, one) => (isWorse(one.ratio, sofar.ratio) ? one : sofar), first)
  const isWorstMet = goal.worst === null || !isWorse(worst.ratio, goal.worst)
  return { goal, mean, worst, isMet: !hasFailed && !isWorse(mean, goal.mean) && isWorstMet }
}

const PREPARED_GOAL: Goal = {
  title: 'prepared statements of shared connections, as near to direct as simple ones',
  pair: ['postern', 'direct'],
  figure: 'perSecond',
  bound: 'atLeast',
  mean: 0.9,
  worst: null,
}

/** What prepared statements lose against direct ones, beside what simple ones lose. */
export function judgePrepared(rows: readonly Row[]): Judgement | null {
  const ratio = (cell: string): number | null =>
    ratioOf(rows, cell, PREPARED_GOAL.pair, 'perSecond')
  const ratios = cellsOfRows(rows).flatMap((cell) => {
    const [prepared, simple] = [ratio(cell), ratio(cell.replace('prepared', 'simple'))]
    if (!cell.startsWith('prepared') || prepared === null || simple === null) return []
    return [{ cell, ratio: prepared / simple }]
  })
  const [worst] = [...ratios].sort((one, other) => one.ratio - other.ratio)
  if (worst === undefined) return null
  const mean = geometricMean(ratios.map((one) => one.ratio))
  return { goal: PREPARED_GOAL, mean, worst, isMet: mean >= PREPARED_GOAL.mean }
}

export function cellsOfRows(rows: readonly Row[]): string[] {
  return [...new Set(rows.map(({ cell }) => cell))]
}

/** One line, such as `met: throughput, … geometric mean 1.02 (at least 1.00), worst 0.95 …`. */
export function judgementLine({ goal, mean, worst, isMet }: Judgement): string {
  const words = goal.bound === 'atLeast' ? 'at least' : 'at most'
  const limit = goal.worst === null ? '' : ` (${words} ${goal.worst.toFixed(2)})`
  return (
    `${isMet ? 'met' : 'NOT MET'}: ${goal.title}: geometric mean ${mean.toFixed(3)} ` +
    `(${words} ${goal.mean.toFixed(2)}), worst ${worst.ratio.toFixed(3)} in ${worst.cell}${limit}`
  )
}

/** Which figures a table shows, of whom, and beside whom the others are put. */
export interface TableOptions {
  readonly targets: readonly TargetName[]
  readonly peer: TargetName
}

/** The tables for people: throughput, what it costs the processor, and memory where watched. */
export function tables(
  rows: readonly Row[],
  targets: readonly TargetName[],
  peer: TargetName = 'haproxy',
): string {
  const all = [
    throughputTable(rows, { targets, peer }),
    costTable(rows, { targets: targets.filter((target) => target !== 'direct'), peer }),
    ...(rows.some(({ peakMegabytes }) => peakMegabytes !== undefined)
      ? [peakTable(rows, targets)]
      : []),
  ]
  return all.join('\n\n')
}

function throughputTable(rows: readonly Row[], { targets, peer }: TableOptions): string {
  const bases = (target: TargetName): TargetName[] => {
    if (target === 'direct') return []
    const others: TargetName[] = target === peer ? [] : [peer]
    return targets.includes('direct') || peer === 'haproxy' ? ['direct', ...others] : others
  }
  return aligned([
    ['a second', ...targets.flatMap((target) => [target, ...bases(target).map(baseTitle)])],
    ...cellsOfRows(rows).map((cell) => [
      cell,
      ...targets.flatMap((target) => [
        shown(figureOf(rows, cell, target, 'perSecond'), 0),
        ...bases(target).map((base) => shown(ratioOf(rows, cell, [target, base], 'perSecond'), 3)),
      ]),
    ]),
  ])
}

/** Microseconds a unit: of processor, or whatever `title` says that the rows hold. */
export function costTable(
  rows: readonly Row[],
  { targets, peer }: TableOptions,
  title = 'processor µs',
): string {
  const bases = (target: TargetName): TargetName[] => (target === peer ? [] : [peer])
  return aligned([
    [title, ...targets.flatMap((target) => [target, ...bases(target).map(baseTitle)])],
    ...cellsOfRows(rows).map((cell) => [
      `${cell}, a ${rows.find((row) => row.cell === cell)?.unit ?? ''}`,
      ...targets.flatMap((target) => [
        shown(figureOf(rows, cell, target, 'microsEach'), 1),
        ...bases(target).map((base) => shown(ratioOf(rows, cell, [target, base], 'microsEach'), 3)),
      ]),
    ]),
  ])
}

/** The highest of all rounds: a bound is kept always or not at all. */
function peakTable(rows: readonly Row[], targets: readonly TargetName[]): string {
  const watched = targets.filter((target) => peakOf(rows, target) !== null)
  return aligned([
    ['peak MB', ...watched],
    ...cellsOfRows(rows).map((cell) => [
      cell,
      ...watched.map((target) =>
        shown(
          peakOf(
            rows.filter((row) => row.cell === cell),
            target,
          ),
          1,
        ),
      ),
    ]),
  ])
}

/** The most memory that a target held in any of these rows, or null where it was not watched. */
export function peakOf(rows: readonly Row[], target: TargetName): number | null {
  const peaks = rows.flatMap((row) => (row.target === target ? (row.peakMegabytes ?? []) : []))
  return peaks.length === 0 ? null : Math.max(...peaks)
}

/** `/hap` for HAProxy. */
const baseTitle = (base: TargetName): string => `/${base.slice(0, 3)}`

function shown(value: number | null, digits: number): string {
  return value === null ? '-' : value.toFixed(digits)
}

/** Columns as wide as their widest cell: the first to the left, figures to the right. */
export function aligned(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  )
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)
  return lines.map((line) => line.map(pad).join('  ').trimEnd()).join('\n')
}
