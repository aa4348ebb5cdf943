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

/** States of a process that has ended, and whose number is only kept for its parent to ask. */
const ENDED = ['Z', 'X']

/** Null where no process of that number runs. */
export function identityOf(pid: number): ProcessIdentity | null {
  if (!isThere(pid)) return null
  const [state = '', ...fields] = statOf(pid)
  if (ENDED.includes(state)) return null
  return { pid, startTicks: fields[18] ?? '', bootId: readBootId() }
}

/** Whether the process that once had this identity has it still. */
export function isAlive({ pid, startTicks, bootId }: ProcessIdentity): boolean {
  const now = identityOf(pid)
  return now !== null && now.startTicks === startTicks && now.bootId === bootId
}

/** Whether the process leads a group of its own, which a signal to the group then reaches. */
export function leadsGroup(pid: number): boolean {
  return statOf(pid)[2] === String(pid)
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // Not permitted means that it is there, and another user's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** What the kernel tells of a process, from its third field, the state; empty where nothing. */
function statOf(pid: number): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the name in parentheses, which may hold spaces and parentheses itself.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}

function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}
