/** Starts the process that takes over from a gateway, and ends; the gateway itself calls it. */
import { startFor } from '../upgrade/starter.ts'

const DONE = 0
const FAILED = 1

export async function starter(argv: readonly string[]): Promise<number> {
  return startFor(argv) ? DONE : FAILED
}
