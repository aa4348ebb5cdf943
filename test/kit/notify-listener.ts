/** What a service manager hears: a datagram socket, which Bun cannot listen on, in Python. */
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'

export const HAS_PYTHON = Bun.which('python3') !== null

const PROGRAM = join(import.meta.dir, 'notify-listener.py')

export interface NotifyListener {
  /** All lines heard so far, of all messages. */
  heard(): readonly string[]
  /** Resolves when a line begins with `words`; rejects where the listener ends before. */
  hears(words: string): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Listens on a path, or on `@` and a name that is no file. */
export async function listenForNotices(name: string): Promise<NotifyListener> {
  const child = Bun.spawn(['python3', PROGRAM, name], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  const waiting = new Set<() => void>()
  const started = Promise.withResolvers<void>()
  const reader = createInterface({ input: Readable.from(child.stdout) })
  reader.on('line', (line) => {
    started.resolve()
    const message: readonly string[] = JSON.parse(line)
    lines.push(...message)
    for (const wake of waiting) wake()
  })
  reader.on('close', () => {
    started.reject(new Error(`nothing can listen on ${name}`))
    for (const wake of waiting) wake()
  })
  await started.promise
  return {
    heard: () => lines,
    async hears(words) {
      while (!lines.some((line) => line.startsWith(words))) {
        if (child.exitCode !== null) throw new Error(`not heard: ${words}, only:\n${lines}`)
        await new Promise<void>((wake) => {
          waiting.add(wake)
        })
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill()
      await child.exited
    },
  }
}
