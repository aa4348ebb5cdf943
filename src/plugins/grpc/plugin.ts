/**
 * A gRPC plugin behind the one plugin interface: its life and its steps. The process, and the
 * libraries that takes, are in `running.ts`, loaded when the first plugin is started.
 */
import { basename } from 'node:path'
import { GatewayError, sentenceOf } from '../../base/errors.ts'
import type { PluginSteps } from '../../hooks/step.ts'
import type {
  Plugin,
  PluginManifest,
  PluginSpec,
  PluginState,
  PluginStatus,
  PluginSurroundings,
} from '../plugin.ts'
import { Caller } from './caller.ts'
import { describe } from './description.ts'
import type { Running } from './running.ts'
import { stepsOf } from './steps.ts'

class GrpcPlugin implements Plugin {
  readonly spec: PluginSpec
  onStateChange?: (state: PluginState) => void
  readonly #surroundings: PluginSurroundings
  #state: PluginState = 'stopped'
  #manifest: PluginManifest | null = null
  /** Made once, at the first start; outlives every process, as the steps do. */
  #caller: Caller | null = null
  #steps: PluginSteps = { observers: {} }
  #running: Running | null = null
  #checksum = ''
  #startError = ''
  #starting: Promise<void> | null = null
  #stopping: Promise<void> | null = null
  #abort = new AbortController()

  constructor(spec: PluginSpec, surroundings: PluginSurroundings) {
    this.spec = spec
    this.#surroundings = surroundings
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
    const numbers = this.#caller?.numbers ?? { calls: 0, failures: 0, callMicros: 0, lastError: '' }
    return {
      ...numbers,
      name: this.#label(),
      runtime: 'grpc',
      state: this.#state,
      priority: this.spec.priority,
      path: this.spec.localPath,
      checksum: this.#checksum,
      version: this.#manifest?.version ?? '',
      hooks: this.#manifest?.hooks ?? [],
      onFailure: this.spec.onFailure,
      required: this.spec.required,
      lastError: this.#startError === '' ? numbers.lastError : this.#startError,
      pid: this.#running?.pid ?? null,
    }
  }

  start(): Promise<void> {
    if (this.#state === 'ready') return Promise.resolve()
    this.#starting ??= this.#begin().finally(() => {
      this.#starting = null
    })
    return this.#starting
  }

  stop(): Promise<void> {
    const problem = `plugin ${this.#label()}: its start was broken off by a stop`
    this.#abort.abort(new GatewayError('PLUGIN_EXITED', problem))
    this.#stopping ??= this.#end().finally(() => {
      this.#stopping = null
    })
    return this.#stopping
  }

  async #begin(): Promise<void> {
    this.#abort = new AbortController()
    const { signal } = this.#abort
    // A new process comes only when nothing of the last one is left.
    await this.#stopping
    this.#state = this.#caller === null ? 'starting' : 'restarting'
    try {
      await this.#running?.stop()
      this.#running = null
      await this.#bringUp(signal)
      this.#startError = ''
    } catch (thrown) {
      this.#state = signal.aborted ? 'stopped' : 'failing'
      this.#startError = sentenceOf(thrown)
      throw thrown
    }
  }

  async #bringUp(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { startPlugin } = await import('./running.ts')
    const label = (): string => this.#label()
    const running = await startPlugin({
      // Read at each use: a plugin without a name in its entry gets to be called by its own.
      get plugin() {
        return label()
      },
      spec: this.spec,
      dev: this.#surroundings.dev,
      socketFolder: this.#surroundings.runFolder(),
      log: this.#surroundings.log,
      signal,
      lost: (process, error) => this.#lose(process, error),
    })
    try {
      signal.throwIfAborted()
      this.#adopt(running)
    } catch (thrown) {
      await running.stop()
      throw thrown
    }
  }

  /** Takes a new process into use; no await between here and `ready`. */
  #adopt(running: Running): void {
    const { log } = this.#surroundings
    const note = (problem: string): void => log.debug({ plugin: this.#label() }, problem)
    const { spec } = this
    const { manifest, hooks } = describe(running.description, spec.name, spec.localPath, note)
    if (this.#caller === null) {
      const unresponsive = (process: Running, error: GatewayError): void =>
        this.#lose(process, error)
      this.#caller = new Caller({ name: manifest.name, spec, log, unresponsive })
      this.#steps = stepsOf(hooks, this.#caller)
    } else if (!sameHooks(manifest, this.#manifest)) {
      throw new GatewayError(
        'PLUGIN_MANIFEST',
        `plugin ${this.#label()} (${spec.localPath}) lists other hooks than before its restart; ` +
          'reload the configuration to take them',
      )
    }
    if (running.ended !== null) throw running.ended
    this.#manifest = manifest
    this.#checksum = running.checksum
    this.#running = running
    this.#caller.use(running)
    this.#state = 'ready'
  }

  /** A ready plugin can no longer answer: its steps fail at once until it is started again. */
  #lose(running: Running, error: GatewayError): void {
    if (this.#running !== running || this.#state !== 'ready') return
    this.#state = 'failing'
    this.#caller?.rest(`the plugin has failed: ${error.message}`)
    this.#startError = error.message
    this.#surroundings.log.error({ plugin: this.#label() }, `plugin failed: ${error.message}`)
    this.onStateChange?.('failing')
  }

  async #end(): Promise<void> {
    this.#rest()
    // A start that was under way ends first, and by itself.
    await this.#starting?.catch(() => undefined)
    this.#rest()
    await this.#running?.stop()
    this.#running = null
  }

  #rest(): void {
    this.#state = 'stopped'
    this.#caller?.rest('the plugin was stopped')
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
