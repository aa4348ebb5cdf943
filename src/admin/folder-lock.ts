/**
 * A lock on a folder that the kernel lets go when its holder ends, however that ends, and that is
 * seen from other containers too, where numbers of processes say nothing. Held by SQLite, which
 * locks files on every system, and writes nothing into this one.
 */
import { Database } from 'bun:sqlite'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const LOCK_FILE = 'lock'
/** Whoever only looks holds the lock for a moment. */
const LOOKING_MS_MAX = 1000

/** Locks a folder; returns what unlocks it. Where files cannot be locked, nothing is. */
export function lockFolder(folder: string): () => void {
  const database = open(folder)
  try {
    database?.run(`PRAGMA busy_timeout = ${LOOKING_MS_MAX}`)
    hold(database)
  } catch {
    database?.close()
    return () => undefined
  }
  return () => database?.close()
}

/** Whether another holds the lock, in this process or in any other. */
export function isFolderLocked(folder: string): boolean {
  if (!existsSync(join(folder, LOCK_FILE))) return false
  const database = open(folder)
  try {
    hold(database)
    return false
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'SQLITE_BUSY'
  } finally {
    database?.close()
  }
}

/** Throws where another has it. */
function hold(database: Database | null): void {
  // Otherwise there would be a second file, for what is never written.
  database?.run('PRAGMA journal_mode = MEMORY')
  database?.run('BEGIN EXCLUSIVE')
}

function open(folder: string): Database | null {
  try {
    return new Database(join(folder, LOCK_FILE), { create: true })
  } catch {
    return null
  }
}
