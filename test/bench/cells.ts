/** The cells of the comparison: what is asked of every target, and how an answer is measured. */
import type { PostgresServer } from '../kit/postgres.ts'
import { readCopy } from './copy.ts'
import type { Driver, LoadKind } from './driver.ts'
import { processorMicros } from './processor.ts'
import type { Row } from './report.ts'
import type { Target } from './targets.ts'

export interface Cell {
  readonly name: string
  /** What is counted, also in the processor's cost of one. */
  readonly unit: 'query' | 'MB' | 'connection'
  measure(target: Target, server: PostgresServer): Promise<Work>
}

/** How much was done, and how fast. */
interface Work {
  readonly count: number
  readonly perSecond: number
}

export interface CellOptions {
  readonly driver: Driver
  readonly seconds: number
  readonly clients: readonly number[]
  readonly copyMegabytes: number
}

/** All cells, in the order of the table. */
export function cellsOf(options: CellOptions): Cell[] {
  const { clients } = options
  return [
    ...clients.map((count) => loadCell('simple', count, options)),
    ...clients.map((count) => loadCell('prepared', count, options)),
    copyCell(options.copyMegabytes),
    loadCell('connect', 8, options),
  ]
}

function loadCell(kind: LoadKind, clients: number, { driver, seconds }: CellOptions): Cell {
  return {
    name: `${kind} ${clients}`,
    unit: kind === 'connect' ? 'connection' : 'query',
    async measure({ host, port }, { user, database }) {
      const load = { host, port, user, database, kind, clients, seconds }
      const { transactions, perSecond } = await driver.run(load)
      return { count: transactions, perSecond }
    },
  }
}

function copyCell(megabytes: number): Cell {
  return {
    name: `copy ${megabytes} MB`,
    unit: 'MB',
    async measure({ host, port }, { user, database }) {
      const { bytes, seconds } = await readCopy({ host, port, user, database, megabytes })
      return { count: bytes / 1e6, perSecond: bytes / 1e6 / seconds }
    },
  }
}

/** One raw row; a failure is a row too, and never counts as a fast one. */
export async function measure(
  round: number,
  cell: Cell,
  target: Target,
  server: PostgresServer,
): Promise<Row> {
  const row = { round, cell: cell.name, unit: cell.unit, target: target.name }
  const before = processorMicros(target.pids)
  try {
    const { count, perSecond } = await cell.measure(target, server)
    const micros = processorMicros(target.pids) - before
    const microsEach = target.pids.length === 0 ? null : micros / count
    return { ...row, count, perSecond, microsEach, error: null }
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error)
    return { ...row, count: 0, perSecond: 0, microsEach: null, error: words }
  }
}
