/** The plugins running now: started in the file's order, asked for status, stopped in reverse. */
import { closeSync, openSync, readSync } from 'node:fs'
import type { Logger } from 'pino'
import { GatewayError, sentenceOf } from '../base/errors.ts'
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
  /** The machine's own where it is left out. */
  readonly clock?: Clock
}

export class PluginRegistry {
  readonly #options: RegistryOptions
  readonly #log: Logger
  readonly #plugins: Plugin[] = []
  #endWatch: () => void = () => undefined

  constructor(options: RegistryOptions) {
    this.#options = options
    this.#log = options.log
  }

  /** All plugins that were asked for, also those that failed, in the order of the file. */
  get plugins(): readonly Plugin[] {
    return this.#plugins
  }

  statuses(): readonly PluginStatus[] {
    return this.#plugins.map((plugin) => plugin.status())
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
  }

  /** Pings the plugins from now on: to be called when their hooks are bound. */
  watch(): void {
    this.#endWatch()
    this.#endWatch = watchHealth({
      plugins: () => this.#plugins,
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
        ? new GatewayError(
            'PLUGIN_REQUIRED',
            `${name}: it is required, so the gateway does not start`,
            { cause },
          )
        : new GatewayError('PLUGIN_FILE', `${name} does not start`, { cause })
    }
  }

  async #startOne(spec: PluginSpec, make: PluginFactory): Promise<void> {
    const plugin = await make(spec)
    const before = [...this.#plugins]
    this.#plugins.push(plugin)
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

  /** Stops all plugins, the last first, and the watch; never throws. */
  async stop(): Promise<void> {
    this.#endWatch()
    for (const plugin of this.#plugins.toReversed()) {
      try {
        await plugin.stop()
      } catch (thrown) {
        this.#log.error({ plugin: plugin.name }, `could not be stopped: ${sentenceOf(thrown)}`)
      }
    }
  }
}
