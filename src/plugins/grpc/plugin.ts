/**
 * A gRPC plugin behind the one plugin interface: its steps, and the process as the body of its
 * life. The process, and the libraries that takes, are in `running.ts`, loaded when the first
 * plugin is started.
 */
import { basename } from 'node:path'
import { GatewayError, sentenceOf } from '../../base/errors.ts'
import type { PluginSteps } from '../../hooks/step.ts'
import { CallCounts } from '../../metrics/calls.ts'
import { PluginLife } from '../life.ts'
import type {
  Admission,
  Attachment,
  Plugin,
  PluginManifest,
  PluginSpec,
  PluginState,
  PluginStatus,
  PluginSurroundings,
} from '../plugin.ts'
import { Caller } from './caller.ts'
import { describe } from './description.ts'
import { LastLines } from './last-lines.ts'
import { statusOf } from './plugin-status.ts'
import type { Running } from './running.ts'
import { stepsOf } from './steps.ts'

/** A process that was ready for this long and fails begins a new row of failures. */
export const STABLE_MS = 10_000

class GrpcPlugin implements Plugin {
  readonly spec: PluginSpec
  readonly calls = new CallCounts()
  onStateChange?: (state: PluginState) => void
  readonly #surroundings: PluginSurroundings
  readonly #life: PluginLife
  #admit: Admission | undefined
  #manifest: PluginManifest | null = null
  /** Made once, at the first start; outlives every process, as the steps do. */
  #caller: Caller | null = null
  #steps: PluginSteps = { observers: {} }
  #running: Running | null = null
  #checksum = ''
  /** Of the process that failed last. */
  #lastLines = new LastLines()

  constructor(spec: PluginSpec, surroundings: PluginSurroundings) {
    this.spec = spec
    this.#surroundings = surroundings
    this.#life = new PluginLife({
      body: {
        open: (signal) => this.#open(signal),
        rest: () => this.#caller?.rest(),
        discard: () => this.#leave((running) => running.kill()),
        close: () => this.#leave((running) => running.stop()),
      },
      label: () => this.#label(),
      log: surroundings.log,
      clock: surroundings.clock,
      restarts: spec.reloadOnCrash,
      stableMs: STABLE_MS,
      lossLevel: 'error',
      told: (state) => this.onStateChange?.(state),
    })
  }

  get name(): string {
    return this.spec.name ?? this.#manifest?.name ?? ''
  }

  get manifest(): PluginManifest | null {
    return this.#manifest
  }

  get steps(): PluginSteps {
    return this.#steps
  }

  status(): PluginStatus {
    const lastError = this.#caller?.lastError ?? ''
    const life = this.#life.report()
    const isTold = life.state === 'ready' && lastError !== ''
    const running = this.#running
    const own = {
      ...life,
      name: this.#label(),
      checksum: this.#checksum,
      lastError: isTold ? lastError : this.#life.lastError,
      pid: running === null || running.ended !== null ? null : running.pid,
      lastLines: this.#lastLines.all,
    }
    return statusOf(own, this.spec, this.#manifest, this.calls)
  }

  start(admit?: Admission): Promise<void> {
    this.#admit = admit
    return this.#life.start()
  }

  stop(): Promise<void> {
    return this.#life.stop()
  }

  attachment(): Attachment | null {
    const running = this.#running
    if (running === null || this.#life.state !== 'ready') return null
    return running.attachment ?? null
  }

  async check(timeoutMs: number): Promise<void> {
    const running = this.#running
    if (running === null || this.#life.state !== 'ready') return
    if (await running.ping(timeoutMs)) return
    const problem = `it does not answer a ping (${timeoutMs} ms)`
    const error = new GatewayError('PLUGIN_TIMEOUT', problem)
    running.fail(error)
    this.#lose(running, error)
  }

  /** Starts a process; an error of it names the plugin, its path and the cure. */
  async #open(signal: AbortSignal): Promise<() => void> {
    const { startPlugin } = await import('./running.ts')
    const label = (): string => this.#label()
    const lastLines = new LastLines()
    try {
      const running = await startPlugin({
        // Read at each use: a plugin without a name in its entry gets to be called by its own.
        get plugin() {
          return label()
        },
        spec: this.spec,
        dev: this.#surroundings.dev,
        socketFolder: this.#surroundings.runFolder(),
        noteProcess: this.#surroundings.noteProcess,
        log: this.#surroundings.log,
        signal,
        lastLines,
        lost: (process, error) => this.#lose(process, error),
      })
      this.#running = running
      return () => this.#adopt(running)
    } catch (thrown) {
      this.#lastLines = lastLines
      const last = lastLines.all.at(-1)
      // Some errors quote them already.
      if (last !== undefined && !sentenceOf(thrown).includes(last)) this.#quote(lastLines)
      throw thrown
    }
  }

  /** Takes a new process into use. */
  #adopt(running: Running): void {
    const { log } = this.#surroundings
    const note = (problem: string): void => log.debug({ plugin: this.#label() }, problem)
    const { spec } = this
    const { manifest, hooks } = describe(running.description, spec.name, spec.localPath, note)
    if (running.ended !== null) throw running.ended
    if (this.#caller === null) {
      this.#admit?.(manifest)
      const unresponsive = (process: Running, error: GatewayError): void =>
        this.#lose(process, error)
      const absence = (): string => this.#life.absence
      this.#caller = new Caller({
        name: manifest.name,
        spec,
        log,
        counts: this.calls,
        absence,
        unresponsive,
      })
      this.#steps = stepsOf(hooks, this.#caller)
    } else if (!sameHooks(manifest, this.#manifest)) {
      throw new GatewayError(
        'PLUGIN_MANIFEST',
        `plugin ${this.#label()} (${spec.localPath}) lists other hooks than before its restart; ` +
          'reload the configuration to take them',
      )
    }
    this.#manifest = manifest
    this.#checksum = running.checksum
    this.#caller.use(running)
  }

  /** The process can no longer answer; its steps fail at once until there is another. */
  #lose(running: Running, error: GatewayError): void {
    if (this.#running !== running || this.#life.state !== 'ready') return
    const { lastLines } = running
    this.#lastLines = lastLines
    const quoting = running.silent().then(() => this.#quote(lastLines))
    const { log } = this.#surroundings
    quoting.catch((cause) => log.error({ plugin: this.#label() }, sentenceOf(cause)))
    this.#life.lost(error.message)
  }

  /** Logs what a failed process said at last. */
  #quote(lastLines: LastLines): void {
    if (lastLines.all.length === 0) return
    const words = 'what the failed plugin printed at last on its standard error'
    this.#surroundings.log.error({ plugin: this.#label(), lastLines: lastLines.all }, words)
  }

  async #leave(end: (running: Running) => Promise<void>): Promise<void> {
    const running = this.#running
    if (running === null) return
    await end(running)
    if (this.#running === running) this.#running = null
  }

  #label(): string {
    return this.name === '' ? basename(this.spec.localPath) : this.name
  }
}

function sameHooks(one: PluginManifest, other: PluginManifest | null): boolean {
  return other !== null && one.hooks.toSorted().join() === other.hooks.toSorted().join()
}

/** Makes a gRPC plugin; nothing is read, loaded or started before `start()`. */
export function createGrpcPlugin(spec: PluginSpec, surroundings: PluginSurroundings): Plugin {
  return new GrpcPlugin(spec, surroundings)
}
