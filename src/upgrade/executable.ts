/** Which file an upgrade starts: the one at the path by which this process was started. */
import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'

/** What of a process tells how it was started. */
export interface Origin {
  /** As it was called. */
  readonly argv0: string
  /** The file that it runs, without symbolic links. */
  readonly execPath: string
  /** Its program, where the executable is an interpreter; else null. */
  readonly program: string | null
  readonly arguments: readonly string[]
}

export function ownOrigin(): Origin {
  const isCompiled = Bun.main.startsWith('/$bunfs/')
  return {
    argv0: process.argv0,
    execPath: process.execPath,
    program: isCompiled ? null : Bun.main,
    arguments: process.argv.slice(2),
  }
}

/**
 * The command line that starts what lies at the same path by then; to be asked at the start, while
 * the file of this process is still there. A symbolic link stays one, so that it may be turned.
 */
export function commandLine({ argv0, execPath, program, ...origin }: Origin): readonly string[] {
  if (program !== null) return [execPath, program, ...origin.arguments]
  return [pathOf(argv0, execPath), ...origin.arguments]
}

function pathOf(argv0: string, execPath: string): string {
  const called = argv0.includes('/') ? resolve(argv0) : Bun.which(argv0)
  // It may have been called by a name that is not its own.
  if (called === null || called.startsWith('/proc/') || realPath(called) !== execPath) {
    return execPath
  }
  return called
}

function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return ''
  }
}
