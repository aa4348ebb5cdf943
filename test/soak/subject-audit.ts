/** Audit: every statement is told, in a file that is rotated, and no literal is in it. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { COMMON_ACTS, COPY_OUT, SECRET } from './acts.ts'
import type { Scene, Subject } from './subject.ts'

const LOG_FILE = 'audit.log'

export const AUDIT: Subject = {
  entry: {},
  // A megabyte, and one that was full before.
  logger: { output: ['file'], fileName: LOG_FILE, maxSize: 1, maxBackups: 1, compress: false },
  signs: ['statements_total'],
  async begin(scene) {
    const acts = [...COMMON_ACTS, COPY_OUT]
    const roles = ['app', 'dba'].map((user) => ({ user, database: 'postgres', weight: 1, acts }))
    return { roles, beside: { look: () => readLines(scene) } }
  },
}

/** Looks at what the log holds now. */
function readLines({ gateway, tally }: Scene): void {
  const file = join(gateway.folder, LOG_FILE)
  if (!existsSync(file)) return tally.add(`audit: there is no ${LOG_FILE}`)
  const text = readFileSync(file, 'utf8')
  const at = text.indexOf(SECRET)
  tally.require(at < 0, `audit: a literal is in the log: ${text.slice(Math.max(at - 100, 0), at)}`)
}
