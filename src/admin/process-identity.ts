/**
 * Tells whether a process that wrote down who it is still runs. Its number alone does not say:
 * numbers are used again, so the moment of its start and the boot of the machine count as well.
 */
import { readFileSync } from 'node:fs'

export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks from boot of the machine to its start; "" where the system does not tell. */
  readonly startTicks: string
  /** Changes with every boot of the machine, or "" where the system does not tell. */
  readonly bootId: string
}

/** Null where no process of that number runs. */
export function identityOf(pid: number): ProcessIdentity | null {
  if (!runs(pid)) return null
  return { pid, startTicks: startTicksOf(pid), bootId: readBootId() }
}

/** Whether the process that once had this identity has it still. */
export function isAlive({ pid, startTicks, bootId }: ProcessIdentity): boolean {
  const now = identityOf(pid)
  return now !== null && now.startTicks === startTicks && now.bootId === bootId
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // Not permitted means that it is there, and another user's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

function startTicksOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the name in parentheses, which may hold spaces and parentheses itself.
    const afterName = stat.slice(stat.lastIndexOf(')') + 2)
    return afterName.split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}
