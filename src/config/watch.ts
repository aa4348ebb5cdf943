/**
 * Watches configuration files. Their folders are what is watched: an editor, or whoever else
 * replaces a file by renaming another, leaves the file that was watched behind.
 */
import { type FSWatcher, statSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import type { Logger } from 'pino'
import { sentenceOf } from '../base/errors.ts'

/** Files that are written one after the other, or in pieces, make one change. */
const QUIET_MS = 200

export interface WatchRequest {
  /** The files, which may be others after a change. */
  readonly files: () => readonly string[]
  readonly changed: () => Promise<unknown>
  readonly log: Logger
}

/** Watches until it is stopped; `changed` is called when things have become quiet. */
export function watchFiles(request: WatchRequest): { stop(): void } {
  const watchers = new Map<string, FSWatcher>()
  let stamps = stampsOf(request.files())
  let timer: ReturnType<typeof setTimeout> | null = null
  let isStopped = false

  const later = (): void => {
    if (timer !== null) clearTimeout(timer)
    timer = setTimeout(look, QUIET_MS)
  }
  const look = (): void => {
    timer = null
    const now = stampsOf(request.files())
    if (now === stamps) return
    stamps = now
    request.changed().then(follow, follow)
  }
  /** Watches the folders of all files, and no other. */
  const follow = (): void => {
    if (isStopped) return
    const folders = new Set(request.files().map((file) => dirname(file)))
    for (const [folder, watcher] of watchers) {
      if (folders.has(folder)) continue
      watcher.close()
      watchers.delete(folder)
    }
    for (const folder of folders) {
      if (!watchers.has(folder)) observe(folder)
    }
    // What changed while the change before was worked off.
    if (timer === null && stampsOf(request.files()) !== stamps) later()
  }
  const observe = (folder: string): void => {
    try {
      watchers.set(folder, watch(folder, { persistent: false }, later))
    } catch (cause) {
      request.log.warn(`${folder} cannot be watched for changes: ${sentenceOf(cause)}`)
    }
  }
  follow()
  return {
    stop: () => {
      isStopped = true
      if (timer !== null) clearTimeout(timer)
      for (const watcher of watchers.values()) watcher.close()
    },
  }
}

/** What differs as soon as one of the files does; a file that is not there has a stamp too. */
function stampsOf(files: readonly string[]): string {
  return files.map(stampOf).join('\n')
}

function stampOf(file: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true })
    return [file, dev, ino, size, mtimeNs, ctimeNs].join(' ')
  } catch {
    return file
  }
}
