/** When a worker that died is replaced: as with plugins, but that clients wait for none. */
import { backoffMs as backoffOfPlugins } from '../plugins/life.ts'

/** One that has served for so long and dies begins a new row of failures. */
export const STABLE_MS = 10_000
/** The others do its work meanwhile, but not for ever. */
const BACKOFF_MAX_MS = 5000

/** The wait behind this many failures in a row: none, then doubling up to the cap. */
export function backoffMs(failuresInARow: number): number {
  return Math.min(backoffOfPlugins(failuresInARow), BACKOFF_MAX_MS)
}
