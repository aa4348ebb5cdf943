/**
 * Ends a process of the test kit and removes its folder when whoever started it dies, however it
 * dies. A shell holds the far end of a pipe: the kernel closes it for us, also after SIGKILL.
 */
import type { Subprocess } from 'bun'

// $1 folder, $2 signal, $3 process id or a file whose first line is one. A word on the pipe means
// that the process was stopped already; the end of the pipe without one, that nobody is left.
// A zombie (Z) has ended too: in a container there may be nobody to reap it.
const SCRIPT = `
if ! read -r word; then
  pid=$3
  [ -f "$3" ] && pid=$(head -n 1 "$3")
  kill -s "$2" "$pid" 2>/dev/null
  turns=0
  while read -r state < "/proc/$pid/stat" && [ "$turns" -lt 100 ]; do
    case $state in *') Z '*) break ;; esac
    sleep 0.1
    turns=$((turns + 1))
  done
  kill -s KILL "$pid" 2>/dev/null
fi
rm -rf "$1"
`

export interface Watched {
  /** Removed at the end, in every case. */
  readonly folder: string
  /** What to end where the parent dies: a process id, or a file whose first line is one. */
  readonly process: number | string
  readonly signal: 'QUIT' | 'TERM' | 'KILL'
}

export interface Watchdog {
  /** Call when the process was stopped: the folder is removed, nothing is killed. Idempotent. */
  release(): Promise<void>
}

/** Watches over a process for as long as this one lives, and after. */
export function startWatchdog(watched: Watched): Watchdog {
  const shell: Subprocess<'pipe', 'ignore', 'ignore'> = Bun.spawn(
    ['sh', '-c', SCRIPT, 'watchdog', watched.folder, watched.signal, String(watched.process)],
    // A session of its own: Ctrl-C at the terminal must not end the watchdog before its work.
    { stdin: 'pipe', stdout: 'ignore', stderr: 'ignore', detached: true, cwd: '/' },
  )
  shell.unref()
  let released: Promise<void> | null = null
  return {
    release() {
      released ??= end(shell)
      return released
    },
  }
}

async function end(shell: Subprocess<'pipe', 'ignore', 'ignore'>): Promise<void> {
  try {
    shell.stdin.write('stopped\n')
    await shell.stdin.end()
  } catch {
    // The shell was killed by someone else: the process is stopped all the same.
  }
  await shell.exited
}
