/** Finds and makes folders that nobody but us may enter: whoever can, could command the gateway. */
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, type Stats } from 'node:fs'
import { tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { GatewayError, sentenceOf } from '../base/errors.ts'

const NAME = 'postern'
/** Made by the system's services manager, or by us where we are root. */
const SYSTEM_FOLDER = '/run/postern'
/** Bits of the mode that let group or others write, and that let them do anything. */
const OTHERS_WRITE = 0o022
const OTHERS = 0o077

/** What of the environment decides where the folder lies. */
export type RunEnvironment = Readonly<Record<string, string | undefined>>

/** The folder that all gateways of this user share; `temporary` where it was made for this one. */
export interface SharedFolder {
  readonly path: string
  readonly temporary: boolean
}

/** `$XDG_RUNTIME_DIR/postern`, else /run/postern, else a fresh one. Throws RUN_FOLDER. */
export function makeSharedFolder(env: RunEnvironment): SharedFolder {
  const ofUser = userFolder(env)
  if (ofUser !== null && make(ofUser)) return { path: claim(ofUser), temporary: false }
  if (isOursToMake(SYSTEM_FOLDER) && make(SYSTEM_FOLDER)) {
    return { path: claim(SYSTEM_FOLDER), temporary: false }
  }
  try {
    return { path: claim(mkdtempSync(temporaryPrefix(env))), temporary: true }
  } catch (cause) {
    const folder = temporaryFolder(env)
    const cure = 'set XDG_RUNTIME_DIR to a folder of this user, or TMPDIR to one it may write to'
    throw new GatewayError('RUN_FOLDER', `no private folder can be made in ${folder}: ${cure}`, {
      cause,
    })
  }
}

/** The shared folders that gateways of this user may have made; only those that can be trusted. */
export function findSharedFolders(env: RunEnvironment): readonly string[] {
  const ofUser = userFolder(env)
  const found = [...(ofUser === null ? [] : [ofUser]), SYSTEM_FOLDER, ...findTemporaryFolders(env)]
  return found.filter(isTrusted)
}

/** Folders that gateways of this user made in the folder for temporary files. */
export function findTemporaryFolders(env: RunEnvironment): readonly string[] {
  const prefix = temporaryPrefix(env)
  const folder = temporaryFolder(env)
  try {
    const paths = readdirSync(folder).map((name) => join(folder, name))
    return paths.filter((path) => path.startsWith(prefix) && isTrusted(path))
  } catch {
    return []
  }
}

/** Null where there is none, or it is not this user's: `sudo` may leave another user's behind. */
function userFolder(env: RunEnvironment): string | null {
  const parent = env['XDG_RUNTIME_DIR'] ?? ''
  if (!isAbsolute(parent)) return null
  const stats = statsOf(parent)
  return stats?.isDirectory() && stats.uid === ourselves() ? join(parent, NAME) : null
}

function temporaryFolder(env: RunEnvironment): string {
  const named = env['TMPDIR'] ?? ''
  return isAbsolute(named) ? named : tmpdir()
}

function temporaryPrefix(env: RunEnvironment): string {
  return join(temporaryFolder(env), `${NAME}-${ourselves()}-`)
}

function ourselves(): number {
  return process.geteuid?.() ?? 0
}

function statsOf(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null
}

/** Another user's gateway may have the system's folder; that one is then not for us. */
function isOursToMake(path: string): boolean {
  const stats = statsOf(path)
  return stats === null || stats.uid === ourselves() || ourselves() === 0
}

/** False where it is not there and cannot be made. */
function make(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch {
    return statsOf(path) !== null
  }
  return true
}

/** Makes sure that the folder is ours alone; throws RUN_FOLDER where it cannot be. */
function claim(path: string): string {
  const stats = statsOf(path)
  const wrong = stats === null ? 'it is gone' : wrongWith(stats)
  if (wrong !== null) {
    const cure = 'remove it, or set XDG_RUNTIME_DIR to a folder of this user'
    throw new GatewayError(
      'RUN_FOLDER',
      `${path} cannot hold the control socket: ${wrong}; ${cure}`,
    )
  }
  try {
    chmodSync(path, 0o700)
  } catch (cause) {
    const why = sentenceOf(cause)
    throw new GatewayError('RUN_FOLDER', `${path} cannot be made private (${why})`, { cause })
  }
  return path
}

function wrongWith(stats: Stats): string | null {
  if (stats.isSymbolicLink()) return 'it is a symbolic link'
  if (!stats.isDirectory()) return 'it is no folder'
  if (stats.uid !== ourselves()) return `it belongs to the user ${stats.uid}`
  // What others could write before we close the folder may be there already.
  if ((stats.mode & OTHERS_WRITE) !== 0) return 'others may write to it'
  return null
}

/** Whether an answer from a socket in it can be believed. Root believes the system's folder. */
function isTrusted(path: string): boolean {
  const stats = statsOf(path)
  if (stats === null || !stats.isDirectory() || (stats.mode & OTHERS) !== 0) return false
  return stats.uid === ourselves() || (ourselves() === 0 && path === SYSTEM_FOLDER)
}
