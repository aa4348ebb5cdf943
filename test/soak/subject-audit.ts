/** Audit: what is told stands in a file, line by line, and no literal is in it. */
import { existsSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { COMMON_ACTS, COPY_OUT, SECRET } from './acts.ts'
import type { Scene, Subject } from './subject.ts'

const LOG_FILE = 'audit.log'
/** So many of the lines between two looks are parsed; all are searched. */
const PARSED_MAX = 500

export const AUDIT: Subject = {
  entry: {},
  logger: { output: ['file'], fileName: LOG_FILE, level: 'info' },
  signs: ['statements_total'],
  async begin(scene) {
    const { database } = scene
    const acts = [...COMMON_ACTS, COPY_OUT]
    const roles = ['app', 'dba'].map((user) => ({ user, database, weight: 1, acts }))
    return { roles, beside: { look: () => readLines(scene) } }
  },
}

/** Looks at what the log holds since the last time, and empties it. */
function readLines({ gateway, tally }: Scene): void {
  const file = join(gateway.folder, LOG_FILE)
  if (!existsSync(file)) return tally.add(`audit: there is no ${LOG_FILE}`)
  const text = readFileSync(file, 'utf8')
  // What is written between these two is not looked at.
  truncateSync(file)
  const at = text.indexOf(SECRET)
  const start = text.lastIndexOf('\n', at) + 1
  tally.require(at < 0, `audit: a literal is in the log: ${text.slice(start, at)}`)
  // The last one may be under way, and the first one the rest of such a one.
  const lines = text.split('\n').slice(1, -1)
  const isTold = lines.slice(-PARSED_MAX).filter(tellsStatement).length > 0
  tally.require(isTold, `audit: no statement in ${lines.length} lines of its log`)
}

function tellsStatement(line: string): boolean {
  const { plugin, fields } = JSON.parse(line)
  return plugin === 'audit' && typeof fields?.kind === 'string'
}
