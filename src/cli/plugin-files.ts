/** What the configuration says about plugins, and what their files say: with nothing running. */
import type { PluginReport } from '../admin/report.ts'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { createLog } from '../base/log.ts'
import { type LoadOptions, loadConfig } from '../config/load.ts'
import type { PluginEntry } from '../config/plugin-schema.ts'
import { createMeter } from '../metrics/meter.ts'
import type { PluginManifest, PluginSpec } from '../plugins/plugin.ts'
import { specOf } from '../plugins/spec.ts'
import { checksumOf } from './checksum.ts'

/** One report for each entry, also for those that are disabled or broken. */
export async function readPluginFiles(options: LoadOptions): Promise<readonly PluginReport[]> {
  const file = loadConfig(options).plugins
  return Promise.all(file.plugins.map((entry) => reportOf(entry, specOf(entry, file))))
}

async function reportOf(entry: PluginEntry, spec: PluginSpec): Promise<PluginReport> {
  const report: PluginReport = {
    name: spec.name ?? '',
    runtime: spec.runtime,
    state: entry.enabled ? 'not running' : 'disabled',
    priority: spec.priority,
    path: spec.localPath,
    checksum: '',
    version: '',
    hooks: [],
    onFailure: spec.onFailure,
    required: spec.required,
    calls: 0,
    failures: 0,
    callMicros: 0,
    lastError: '',
    pid: null,
    restarts: 0,
    nextTryInMs: null,
    readySince: null,
    lastLines: [],
  }
  try {
    const checksum = await checksumOf(spec.localPath)
    const hashed = { ...report, checksum }
    if (!entry.enabled) return hashed
    const wrong = wrongChecksum(spec, checksum)
    // What is not pinned is not run, not even to ask for its name.
    if (wrong !== null) return { ...hashed, state: 'not pinned', lastError: wrong }
    if (spec.runtime !== 'wasm') return hashed
    const { name, version, hooks } = await readManifest(spec)
    return { ...hashed, name: spec.name ?? name, version, hooks }
  } catch (error) {
    // A disabled plugin may well be gone.
    if (!entry.enabled) return report
    return { ...report, state: 'broken', lastError: sentenceOf(error) }
  }
}

function wrongChecksum({ checksum: pinned, localPath }: PluginSpec, found: string): string | null {
  if (pinned === found) return null
  if (pinned === null) return `no checksum; pin the file with checksum: ${found}`
  return `the checksum of ${localPath} is ${found}, not ${pinned}; was the file replaced?`
}

/** Starts the module alone in its sandbox, where it says what it is, and stops it. */
async function readManifest(spec: PluginSpec): Promise<PluginManifest> {
  const { createWasmPlugin } = await import('../plugins/wasm/plugin.ts')
  const plugin = createWasmPlugin(spec, {
    log: createLog({ level: 'disabled' }),
    meter: createMeter(),
    dev: false,
    runFolder: () => {
      throw new GatewayError('RUN_FOLDER', 'a WebAssembly plugin needs no folder')
    },
  })
  try {
    await plugin.start()
    if (plugin.manifest === null) throw new Error('it started without a manifest')
    return plugin.manifest
  } finally {
    await plugin.stop()
  }
}
