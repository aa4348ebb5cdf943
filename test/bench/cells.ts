/** The cells of the comparison: what is asked of every target, and how an answer is measured. */
import type { PostgresServer } from '../kit/postgres.ts'
import { readCopy, writeCopy } from './copy.ts'
import type { Driver, LoadKind } from './driver.ts'
import { peakMemoryBytes, processorMicros, resetPeakMemory } from './processor.ts'
import type { Row } from './report.ts'
import { WIDE_ROWS } from './scripts.ts'
import { POOL_SIZE, type Target, type TargetName } from './targets.ts'

export interface Cell {
  readonly name: string
  /** What is counted, also in the processor's cost of one. */
  readonly unit: 'query' | 'row' | 'MB' | 'connection'
  /** Targets that cannot do it. */
  readonly skips?: readonly TargetName[]
  /** The most memory that the target held meanwhile is of interest. */
  readonly watchesMemory?: boolean
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
  readonly tls: boolean
}

/** What the comparison asks, in the order of its table. */
export function cellsOf(options: CellOptions): Cell[] {
  return [...queryCells(options), copyCell(options.copyMegabytes), loadCell('connect', 8, options)]
}

/** Statements as they are and prepared ones, by each number of clients. */
export function queryCells(options: CellOptions): Cell[] {
  const { clients } = options
  return [
    ...clients.map((count) => loadCell('simple', count, options)),
    ...clients.map((count) => loadCell('prepared', count, options)),
  ]
}

/**
 * A connection for every statement, by each number of clients, but no more than a pool holds: the
 * one thread of pgbench waits for a connection while it could set others free.
 */
export function connectCells(options: CellOptions): Cell[] {
  const counts = new Set(options.clients.map((count) => Math.min(count, POOL_SIZE)))
  return [...counts].map((count) => loadCell('connect', count, options))
}

/** More clients than the database itself lets in. */
const DIRECT_CLIENTS_MAX = 500

/** So many clients are let in in no time; more take longer, and are to count no more for that. */
const CLIENTS_AT_ONCE = 200

/** Statements of many clients on the few connections of a pool that they share. */
export function poolCells(options: CellOptions): Cell[] {
  return (['simple', 'prepared'] as const).flatMap((kind) =>
    options.clients.map((count) => {
      const seconds = Math.ceil(options.seconds * Math.max(1, count / CLIENTS_AT_ONCE))
      const skips: TargetName[] = count > DIRECT_CLIENTS_MAX ? ['direct'] : []
      // Version 1.18 knows no prepared statements where transactions share connections.
      if (kind === 'prepared') skips.push('pgbouncer')
      return { ...loadCell(kind, count, { ...options, seconds }), skips }
    }),
  )
}

/** Copies in both directions, plain and with TLS, with an eye on memory. */
export function copyCells(megabytes: number): Cell[] {
  return [false, true].flatMap((tls) =>
    (['out', 'in'] as const).map((direction): Cell => {
      const copy = direction === 'out' ? readCopy : writeCopy
      return {
        name: `${tls ? 'TLS' : 'plain'} ${direction}`,
        unit: 'MB',
        watchesMemory: true,
        // It cannot speak of TLS in PostgreSQL's words.
        ...(tls ? { skips: ['direct', 'haproxy'] as const } : {}),
        async measure({ host, port }, { user, database }) {
          const { bytes, seconds } = await copy({ host, port, tls, user, database, megabytes })
          return { count: bytes / 1e6, perSecond: bytes / 1e6 / seconds }
        },
      }
    }),
  )
}

function loadCell(kind: LoadKind, clients: number, { driver, seconds, tls }: CellOptions): Cell {
  return {
    name: `${kind} ${clients}`,
    unit: kind === 'connect' ? 'connection' : 'query',
    async measure({ host, port }, { user, database }) {
      const load = { host, port, user, database, kind, clients, seconds, tls }
      const { transactions, perSecond } = await driver.run(load)
      return { count: transactions, perSecond }
    },
  }
}

/** Clients of the cells that are about one plugin. */
const PLUGIN_CLIENTS = 8

/** The guards on any statement; a cache that is warm; rows that are masked. */
export function pluginCells(options: CellOptions): Cell[] {
  const { driver, seconds } = options
  const kinds = ['simple', 'prepared'] as const
  const special = (script: 'hot' | 'wide', kind: LoadKind): Cell => {
    const rows = script === 'wide' ? WIDE_ROWS : 1
    return {
      name: `${script} ${kind}`,
      unit: script === 'wide' ? 'row' : 'query',
      skips: ['guarded', 'quiet', script === 'wide' ? 'cached' : 'masked'],
      async measure({ host, port }, { user, database }) {
        const load = { host, port, user, database, kind, clients: PLUGIN_CLIENTS, seconds, script }
        const { transactions, perSecond } = await driver.run(load)
        return { count: transactions * rows, perSecond: perSecond * rows }
      },
    }
  }
  return [
    ...queryCells(options).map((cell): Cell => ({ ...cell, skips: ['cached', 'masked'] })),
    ...kinds.map((kind) => special('hot', kind)),
    ...kinds.map((kind) => special('wide', kind)),
  ]
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
  const watched = cell.watchesMemory ? target.pids : []
  for (const pid of watched) resetPeakMemory(pid)
  const before = processorMicros(target.pids)
  try {
    const { count, perSecond } = await cell.measure(target, server)
    const micros = processorMicros(target.pids) - before
    const microsEach = target.pids.length === 0 ? null : micros / count
    const peaks = watched.map((pid) => peakMemoryBytes(pid) / 1e6)
    const memory = peaks.length === 0 ? {} : { peakMegabytes: Math.max(...peaks) }
    return { ...row, count, perSecond, microsEach, error: null, ...memory }
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error)
    return { ...row, count: 0, perSecond: 0, microsEach: null, error: words }
  }
}
