/** What a process has cost the processors so far, to the nanosecond, as Linux counts it. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

/** Microseconds on a processor, of all threads of these processes. */
export function processorMicros(pids: readonly number[]): number {
  let nanoseconds = 0
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += threadNanoseconds(`/proc/${pid}/task/${thread}/schedstat`)
    }
  }
  return nanoseconds / 1_000
}

function threadNanoseconds(file: string): number {
  try {
    return Number(readFileSync(file, 'utf8').split(' ')[0])
  } catch {
    // A thread that has ended in between takes its count with it.
    return 0
  }
}

/** The most memory that the process has held at once, in bytes. */
export function peakMemoryBytes(pid: number): number {
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (peak === undefined) throw new Error(`/proc/${pid}/status has no VmHWM`)
  return Number(peak) * 1024
}

/** Lets the peak begin anew, at what the process holds now. */
export function resetPeakMemory(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

/** What the process holds now, in bytes. */
export function memoryBytes(pid: number): number {
  const now = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (now === undefined) throw new Error(`/proc/${pid}/status has no VmRSS`)
  return Number(now) * 1024
}
