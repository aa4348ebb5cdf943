/** The executable: arguments to the command line, signals to the gateway. Only this file exits. */
import { writeSync } from 'node:fs'
import { runCli } from './cli/postern.ts'

const STDOUT = 1
const STDERR = 2

/** Writes all of a text; `process.stdout` would cost several megabytes of memory for good. */
function write(descriptor: number, text: string): void {
  let rest: Uint8Array = Buffer.from(`${text}\n`)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest))
    } catch (thrown) {
      // A reader that is full is waited for; one that has gone away (head, less) is no error.
      if (thrown instanceof Error && 'code' in thrown && thrown.code === 'EAGAIN') continue
      return
    }
  }
}

const status = await runCli(process.argv.slice(2), {
  out: (text) => write(STDOUT, text),
  err: (text) => write(STDERR, text),
  env: process.env,
  get colour() {
    return process.stdout.isTTY === true && !process.env['NO_COLOR']
  },
  onSignal: (names, told) => {
    for (const name of names) process.on(name, () => told(name))
  },
})
process.exit(status)
