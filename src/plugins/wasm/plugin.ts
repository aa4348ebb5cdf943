/** A WebAssembly module as a plugin: its life from the file to its steps, and what it reports. */
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
import { Guest } from './guest.ts'
import type { Belongings } from './host.ts'
import { Journal } from './journal.ts'
import { type Loaded, loadModule, placeOf, startFlaw } from './load.ts'
import { parseManifest, type WasmManifest } from './manifest.ts'
import { encodeText } from './memory.ts'
import { Runner } from './runner.ts'
import { fillObject, firstFlaw } from './schema.ts'
import { makeSteps } from './steps.ts'
import { PluginStore, PluginStores, VARIABLES_BUDGET } from './store.ts'

const NO_STEPS: PluginSteps = { observers: {} }

/** The entry's configuration as the guest gets it: texts as they are, the rest as JSON. */
function configValues(config: Readonly<Record<string, unknown>>): ReadonlyMap<string, Uint8Array> {
  const values = new Map([['', encodeText(JSON.stringify(config))]])
  for (const [key, value] of Object.entries(config)) {
    if (key === '' || value === undefined) continue
    values.set(key, encodeText(typeof value === 'string' ? value : JSON.stringify(value)))
  }
  return values
}

class WasmPlugin implements Plugin {
  readonly spec: PluginSpec
  onStateChange?: (state: PluginState) => void
  readonly #surroundings: PluginSurroundings
  readonly #stores: PluginStores
  readonly #belongings: Belongings
  readonly #runner: Runner
  #state: PluginState = 'stopped'
  #loaded: Loaded | null = null
  #manifest: WasmManifest | null = null
  #steps: PluginSteps = NO_STEPS
  /** What the steps were made from; the same file gets the same steps again. */
  #stepsOf = ''
  #starting: Promise<void> | null = null
  /** Counts starts and stops, so that a start that was overtaken by a stop knows. */
  #epoch = 0
  #lastError = ''

  constructor(spec: PluginSpec, surroundings: PluginSurroundings, stores: PluginStores) {
    this.spec = spec
    this.#surroundings = surroundings
    this.#stores = stores
    this.#belongings = {
      name: spec.name ?? '',
      journal: new Journal(surroundings.log.child({ plugin: spec.name ?? spec.localPath })),
      store: null,
      variables: new PluginStore(VARIABLES_BUDGET),
      metrics: null,
      labelCounts: [],
      config: new Map(),
    }
    this.#runner = new Runner({
      journal: this.#belongings.journal,
      renew: () => this.#instance(),
      onBroken: () => {
        this.#state = 'broken'
        this.onStateChange?.('broken')
      },
    })
  }

  get name(): string {
    return this.#belongings.name
  }

  get manifest(): PluginManifest | null {
    const manifest = this.#manifest
    if (manifest === null) return null
    const { version, description, authors, license, projectUrl, hooks, requires } = manifest
    return {
      name: this.name,
      version,
      description,
      authors,
      license,
      projectUrl,
      hooks: hooks.map((hook) => hook.name),
      requires,
      metricsSocket: null,
    }
  }

  get steps(): PluginSteps {
    return this.#steps
  }

  status(): PluginStatus {
    const { runtime, priority, localPath, onFailure, required } = this.spec
    const { calls, failures, spentMs, lastError, renewing } = this.#runner
    return {
      name: this.name,
      runtime,
      state: this.#state === 'ready' && renewing ? 'restarting' : this.#state,
      priority,
      path: localPath,
      checksum: this.#loaded?.checksum ?? '',
      version: this.#manifest?.version ?? '',
      hooks: this.#manifest?.hooks.map((hook) => hook.name) ?? [],
      onFailure,
      required,
      calls,
      failures,
      callMicros: Math.round(spentMs * 1000),
      lastError: lastError === '' ? this.#lastError : lastError,
      pid: null,
    }
  }

  start(): Promise<void> {
    if (this.#state === 'ready') return Promise.resolve()
    this.#starting ??= this.#start().finally(() => {
      this.#starting = null
    })
    return this.#starting
  }

  stop(): Promise<void> {
    this.#epoch++
    this.#state = 'stopped'
    this.#runner.stop()
    this.#withdrawMetrics()
    return Promise.resolve()
  }

  async #start(): Promise<void> {
    const epoch = ++this.#epoch
    this.#state = 'starting'
    try {
      this.#loaded = await loadModule(this.spec, this.#surroundings)
      const guest = await this.#instance()
      const manifest = this.#describe(guest, this.#loaded)
      if (epoch !== this.#epoch) throw new Error('stopped before its start was over')
      this.#adopt(manifest, this.#loaded)
      this.#runner.use(guest)
      this.#state = 'ready'
    } catch (thrown) {
      this.#state = epoch === this.#epoch ? 'broken' : 'stopped'
      this.#lastError = sentenceOf(thrown)
      if (thrown instanceof GatewayError) throw thrown
      throw startFlaw(this.spec, 'its start', thrown)
    }
  }

  async #instance(): Promise<Guest> {
    const loaded = this.#loaded
    if (loaded === null) throw new Error('no module is loaded')
    try {
      return await Guest.open(loaded.module, loaded.shape, this.#belongings)
    } catch (thrown) {
      throw startFlaw(this.spec, 'making an instance', thrown)
    }
  }

  #describe(guest: Guest, loaded: Loaded): WasmManifest {
    let output: Uint8Array
    try {
      output = guest.describe()
      guest.finish()
    } catch (thrown) {
      throw startFlaw(this.spec, 'describe', thrown)
    }
    return parseManifest(output, loaded.shape, placeOf(this.spec))
  }

  /** Takes name, configuration, metrics and steps from a manifest. */
  #adopt(manifest: WasmManifest, loaded: Loaded): void {
    const belongings = this.#belongings
    const config = this.#config(manifest)
    const name = this.spec.name ?? manifest.name
    this.#withdrawMetrics()
    belongings.metrics = this.#surroundings.meter.declare(name, manifest.metrics)
    belongings.labelCounts = manifest.metrics.map((metric) => metric.labels.length)
    belongings.name = name
    belongings.config = configValues(config)
    belongings.store = this.#stores.of(name)
    belongings.journal.rename(this.#surroundings.log.child({ plugin: name }))
    this.#manifest = manifest
    if (this.#stepsOf === loaded.checksum) return
    const { priority, onFailure } = this.spec
    this.#steps = makeSteps({ plugin: name, priority, onFailure }, manifest.hooks, this.#runner)
    this.#stepsOf = loaded.checksum
  }

  /** The entry's configuration with the defaults of the manifest's schema, checked against it. */
  #config(manifest: WasmManifest): Readonly<Record<string, unknown>> {
    const config = fillObject(manifest.config, this.spec.config)
    const flaw = firstFlaw(config, manifest.config, 'config')
    if (flaw === null) return config
    throw new GatewayError('CONFIG_INVALID', `${placeOf(this.spec)}: ${flaw}`)
  }

  #withdrawMetrics(): void {
    this.#belongings.metrics?.withdraw()
    this.#belongings.metrics = null
  }
}

/**
 * Makes a plugin from a module file; nothing is read before `start`. `stores` keeps the key-value
 * data of plugins by name: hand in one for the gateway's life, so that they outlive a reload.
 */
export function createWasmPlugin(
  spec: PluginSpec,
  surroundings: PluginSurroundings,
  stores = new PluginStores(),
): Plugin {
  return new WasmPlugin(spec, surroundings, stores)
}
