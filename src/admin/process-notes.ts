/**
 * Notes of the processes that plugins run in. A gateway that is killed cannot end them, so the next
 * one does: those that it finds noted, and that are beyond doubt the same processes still.
 */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'pino'
import * as z from 'zod'
import { sentenceOf } from '../base/errors.ts'
import { identityOf, isAlive, leadsGroup } from './process-identity.ts'

const FOLDER = 'processes'
const NOTE_NAME = /^(\d+)\.json$/
/** How long a killed process may take to be gone, and how often it is looked for. */
const GONE_MS_MAX = 1000
const LOOK_MS = 2

const noteSchema = z.object({
  pid: z.int().min(2),
  startTicks: z.string(),
  bootId: z.string(),
  /** Device and inode of the program, which a new file of the same name does not have. */
  executable: z.string(),
  /** Its sockets by path, each with its device and inode. */
  sockets: z.record(z.string(), z.string()),
})
type Note = z.output<typeof noteSchema>

/** One process that is noted. */
export interface NotedProcess {
  /** Notes it anew: its program may have become another, and it has made these sockets. */
  settled(sockets: readonly string[]): void
  /** Forgets it, for it has ended. */
  ended(): void
}

/** What became of the processes that a killed gateway left. */
export interface Reaped {
  /** Numbers of the processes that were ended. */
  readonly ended: readonly number[]
  /** Numbers of those that were killed and are still there. */
  readonly left: readonly number[]
  /** Notes that cannot be read: whose processes they were, nobody knows. */
  readonly unreadable: readonly string[]
}

/** Notes a process in an instance's folder. `failed` is told where it cannot be written. */
export function noteProcess(
  instance: string,
  pid: number,
  failed: (sentence: string) => void,
): NotedProcess {
  const path = join(instance, FOLDER, `${pid}.json`)
  const write = (paths: readonly string[]): void => {
    try {
      const identity = identityOf(pid)
      if (identity === null) return
      const executable = fileOf(() => statSync(`/proc/${pid}/exe`, { bigint: true }))
      const sockets = Object.fromEntries(paths.map((socket) => [socket, socketFileOf(socket)]))
      const note: Note = { ...identity, executable, sockets }
      mkdirSync(join(instance, FOLDER), { recursive: true, mode: 0o700 })
      // Whole or not at all: the gateway may be killed at any moment.
      writeFileSync(`${path}.new`, JSON.stringify(note), { mode: 0o600 })
      renameSync(`${path}.new`, path)
    } catch (cause) {
      failed(`${path} cannot be written: ${sentenceOf(cause)}`)
    }
  }
  write([])
  return {
    settled: write,
    ended: () => {
      try {
        for (const file of [path, `${path}.new`]) rmSync(file, { force: true })
      } catch (cause) {
        failed(`${path} cannot be removed: ${sentenceOf(cause)}`)
      }
    },
  }
}

/**
 * Ends the processes noted in the folder of an instance that runs no more: only those of which
 * number, start, boot and program are still the same. Returns when they are gone, within a second.
 */
export function reapProcesses(instance: string): Reaped {
  const unreadable: string[] = []
  const same: Note[] = []
  for (const path of notesIn(instance)) {
    const note = readNote(path)
    if (note === null) unreadable.push(path)
    else if (isSame(note)) same.push(note)
    else removeSockets(note)
  }
  for (const { pid } of same) kill(pid)
  const left = waitFor(same)
  for (const note of same) if (!left.includes(note)) removeSockets(note)
  return {
    ended: same.filter((note) => !left.includes(note)).map(({ pid }) => pid),
    left: left.map(({ pid }) => pid),
    unreadable,
  }
}

function notesIn(instance: string): readonly string[] {
  try {
    const folder = join(instance, FOLDER)
    const names = readdirSync(folder).filter((name) => NOTE_NAME.test(name))
    return names.map((name) => join(folder, name))
  } catch {
    return []
  }
}

/** Null where the note is not whole, or speaks of another process than its name. */
function readNote(path: string): Note | null {
  try {
    const note = noteSchema.parse(JSON.parse(readFileSync(path, 'utf8')))
    return path.endsWith(`/${note.pid}.json`) ? note : null
  } catch {
    return null
  }
}

/** What the system does not tell proves nothing. */
function isSame(note: Note): boolean {
  const { pid, startTicks, bootId, executable } = note
  if (pid === process.pid || startTicks === '' || bootId === '' || executable === '') return false
  return (
    isAlive(note) && fileOf(() => statSync(`/proc/${pid}/exe`, { bigint: true })) === executable
  )
}

function kill(pid: number): void {
  try {
    process.kill(leadsGroup(pid) ? -pid : pid, 'SIGKILL')
  } catch {
    // It has ended meanwhile, or it will be found among those that are left.
  }
}

/** Those that are still there in the end. One that exits has lost its program before it is gone. */
function waitFor(killed: readonly Note[]): readonly Note[] {
  const endsAt = performance.now() + GONE_MS_MAX
  let left = killed.filter(isAlive)
  while (left.length > 0 && performance.now() < endsAt) {
    Bun.sleepSync(LOOK_MS)
    left = left.filter(isAlive)
  }
  return left
}

/** Another process may listen at the same path by now: only the very sockets noted are removed. */
function removeSockets({ sockets }: Note): void {
  for (const [path, file] of Object.entries(sockets)) {
    if (file !== '' && socketFileOf(path) === file) rmSync(path, { force: true })
  }
}

function socketFileOf(path: string): string {
  return fileOf(() => {
    const file = lstatSync(path, { bigint: true })
    return file.isSocket() ? file : null
  })
}

/** Device and inode of a file; "" where there is none. */
function fileOf(stat: () => { readonly dev: bigint; readonly ino: bigint } | null): string {
  try {
    const file = stat()
    return file === null ? '' : `${file.dev}:${file.ino}`
  } catch {
    return ''
  }
}

/** Ends what a killed gateway left; false where something of it is left even so. */
export function reapFor(log: Logger, folder: string): boolean {
  const { ended, left, unreadable } = reapProcesses(folder)
  for (const pid of ended) log.warn({ pid }, 'ended a plugin that a killed gateway had left')
  for (const note of unreadable) {
    log.warn({}, `${note} cannot be read: if a killed gateway left that process, end it yourself`)
  }
  for (const pid of left) {
    log.error({ pid }, 'a plugin that a killed gateway had left does not end; end it yourself')
  }
  return left.length === 0
}
