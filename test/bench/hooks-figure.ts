/** One figure of the sandbox, beside what it should be at most. */
import { aligned } from './report.ts'

export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: 'µs' | 'ms' | 'MB' | '×'
  /** The target; null: shown, not judged. */
  readonly most: number | null
}

/** True where the figure keeps to its target, or has none. */
export function isMet({ value, most }: Figure): boolean {
  return most === null || value <= most
}

function shown(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 1 ? 2 : 3)
}

/** For people: a line for each figure. */
export function figureTable(figures: readonly Figure[]): string {
  const lines = figures.map((figure) => {
    const { name, value, unit, most } = figure
    const target = most === null ? '' : `${most} ${unit}`
    const word = most === null ? '' : isMet(figure) ? 'met' : 'NOT MET'
    return [name, `${shown(value)} ${unit}`, target, word]
  })
  return aligned([['', 'measured', 'at most', ''], ...lines])
}
