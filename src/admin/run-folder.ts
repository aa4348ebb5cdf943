/**
 * The private folder of a running gateway: its control socket and the sockets of its plugins. One
 * folder an instance, named by its process, in a folder that all gateways of the user share.
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { isFolderLocked, lockFolder } from './folder-lock.ts'
import {
  findSharedFolders,
  findTemporaryFolders,
  makeSharedFolder,
  type RunEnvironment,
} from './private-folder.ts'
import { identityOf, isAlive, type ProcessIdentity } from './process-identity.ts'
import { type NotedProcess, noteProcess } from './process-notes.ts'

/** The kernel's limit for the path of a Unix socket, without the zero at its end. */
const SOCKET_PATH_BYTES_MAX = 107
/** What plugins may need for the names of their sockets. */
const SOCKET_NAME_BYTES_MAX = 32

/** Gateways within one process, such as a test has. */
const INSTANCES_IN_PROCESS_MAX = 100
const INSTANCE_NAME = /^(\d+)(?:\.\d+)?$/
const CONTROL_SOCKET = 'control.sock'
const INSTANCE_FILE = 'instance.json'

export interface RunFolder {
  /** This instance's own folder, mode 0700; plugins put their sockets here. */
  readonly path: string
  readonly controlSocket: string
  /** Notes a process that must not outlive this instance; `failed` gets the reason if it cannot. */
  note(pid: number, failed: (sentence: string) => void): NotedProcess
  /** Removes the folder with all that is in it. Idempotent. */
  close(): void
}

export interface RunFolderOptions {
  /**
   * Told of the folder of an instance that was killed, before it is removed; false where something
   * of that instance is left, so that the folder must stay.
   */
  readonly reap?: (folder: string) => boolean
}

/** One gateway that runs now. */
export interface Instance extends ProcessIdentity {
  readonly folder: string
  readonly controlSocket: string
  readonly startedAtMs: number
}

/** Removes the folders of instances of this user that were killed. */
export function removeDeadInstances(env: RunEnvironment, options: RunFolderOptions): void {
  removeDeadTemporary(env, options)
  for (const shared of findSharedFolders(env)) removeDead(shared, options)
}

function removeDeadTemporary(env: RunEnvironment, options: RunFolderOptions): void {
  for (const folder of findTemporaryFolders(env)) {
    const removed = removeDead(folder, options)
    // An empty one may be another gateway's that is about to fill it.
    if (removed > 0 && isEmpty(folder)) rmSync(folder, { recursive: true, force: true })
  }
}

/** Makes the folder of this instance, and removes those of instances that were killed. */
export function openRunFolder(env: RunEnvironment, options: RunFolderOptions = {}): RunFolder {
  removeDeadTemporary(env, options)
  const shared = makeSharedFolder(env)
  removeDead(shared.path, options)
  const path = makeInstanceFolder(shared.path)
  const whole = shared.temporary ? shared.path : path
  const unlock = lockFolder(path)
  return {
    path,
    controlSocket: join(path, CONTROL_SOCKET),
    note: (pid, failed) => noteProcess(path, pid, failed),
    close: () => {
      rmSync(whole, { recursive: true, force: true })
      unlock()
    },
  }
}

/**
 * All gateways of this user that run now: those that a gateway started here and now would stand
 * beside come first, and of them the newest.
 */
export function findInstances(env: RunEnvironment): readonly Instance[] {
  return findSharedFolders(env).flatMap((shared) => {
    const found = instanceFolders(shared).flatMap((folder) => readInstance(folder) ?? [])
    return found.filter(isAlive).toSorted((one, other) => other.startedAtMs - one.startedAtMs)
  })
}

function makeInstanceFolder(shared: string): string {
  for (let count = 1; count <= INSTANCES_IN_PROCESS_MAX; count++) {
    const name = count === 1 ? `${process.pid}` : `${process.pid}.${count}`
    const path = join(shared, name)
    refuseLongPath(path)
    if (makeFolder(path)) {
      writeInstance(path)
      return path
    }
  }
  const cure = `stop some, or remove the folders ${join(shared, String(process.pid))}.*`
  throw new GatewayError('RUN_FOLDER', `too many gateways in one process: ${cure}`)
}

/** False where a folder of that name is there already. */
function makeFolder(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 })
    // The process may have been told to take even its own permissions from what it makes.
    chmodSync(path, 0o700)
    return true
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') return false
    throw new GatewayError('RUN_FOLDER', `${path} cannot be made (${sentenceOf(cause)})`, { cause })
  }
}

function refuseLongPath(path: string): void {
  const needed = Buffer.byteLength(path) + 1 + SOCKET_NAME_BYTES_MAX
  if (needed <= SOCKET_PATH_BYTES_MAX) return
  throw new GatewayError(
    'RUN_FOLDER',
    `the path ${path} is too long: the paths of sockets in it may have ${SOCKET_PATH_BYTES_MAX} ` +
      'bytes; set XDG_RUNTIME_DIR (or TMPDIR) to a folder with a shorter path',
  )
}

function writeInstance(folder: string): void {
  const instance = { ...identityOf(process.pid), startedAtMs: Date.now() }
  writeFileSync(join(folder, INSTANCE_FILE), JSON.stringify(instance), { mode: 0o600 })
}

function readInstance(folder: string): Instance | null {
  try {
    const read: unknown = JSON.parse(readFileSync(join(folder, INSTANCE_FILE), 'utf8'))
    const values = new Map(Object.entries(read ?? {}))
    return {
      pid: Number(values.get('pid')),
      startTicks: String(values.get('startTicks')),
      bootId: String(values.get('bootId')),
      startedAtMs: Number(values.get('startedAtMs')),
      folder,
      controlSocket: join(folder, CONTROL_SOCKET),
    }
  } catch {
    return null
  }
}

function instanceFolders(shared: string): readonly string[] {
  try {
    const entries = readdirSync(shared, { withFileTypes: true })
    return entries
      .filter((entry) => entry.isDirectory() && INSTANCE_NAME.test(entry.name))
      .map((entry) => join(shared, entry.name))
  } catch {
    return []
  }
}

/** Returns how many were removed. */
function removeDead(shared: string, { reap }: RunFolderOptions): number {
  const dead = instanceFolders(shared).filter((folder) => !isInUse(folder))
  const done = dead.filter((folder) => reap?.(folder) ?? true)
  for (const folder of done) rmSync(folder, { recursive: true, force: true })
  return done.length
}

/**
 * The lock tells, and so does the process, for a folder that is not locked yet. One that says
 * nothing yet is in use while its process runs: that one is starting.
 */
function isInUse(folder: string): boolean {
  if (isFolderLocked(folder)) return true
  const instance = readInstance(folder)
  if (instance !== null) return isAlive(instance)
  const pid = Number(INSTANCE_NAME.exec(folder.slice(folder.lastIndexOf('/') + 1))?.[1])
  return pid !== process.pid && identityOf(pid) !== null
}

function isEmpty(folder: string): boolean {
  try {
    return readdirSync(folder).length === 0
  } catch {
    return false
  }
}
