/** Which plugins the targets with plugins run, as entries of their plugins file. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

const FOLDER = resolve(import.meta.dir, '../../dist/plugins')
const HOT_TTL_MS = 60_000

/** What a target's gateway is given beside its database. */
export interface PluginSet {
  /** Files of dist/plugins without their ending, each with its configuration. */
  readonly plugins: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** The least severe level of log lines that are written, to a file. */
  readonly level: 'info' | 'warn'
}

const GUARDS = { firewall: {}, 'rate-limit': {}, audit: {} } as const

export const PLUGIN_SETS = {
  /** Firewall, rate-limit and audit, as they are without configuration. */
  guarded: { plugins: GUARDS, level: 'info' },
  /** As `guarded`, but what audit tells is counted and not written. */
  quiet: { plugins: GUARDS, level: 'warn' },
  cached: { plugins: { cache: { ttlMs: HOT_TTL_MS } }, level: 'warn' },
  masked: { plugins: { mask: {} }, level: 'warn' },
} as const satisfies Readonly<Record<string, PluginSet>>

export type PluginSetName = keyof typeof PLUGIN_SETS

/** The plugins file of a set; throws where a plugin is not built. */
export function pluginsFileOf({ plugins }: PluginSet): Readonly<Record<string, unknown>> {
  const entries = Object.entries(plugins).map(([name, config]) => {
    const localPath = `${FOLDER}/${name}.wasm`
    if (!existsSync(localPath)) throw new Error(`${localPath} is not there: build it`)
    // Half of the time is the plugin's by right where two cores are all that there is.
    return { name, localPath, config, limits: { cpuShareMax: 100 } }
  })
  return { plugins: entries }
}
