/** Runs the cells on all targets in interleaved rounds, and keeps every raw row. */
import type { PostgresServer } from '../kit/postgres.ts'
import { type Cell, measure } from './cells.ts'
import type { Row } from './report.ts'
import {
  AbsentTarget,
  startTarget,
  type Target,
  type TargetName,
  type TargetOptions,
} from './targets.ts'

type Say = (line: string) => void

/** Starts what is there, and says what is not; the caller stops the targets. */
export async function startTargets(
  names: readonly TargetName[],
  options: TargetOptions,
  say: Say,
): Promise<Target[]> {
  const started: Target[] = []
  try {
    for (const name of names) {
      const target = await startUnlessAbsent(() => startTarget(name, options), say)
      if (target !== null) started.push(target)
    }
    return started
  } catch (error) {
    await stopTargets(started)
    throw error
  }
}

async function startUnlessAbsent(start: () => Promise<Target>, say: Say): Promise<Target | null> {
  try {
    return await start()
  } catch (error) {
    if (!(error instanceof AbsentTarget)) throw error
    say(`left out: ${error.message}`)
    return null
  }
}

export async function stopTargets(targets: readonly Target[]): Promise<void> {
  await Promise.all(targets.map((target) => target.stop()))
}

export interface Comparison {
  readonly server: PostgresServer
  readonly targets: readonly Target[]
  readonly cells: readonly Cell[]
  readonly rounds: number
  readonly say: Say
  /** Called with every row as soon as it is there. */
  readonly keep: (row: Row) => void
}

export async function compare(comparison: Comparison): Promise<Row[]> {
  const { server, targets, cells, rounds, say, keep } = comparison
  const rows: Row[] = []
  for (const target of targets) {
    const [first] = cells
    if (first !== undefined) await measure(0, first, target, server)
  }
  for (let round = 1; round <= rounds; round++) {
    for (const cell of cells) {
      for (const target of turned(targets, round)) {
        if (cell.skips?.includes(target.name)) continue
        const row = await measure(round, cell, target, server)
        rows.push(row)
        keep(row)
        say(`round ${round}/${rounds}  ${progress(row)}`)
      }
    }
  }
  return rows
}

/** Each round begins with another target, so that no one always has the same neighbour's heat. */
function turned(targets: readonly Target[], round: number): Target[] {
  const shift = round % targets.length
  return [...targets.slice(shift), ...targets.slice(0, shift)]
}

function progress({ cell, target, perSecond, unit, microsEach, error }: Row): string {
  const where = `${cell.padEnd(12)} ${target.padEnd(10)}`
  if (error !== null) return `${where} FAILED: ${error}`
  const cost = microsEach === null ? '' : `, ${microsEach.toFixed(1)} µs of processor each`
  return `${where} ${perSecond.toFixed(0)} ${unit}/s${cost}`
}
