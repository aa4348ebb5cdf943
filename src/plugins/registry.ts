/** The plugins running now: started in the file's order, asked for status, stopped in reverse. */
import { closeSync, openSync, readSync } from 'node:fs'
import type { Logger } from 'pino'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { Holdings } from '../base/holdings.ts'
import { carriedOver, type Placed } from './carry.ts'
import type { Clock } from './clock.ts'
import { watchHealth } from './health.ts'
import type { Plugin, PluginManifest, PluginSpec, PluginStatus, Runtime } from './plugin.ts'
import { unmet } from './requirement.ts'

/** The first four bytes of every WebAssembly module. */
const WASM_MAGIC = '\0asm'

/** What runs a plugin file: told by its first bytes. A file that cannot be read counts as gRPC. */
export function runtimeOf(path: string): Runtime {
  const magic = Buffer.alloc(WASM_MAGIC.length)
  try {
    const file = openSync(path, 'r')
    readSync(file, magic)
    closeSync(file)
  } catch {
    // The plugin itself reports a file that is not there, with the name of its entry.
    return 'grpc'
  }
  return magic.toString('latin1') === WASM_MAGIC ? 'wasm' : 'grpc'
}

/** How plugins of each runtime are made; handed in, so that unused runtimes are never loaded. */
export type PluginFactory = (spec: PluginSpec) => Promise<Plugin>

export interface RegistryOptions {
  readonly log: Logger
  /** What a requirement that is not met does to the plugin: `strict` refuses it, `loose` warns. */
  readonly compatibility: 'strict' | 'loose'
  /** Time between pings of a plugin. */
  readonly pingPeriodMs: number
  /** What becomes of the whole where a required plugin does not start. */
  readonly consequence?: string
  /** The machine's own where it is left out. */
  readonly clock?: Clock
  /** The plugins of all generations; left out: of this one alone. */
  readonly holdings?: Holdings<Plugin>
}

export class PluginRegistry {
  readonly #options: RegistryOptions
  readonly #log: Logger
  readonly #holdings: Holdings<Plugin>
  readonly #placed: Placed[] = []
  readonly #kept: Plugin[] = []
  readonly #consequence: string
  /** Only while the plugins are started: or each generation would keep all before it. */
  #running: readonly Placed[]
  #endWatch: () => void = () => undefined
  #stopping: Promise<void> | null = null

  /** `running`: the plugins that run already, of which the unchanged ones are kept. */
  constructor(options: RegistryOptions, running: readonly Placed[] = []) {
    this.#options = options
    this.#running = running
    this.#log = options.log
    this.#holdings = options.holdings ?? new Holdings()
    this.#consequence = options.consequence ?? 'the gateway does not start'
  }

  /** All plugins that were asked for, with the entries by which they were. */
  get placed(): readonly Placed[] {
    return this.#placed
  }

  /** Those of them that ran before, and went on running. */
  get kept(): readonly Plugin[] {
    return this.#kept
  }

  /** All plugins that were asked for, also those that failed, in the order of the file. */
  get plugins(): readonly Plugin[] {
    return this.#placed.map(({ plugin }) => plugin)
  }

  statuses(): readonly PluginStatus[] {
    return this.#placed.map(({ plugin, spec }) => ({
      ...plugin.status(),
      priority: spec.priority,
    }))
  }

  /**
   * Starts one plugin after the other. One that fails is logged; the gateway goes on without it
   * unless it is required: then this throws PLUGIN_REQUIRED, and the others have been stopped. Two
   * plugins of one name are refused with PLUGIN_DUPLICATE in the same way.
   */
  async start(specs: readonly PluginSpec[], make: PluginFactory): Promise<void> {
    for (const spec of specs) {
      const failure = await this.#tried(spec, make)
      if (failure === null) continue
      if (failure.code !== 'PLUGIN_REQUIRED' && failure.code !== 'PLUGIN_DUPLICATE') {
        this.#log.error(
          { plugin: spec.name ?? spec.localPath },
          `${sentenceOf(failure)} (the gateway goes on without it)`,
        )
        continue
      }
      await this.stop()
      throw failure
    }
    this.#running = []
  }

  /** Pings the plugins from now on: to be called when their hooks are bound. */
  watch(): void {
    this.#endWatch()
    this.#endWatch = watchHealth({
      plugins: () => this.plugins,
      periodMs: this.#options.pingPeriodMs,
      log: this.#log,
      clock: this.#options.clock,
    })
  }

  /** Starts every plugin, whatever becomes of the others; returns all failures. */
  async tryAll(
    specs: readonly PluginSpec[],
    make: PluginFactory,
  ): Promise<readonly GatewayError[]> {
    const failures: GatewayError[] = []
    for (const spec of specs) {
      const failure = await this.#tried(spec, make)
      if (failure !== null) failures.push(failure)
    }
    this.#running = []
    return failures
  }

  async #tried(spec: PluginSpec, make: PluginFactory): Promise<GatewayError | null> {
    try {
      await this.#startOne(spec, make)
      return null
    } catch (cause) {
      const known = cause instanceof GatewayError ? cause : null
      // Two plugins of one name are a mistake of the operator, whatever the entries say.
      if (known !== null && (known.code === 'PLUGIN_DUPLICATE' || !spec.required)) return known
      const name = `plugin "${spec.name ?? spec.localPath}"`
      return spec.required
        ? new GatewayError('PLUGIN_REQUIRED', `${name}: it is required, so ${this.#consequence}`, {
            cause,
          })
        : new GatewayError('PLUGIN_FILE', `${name} does not start`, { cause })
    }
  }

  async #startOne(spec: PluginSpec, make: PluginFactory): Promise<void> {
    const before = this.plugins
    const kept = await carriedOver(spec, this.#running)
    if (kept !== null) {
      // What it requires may be gone, or behind it now.
      if (kept.manifest !== null) this.#admit(kept.manifest, before)
      this.#holdings.hold(kept)
      this.#placed.push({ plugin: kept, spec })
      this.#kept.push(kept)
      return
    }
    const plugin = await make(spec)
    this.#holdings.hold(plugin)
    this.#placed.push({ plugin, spec })
    await plugin.start((manifest) => this.#admit(manifest, before))
    const { version, hooks } = plugin.status()
    this.#log.info({ plugin: plugin.name, version, hooks }, 'plugin ready')
  }

  /** Lets a plugin in that has said what it is, beside those before it; throws to refuse it. */
  #admit(manifest: PluginManifest, before: readonly Plugin[]): void {
    if (before.some(({ name }) => name === manifest.name)) {
      const problem = `two plugins are named "${manifest.name}": give each its own name`
      throw new GatewayError('PLUGIN_DUPLICATE', problem)
    }
    for (const problem of unmet(manifest, before)) {
      if (this.#options.compatibility === 'strict') {
        const cure = 'or set compatibilityPolicy: loose'
        throw new GatewayError('PLUGIN_REQUIREMENT', `${problem}, ${cure}`)
      }
      const consequence = 'started all the same, because of compatibilityPolicy: loose'
      this.#log.warn({ plugin: manifest.name }, `${problem}; ${consequence}`)
    }
  }

  /**
   * Stops all plugins that no other generation holds, the last first, and the watch; never throws.
   * Idempotent.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    this.#endWatch()
    for (const plugin of this.plugins.toReversed()) {
      try {
        await this.#holdings.release(plugin)
      } catch (thrown) {
        this.#log.error({ plugin: plugin.name }, `could not be stopped: ${sentenceOf(thrown)}`)
      }
    }
  }
}
