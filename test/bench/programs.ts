/** Finds the programs that are compared with, also where a user's PATH has no sbin folders. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const FURTHER_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin']
const DEBIAN_POSTGRES = '/usr/lib/postgresql'

/** The path of a program, or null where it is not installed. */
export function findProgram(name: string): string | null {
  const path = [process.env['PATH'], ...FURTHER_FOLDERS, ...debianFolders()].join(':')
  return Bun.which(name, { PATH: path })
}

/** Debian keeps pgbench beside each version of the server; the newest is looked at first. */
function debianFolders(): string[] {
  if (!existsSync(DEBIAN_POSTGRES)) return []
  const versions = readdirSync(DEBIAN_POSTGRES).sort((one, other) => Number(other) - Number(one))
  return versions.map((version) => join(DEBIAN_POSTGRES, version, 'bin'))
}
