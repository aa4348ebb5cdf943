/** A WebAssembly module as a plugin: the body of its life, its steps, and what it reports. */
import { basename } from 'node:path'
import { GatewayError } from '../../base/errors.ts'
import type { PluginSteps } from '../../hooks/step.ts'
import type { CallCounts } from '../../metrics/calls.ts'
import { PluginLife } from '../life.ts'
import type {
  Admission,
  Plugin,
  PluginManifest,
  PluginSpec,
  PluginState,
  PluginStatus,
  PluginSurroundings,
  SandboxFacts,
} from '../plugin.ts'
import { type Belongings, makeBelongings } from './belongings.ts'
import { Guest } from './guest.ts'
import { type Loaded, loadModule, placeOf, startFlaw } from './load.ts'
import { parseManifest, type WasmManifest } from './manifest.ts'
import { encodeText } from './memory.ts'
import { Runner } from './runner.ts'
import { fillObject, firstFlaw } from './schema.ts'
import { makeSteps } from './steps.ts'
import { PluginStores } from './store.ts'

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

/** What the gateway tells others of a manifest. */
function publicManifest(name: string, manifest: WasmManifest): PluginManifest {
  const { version, description, authors, license, projectUrl, hooks, requires } = manifest
  const { workers: workersMax } = manifest
  return {
    name,
    version,
    description,
    authors,
    license,
    projectUrl,
    hooks: hooks.map((hook) => hook.name),
    requires,
    metricsSocket: null,
    workersMax,
  }
}

class WasmPlugin implements Plugin {
  readonly spec: PluginSpec
  onStateChange?: (state: PluginState) => void
  readonly #surroundings: PluginSurroundings
  readonly #stores: PluginStores
  readonly #belongings: Belongings
  readonly #life: PluginLife
  readonly #runner: Runner
  #admit: Admission | undefined
  #loaded: Loaded | null = null
  #manifest: WasmManifest | null = null
  #steps: PluginSteps = NO_STEPS
  /** What the steps were made from; the same file gets the same steps again. */
  #stepsOf = ''

  constructor(spec: PluginSpec, surroundings: PluginSurroundings, stores: PluginStores) {
    this.spec = spec
    this.#surroundings = surroundings
    this.#stores = stores
    const log = surroundings.log.child({ plugin: spec.name ?? spec.localPath })
    this.#belongings = makeBelongings(spec.name ?? '', log, spec.limits, surroundings.clock)
    this.#life = new PluginLife({
      body: {
        open: () => this.#open(),
        rest: () => this.#runner.rest(),
        // An instance that nobody calls any more is garbage.
        discard: () => undefined,
        close: () => this.#withdrawMetrics(),
      },
      label: () => (this.name === '' ? basename(spec.localPath) : this.name),
      log: surroundings.log,
      clock: surroundings.clock,
      restarts: true,
      stableMs: null,
      // Clients may cause it as often as they like; the chain counts it, and logs it now and then.
      lossLevel: 'debug',
      told: (state) => this.onStateChange?.(state),
    })
    this.#runner = new Runner(this.#life, this.#belongings)
  }

  get name(): string {
    return this.#belongings.name
  }

  get manifest(): PluginManifest | null {
    return this.#manifest === null ? null : publicManifest(this.name, this.#manifest)
  }

  get sandbox(): SandboxFacts {
    const { hits, traps, consumption } = this.#belongings
    return { hits, traps, consumption, memoryBytes: this.#runner.memoryBytes }
  }

  get calls(): CallCounts {
    return this.#runner.counts
  }

  get steps(): PluginSteps {
    return this.#steps
  }

  status(): PluginStatus {
    const { runtime, priority, localPath, onFailure, required } = this.spec
    const { lastError } = this.#runner
    const { calls, failures, spentMs } = this.calls
    const life = this.#life.report()
    const isTold = life.state === 'ready' && lastError !== ''
    return {
      ...life,
      name: this.name,
      runtime,
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
      lastError: isTold ? lastError : this.#life.lastError,
      pid: null,
      lastLines: [],
    }
  }

  start(admit?: Admission): Promise<void> {
    this.#admit = admit
    return this.#life.start()
  }

  stop(): Promise<void> {
    return this.#life.stop()
  }

  async #open(): Promise<() => void> {
    try {
      if (this.#life.state === 'restarting' && this.#loaded !== null) {
        const guest = await this.#instance(this.#loaded)
        return () => this.#runner.use(guest)
      }
      return await this.#load()
    } catch (thrown) {
      if (thrown instanceof GatewayError) throw thrown
      throw startFlaw(this.spec, 'its start', thrown)
    }
  }

  async #load(): Promise<() => void> {
    const loaded = await loadModule(this.spec, this.#surroundings, this.#belongings.hits)
    this.#loaded = loaded
    const guest = await this.#instance(loaded)
    const manifest = this.#describe(guest, loaded)
    return () => {
      this.#adopt(manifest, loaded)
      this.#runner.use(guest)
    }
  }

  async #instance(loaded: Loaded): Promise<Guest> {
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
    this.#admit?.(publicManifest(name, manifest))
    this.#withdrawMetrics()
    belongings.metrics = this.#surroundings.meter.declare(name, manifest.metrics, {
      seriesMax: this.spec.limits.metricSeriesMax,
      onSpent: () => belongings.hits.add('metricSeriesMax'),
    })
    belongings.labelCounts = manifest.metrics.map((metric) => metric.labels.length)
    belongings.name = name
    belongings.config = configValues(config)
    const isShared = manifest.store === 'shared'
    belongings.store = this.#stores.of(name, this.spec.limits.kvBytesMax, isShared)
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
