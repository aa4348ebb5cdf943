/** The programs that call a gRPC plugin for the bench: built, started, told what to measure. */
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { mustRun } from '../kit/command.ts'
import { processorMicros } from './processor.ts'

const ROOT = resolve(import.meta.dir, '../..')
const BUILT = join(ROOT, 'dist/bench')

export const HOSTS = ['go', 'postern'] as const
export type HostName = (typeof HOSTS)[number]

/** One measurement: calls of so many bytes, so many of them in flight, for so long. */
export interface Order {
  readonly bytes: number
  readonly inFlight: number
  readonly seconds: number
}

export interface HostReport {
  readonly perSecond: number
  readonly medianMicros: number
  /** Microseconds of processor a call, of the host and of the plugin's process. */
  readonly hostMicros: number
  readonly pluginMicros: number
}

const started = z.object({ pluginPid: z.number() })
const measured = z.object({ calls: z.number(), seconds: z.number(), medianMicros: z.number() })

/** The host on HashiCorp's library (`go-host/`); throws where there is no Go. */
export async function buildGoHost(): Promise<string> {
  mkdirSync(BUILT, { recursive: true })
  const path = join(BUILT, 'grpc-host-go')
  const folder = join(import.meta.dir, 'go-host')
  await mustRun(['go', 'build', '-trimpath', '-o', path, '.'], { cwd: folder })
  return path
}

/** The gateway's own calls (`grpc-host.ts`), compiled as the gateway is. */
export async function buildOwnHost(): Promise<string> {
  mkdirSync(BUILT, { recursive: true })
  const path = join(BUILT, 'grpc-host')
  const entry = join(import.meta.dir, 'grpc-host.ts')
  const autoload = ['--no-compile-autoload-dotenv', '--no-compile-autoload-bunfig']
  const flags = ['--compile', '--minify', '--bytecode', '--format=esm', ...autoload]
  await mustRun([process.execPath, 'build', ...flags, `--outfile=${path}`, entry], { cwd: ROOT })
  return path
}

/** A host with its plugin, waiting for orders. */
export class Host {
  readonly name: HostName
  readonly #child: Bun.Subprocess<'pipe', 'pipe', 'inherit'>
  readonly #lines: AsyncGenerator<string>
  #pluginPid = 0

  private constructor(name: HostName, program: string, plugin: string) {
    this.name = name
    const stdio = { stdin: 'pipe', stdout: 'pipe', stderr: 'inherit' } as const
    this.#child = Bun.spawn([program, plugin], stdio)
    this.#lines = linesOf(this.#child.stdout)
  }

  static async start(name: HostName, program: string, plugin: string): Promise<Host> {
    const host = new Host(name, program, plugin)
    host.#pluginPid = started.parse(await host.#answer()).pluginPid
    return host
  }

  async measure(order: Order): Promise<HostReport> {
    const hostBefore = processorMicros([this.#child.pid])
    const pluginBefore = processorMicros([this.#pluginPid])
    this.#child.stdin.write(`${JSON.stringify(order)}\n`)
    this.#child.stdin.flush()
    const { calls, seconds, medianMicros } = measured.parse(await this.#answer())
    return {
      perSecond: calls / seconds,
      medianMicros,
      hostMicros: (processorMicros([this.#child.pid]) - hostBefore) / calls,
      pluginMicros: (processorMicros([this.#pluginPid]) - pluginBefore) / calls,
    }
  }

  /** Ends it, and its plugin with it. */
  async stop(): Promise<void> {
    this.#child.stdin.end()
    await this.#child.exited
  }

  async #answer(): Promise<unknown> {
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error(`the host "${this.name}" ended: see its words above`)
    return JSON.parse(value)
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true })
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    yield* lines
  }
}
