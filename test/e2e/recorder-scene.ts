/**
 * A plugin that writes down every call, for the tests of what plugins are told: on HashiCorp's
 * library where there is Go to build it, else the scripted one, which writes the same.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildRecorder } from '../fixtures/grpc/build.ts'
import { until } from '../kit/traffic.ts'
import { buildPlugins, type Entry, entryOf, HAS_GO, scripted } from './plugins-scene.ts'

/** One call as it came over the wire; bytes are `{ bytes }`, one character a byte. */
export interface RecordedCall {
  /** The plugin that was called, where several write into one file (needs Go). */
  readonly plugin: string
  readonly method: string
  readonly params: Readonly<Record<string, unknown>>
  /** What is left of the call's time when it comes; null or -1 where it has no end. */
  readonly timeoutMs: number | null
}

/** What a recorder returns at one hook, beside what it was given (needs Go). */
export interface RecorderAnswer {
  readonly set?: Readonly<Record<string, unknown>>
  readonly drop?: readonly string[]
  /** Words that request or response must contain. */
  readonly when?: string
}

export interface RecorderOptions {
  readonly name?: string
  /** Numbers of the hooks to list; every one there is where left out, and some that are none. */
  readonly hooks?: string
  readonly answers?: Readonly<Record<string, RecorderAnswer>>
  /** `name=version` of a plugin that it requires (needs Go). */
  readonly requires?: string
  /** Serves metrics there, and writes down scrapes and pings (needs Go). */
  readonly metricsSocket?: string
}

export async function buildRecorders(): Promise<void> {
  await buildPlugins()
  await buildRecorder()
}

/** The file in which recorders write down their calls. */
export class Recording implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'postern-record-'))
  readonly file = join(this.#folder, 'calls')

  /** An entry for a recorder that writes here. */
  entry(options: RecorderOptions = {}, more: Entry = {}): Entry {
    const { name = 'recorder', hooks = '', answers, requires = '', metricsSocket = '' } = options
    const wishes = { NAME: name, RECORD_FILE: this.file, ...(hooks !== '' && { HOOKS: hooks }) }
    if (!HAS_GO) {
      const all = Array.from({ length: 22 }, (_, index) => index + 1).join()
      return scripted({ HOOKS: all, ...wishes }, { name, ...more })
    }
    const variables = {
      ...wishes,
      REQUIRES: requires,
      METRICS_SOCKET: metricsSocket,
      ANSWERS: JSON.stringify(answers ?? {}),
    }
    const env = Object.entries(variables).map(([key, value]) => `${key}=${value}`)
    return entryOf('recorder-go', { name, env, ...more })
  }

  calls(): readonly RecordedCall[] {
    if (!existsSync(this.file)) return []
    const lines = readFileSync(this.file, 'utf8').split('\n')
    // The last line may be under way.
    return lines.slice(0, -1).map((line) => ({ plugin: '', ...JSON.parse(line) }))
  }

  methods(): readonly string[] {
    return this.calls().map(({ method }) => method)
  }

  of(method: string): readonly RecordedCall[] {
    return this.calls().filter((call) => call.method === method)
  }

  /** The parameters of the calls of one method. */
  params(method: string): readonly RecordedCall['params'][] {
    return this.of(method).map(({ params }) => params)
  }

  /** Resolves when a method was called so often. */
  reaches(method: string, count: number): Promise<void> {
    return until(`${method} was called ${count} times`, () => this.of(method).length >= count)
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true })
  }
}
