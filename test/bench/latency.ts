/**
 * How long a query takes at a rate that everybody can keep: half of what the slower of HAProxy and
 * the gateway can do at most, the same for all, with pgbench keeping the rate.
 */
import type { PostgresServer } from '../kit/postgres.ts'
import { type Driver, type LoadKind, timesAtRate } from './driver.ts'
import { costTable, type Goal, type Judgement, judge, type Row } from './report.ts'
import type { Target } from './targets.ts'

const PERCENTS = [50, 95, 99] as const
const SHARE_OF_MAXIMUM = 0.5

export const LATENCY_GOAL: Goal = {
  title: 'p99 at half load, postern / haproxy',
  pair: ['postern', 'haproxy'],
  figure: 'microsEach',
  bound: 'atMost',
  mean: 1.2,
  worst: 1.2,
}

export interface LatencyBench {
  readonly server: PostgresServer
  readonly targets: readonly Target[]
  readonly driver: Driver
  readonly clients: readonly number[]
  readonly seconds: number
  readonly rounds: number
  /** Only cells whose name contains it. */
  readonly cells: string
  readonly say: (line: string) => void
  readonly keep: (row: Row) => void
}

/** A row for each percentile of each target, with microseconds in `microsEach`. */
export async function measureLatency(bench: LatencyBench): Promise<Row[]> {
  const rows: Row[] = []
  const { server, targets, clients, seconds, rounds, say } = bench
  const { user, database } = server
  const kinds: readonly LoadKind[] = ['simple', 'prepared']
  for (const kind of kinds) {
    for (const count of clients) {
      const cell = `${kind} ${count}`
      if (!cell.includes(bench.cells)) continue
      const load = { user, database, kind, clients: count, seconds }
      const rate = SHARE_OF_MAXIMUM * (await lesserMaximum(bench, load))
      say(`${cell}: ${rate.toFixed(0)} queries a second`)
      for (let round = 1; round <= rounds; round++) {
        for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
          const { host, port } = target
          const times = await timesAtRate({ ...load, host, port }, rate)
          const found = PERCENTS.map((percent): Row => {
            const common = { unit: 'query', count: times.length, perSecond: rate, error: null }
            const microsEach = percentile(times, percent)
            return {
              ...common,
              round,
              cell: `${cell} p${percent}`,
              target: target.name,
              microsEach,
            }
          })
          rows.push(...found)
          for (const row of found) bench.keep(row)
          const shown = found.map(({ microsEach }) => microsEach?.toFixed(0)).join(', ')
          say(`round ${round}/${rounds}  ${cell} ${target.name}: ${shown} µs`)
        }
      }
    }
  }
  return rows
}

type Load = Omit<Parameters<Driver['run']>[0], 'host' | 'port'>

async function lesserMaximum({ targets, driver }: LatencyBench, load: Load): Promise<number> {
  let least = Infinity
  for (const { host, port } of targets) {
    const { perSecond } = await driver.run({ ...load, host, port })
    least = Math.min(least, perSecond)
  }
  return least
}

/** The time that so many percent of all keep within. */
export function percentile(times: readonly number[], percent: number): number {
  const sorted = [...times].sort((one, other) => one - other)
  const found = sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)]
  if (found === undefined) throw new Error('a percentile of nothing')
  return found
}

export function latencyTable(rows: readonly Row[], targets: readonly Target[]): string {
  const names = targets.map(({ name }) => name)
  return costTable(rows, { targets: names, peer: 'haproxy' }, 'latency µs')
}

/** Null where one of the pair was not measured. */
export function judgeLatency(rows: readonly Row[]): Judgement | null {
  const tails = rows.filter(({ cell }) => cell.endsWith(' p99'))
  return judge(tails, LATENCY_GOAL)
}
