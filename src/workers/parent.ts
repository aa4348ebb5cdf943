/** Ties the life of this process to that of the gateway which started it. */
import { systemCalls } from '../base/system-calls.ts'

const PR_SET_PDEATHSIG = 1
const SIGKILL = 9n

/**
 * The kernel ends this process when its parent ends, however that happens and whatever this one is
 * doing then. False where the parent has ended already.
 */
export function endWithParent(parent: number): boolean {
  const calls = systemCalls()
  calls.prctl(PR_SET_PDEATHSIG, SIGKILL, 0n, 0n, 0n)
  return calls.getppid() === parent
}
