/** The plugins running now: started in the file's order, asked for status, stopped in reverse. */
import { closeSync, openSync, readSync } from 'node:fs'
import type { Logger } from 'pino'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import type { Plugin, PluginSpec, PluginStatus, Runtime } from './plugin.ts'

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

export class PluginRegistry {
  readonly #log: Logger
  #plugins: Plugin[] = []

  constructor(log: Logger) {
    this.#log = log
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
   * unless it is required: then this throws PLUGIN_REQUIRED, and the others have been stopped.
   * Two plugins of one name are refused with PLUGIN_DUPLICATE in the same way.
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
    this.#plugins.push(plugin)
    await plugin.start()
    const twin = this.#plugins.find((other) => other !== plugin && other.name === plugin.name)
    if (twin !== undefined) {
      await plugin.stop()
      const cure = 'give each its own name'
      throw new GatewayError('PLUGIN_DUPLICATE', `two plugins are named "${plugin.name}": ${cure}`)
    }
    const { version, hooks } = plugin.status()
    this.#log.info({ plugin: plugin.name, version, hooks }, 'plugin ready')
  }

  /** Stops all plugins, the last first; never throws. */
  async stop(): Promise<void> {
    for (const plugin of this.#plugins.toReversed()) {
      try {
        await plugin.stop()
      } catch (thrown) {
        this.#log.error({ plugin: plugin.name }, `could not be stopped: ${sentenceOf(thrown)}`)
      }
    }
  }
}
