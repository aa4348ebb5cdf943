/**
 * A process between the two of an upgrade: it starts the one that takes over and ends, so that that
 * one is a child of whoever looks after processes without a parent, such as a service manager.
 */
import { writeSync } from 'node:fs'
import { sentenceOf } from '../base/errors.ts'
import { DESCRIPTOR_CHANNEL, LINE, type ToPredecessor } from './messages.ts'

/** What makes one of the executable; nobody types it by accident. */
export const STARTER_COMMAND = '--starter-of-an-upgrade'

/** The command line of it: this executable, also where another lies at its path by now. */
export function starterCommand(command: readonly string[]): string[] {
  const isCompiled = Bun.main.startsWith('/$bunfs/')
  const own = ['/proc/self/exe', ...(isCompiled ? [] : [Bun.main]), STARTER_COMMAND]
  return [...own, ...command]
}

/** Starts a command with the descriptors of this process; true where that could be done. */
export function startFor(command: readonly string[]): boolean {
  try {
    const child = Bun.spawn([...command], {
      stdio: ['inherit', 'inherit', 'inherit', DESCRIPTOR_CHANNEL, LINE],
      env: process.env,
    })
    child.unref()
    say({ kind: 'started', pid: child.pid })
    return true
  } catch (thrown) {
    say({ kind: 'refused', problem: `${command[0]} cannot be started: ${sentenceOf(thrown)}` })
    return false
  }
}

/** The line is that of the process that was started, which has not spoken yet. */
function say(message: ToPredecessor): void {
  writeSync(LINE, `${JSON.stringify(message)}\n`)
}
