/** What the metrics tell of one plugin. */
import type { PluginCounts } from './metrics/plugin-families.ts'
import type { Plugin } from './plugins/plugin.ts'

export function pluginCounts(plugin: Plugin): PluginCounts {
  const { name, runtime, state, restarts, readySince } = plugin.status()
  const { sandbox } = plugin
  return {
    name,
    runtime,
    state,
    restarts,
    readySince,
    calls: plugin.calls.hooks(),
    sandbox:
      sandbox === undefined
        ? null
        : {
            ...sandbox.consumption,
            traps: sandbox.traps.entries(),
            limitHits: sandbox.hits.entries(),
            memoryBytes: sandbox.memoryBytes,
          },
  }
}
