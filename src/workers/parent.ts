/** Ties the life of this process to that of the gateway which started it. */
import { ptr } from 'bun:ffi'
import { systemCalls } from '../base/system-calls.ts'

const PR_SET_PDEATHSIG = 1
const PR_SET_NAME = 15
const SIGKILL = 9n
/** What lists of processes show; 15 bytes at most. */
const NAME = 'postern-worker'

/**
 * The kernel ends this process when its parent ends, however that happens and whatever this one is
 * doing then. False where the parent has ended already.
 */
export function endWithParent(parent: number): boolean {
  const calls = systemCalls()
  calls.prctl(PR_SET_PDEATHSIG, SIGKILL, 0n, 0n, 0n)
  const name = Buffer.from(`${NAME}\0`)
  calls.prctl(PR_SET_NAME, BigInt(ptr(name)), 0n, 0n, 0n)
  return calls.getppid() === parent
}
