/** An Io that keeps what a command writes. */
import type { Io } from '../../src/cli/io.ts'

export interface Recorder extends Io {
  readonly written: string[]
  readonly complaints: string[]
}

export function record(env: Io['env'] = {}, colour = false): Recorder {
  const written: string[] = []
  const complaints: string[] = []
  return {
    out: (text) => written.push(text),
    err: (text) => complaints.push(text),
    env,
    colour,
    written,
    complaints,
  }
}

/** What a command throws, or undefined. */
export async function thrownBy(run: Promise<unknown>): Promise<unknown> {
  return run.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
}
