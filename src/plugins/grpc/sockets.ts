/** Takes away the socket files that a process of a plugin leaves behind when it is killed. */
import { lstat, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import type { Address } from './handshake.ts'

/** How long a socket may take to show whether anybody listens there. */
const KNOCK_MS = 200

export interface LeftSockets {
  /** The folder that was made for the process. */
  readonly folder: string
  /** Where it listened, if it said so. */
  readonly address: Address | null
  /** Where it served its metrics, if it did. */
  readonly metrics: string | null
}

/** Removes what a process that is gone may have left, wherever it listened. */
export async function removeSockets({ folder, address, metrics }: LeftSockets): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  if (address?.network === 'unix') await removeSocket(address.path, async () => true)
  // Its path is not ours to choose: a plugin of another gateway may have it by now.
  if (metrics !== null) await removeSocket(metrics, isDead)
}

/** The path is the plugin's word: whatever else stands there is not ours to remove. */
async function removeSocket(
  path: string,
  mayGo: (path: string) => Promise<boolean>,
): Promise<void> {
  try {
    if ((await lstat(path)).isSocket() && (await mayGo(path))) await rm(path)
  } catch {
    // A plugin that ended by itself has removed it.
  }
}

/** True if nobody listens on a socket any more. */
async function isDead(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect({ path })
  socket.on('connect', () => resolve(false))
  socket.on('error', (error) => resolve('code' in error && error.code === 'ECONNREFUSED'))
  socket.setTimeout(KNOCK_MS, () => resolve(false))
  try {
    return await promise
  } finally {
    socket.destroy()
  }
}
