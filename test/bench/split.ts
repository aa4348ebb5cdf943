/** How the workers of a gateway share the sessions that come to it in a burst. */
import type { PostgresServer } from '../kit/postgres.ts'
import { openSession } from '../kit/wire.ts'
import type { Target } from './targets.ts'

/** How far apart the most and the fewest may be, of what each would have if all had the same. */
export const SPLIT_MAX = 0.2

export interface Split {
  readonly counts: readonly number[]
  readonly apart: number
}

export async function measureSplit(
  { host, port, metricsPort }: Target,
  { user, database }: PostgresServer,
  sessions: number,
): Promise<Split> {
  const opened = Array.from({ length: sessions }, () => openSession({ host, port, user, database }))
  const wires = await Promise.all(opened)
  try {
    const page = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
    return splitOf(page)
  } finally {
    for (const wire of wires) wire.destroy()
  }
}

/** What a page of metrics tells of it. */
export function splitOf(page: string): Split {
  const found = page.matchAll(/^postern_worker_sessions\{worker="\d+"\} (\d+)$/gm)
  const counts = Array.from(found, ([, count]) => Number(count))
  const equal = counts.reduce((sum, count) => sum + count, 0) / counts.length
  return { counts, apart: (Math.max(...counts) - Math.min(...counts)) / equal }
}
