/** The one page that Prometheus gets: ours and the plugins', merged when it is asked for. */
import type { Logger } from 'pino'
import { renderPage } from './exposition.ts'
import { type Family, familiesOf } from './family.ts'
import { type DroppedFamily, mergePages, type PluginPage } from './merge.ts'
import type { Meter } from './meter.ts'

export interface MergedPageOptions {
  readonly meter: Meter
  /** The pages of plugins that serve their own; left out: none do. */
  readonly pages?: () => readonly PluginPage[]
  /** Our own families with those of other processes; left out: there are none. */
  readonly own?: ((own: readonly Family[]) => Promise<readonly Family[]>) | undefined
  readonly log: Logger
}

/** Reports are kept from repeating; a plugin that invents families must not fill our memory. */
const REPORTS_MAX = 1000

/**
 * Once a meter: it registers a family. Asked while a page is being made, it gives that one: many
 * who ask cost no more than one.
 */
export function createMergedPage(options: MergedPageOptions): () => Promise<string> {
  const { meter, log } = options
  const reported = new Set<string>()
  let dropped: readonly DroppedFamily[] = []
  let making: Promise<string> | null = null

  meter.sampled(
    'postern_plugin_families_dropped',
    'gauge',
    'Metric families of a plugin that the last page left out because they clash with others.',
    () => countByPlugin(dropped),
  )

  const make = async () => {
    const own = await familiesOf(meter.registry)
    const merged = mergePages((await options.own?.(own)) ?? own, options.pages?.() ?? [])
    dropped = merged.dropped
    for (const drop of dropped) {
      const key = JSON.stringify(drop)
      if (reported.has(key) || reported.size >= REPORTS_MAX) continue
      reported.add(key)
      log.warn(drop, `the metrics page leaves out ${drop.family} of ${drop.plugin || 'our own'}`)
    }
    return renderPage(merged.families)
  }

  return () => {
    making ??= make().finally(() => {
      making = null
    })
    return making
  }
}

function countByPlugin(dropped: readonly DroppedFamily[]) {
  const counts = new Map<string, number>()
  for (const { plugin } of dropped) counts.set(plugin, (counts.get(plugin) ?? 0) + 1)
  return [...counts].map(([plugin, value]) => ({ labels: { plugin }, value }))
}
