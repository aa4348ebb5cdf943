/** The processes that run, as /proc tells: for tests that look for those which are left. */
import { readdirSync, readFileSync } from 'node:fs'

export interface RunningProcess {
  readonly pid: number
  /** Its arguments, each with a zero behind it. */
  readonly commandLine: string
  /** Its variables, each with a zero behind it; "" where it is another user's. */
  readonly environment: string
}

export function runningProcesses(): readonly RunningProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ({
      pid: Number(pid),
      commandLine: textOf(`/proc/${pid}/cmdline`),
      environment: textOf(`/proc/${pid}/environ`),
    }))
}

/** Empty where it is gone, or another user's. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}
