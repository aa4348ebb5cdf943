/** What stays of a WASM plugin while its instances come and go. */
import type { Logger } from 'pino'
import type { PluginMetrics } from '../../metrics/meter.ts'
import { type Clock, SYSTEM_CLOCK } from '../clock.ts'
import { type LimitHits, noLimitHits, type PluginLimits } from '../limits.ts'
import { type Consumption, noConsumption } from './deadline.ts'
import { Journal } from './journal.ts'
import { VARIABLES_MAX } from './limits.ts'
import { PluginStore } from './store.ts'
import { noTraps, type TrapCounts } from './trap.ts'

export interface Belongings {
  /** The plugin's name; "" until its manifest was read. */
  name: string
  readonly limits: PluginLimits
  /** How often each limit was hit. */
  readonly hits: LimitHits
  /** How often the plugin trapped, by kind. */
  readonly traps: TrapCounts
  readonly consumption: Consumption
  readonly journal: Journal
  /** What the guest is told of the time. */
  readonly clock: Pick<Clock, 'now' | 'wall'>
  /** Null until the plugin's name is known. */
  store: PluginStore | null
  /** The variables of an Extism PDK. */
  readonly variables: PluginStore
  /** Null until the metrics of the manifest were declared. */
  metrics: PluginMetrics | null
  /** How many label values each metric of the manifest takes. */
  labelCounts: readonly number[]
  /** The entry's configuration by key, as the guest gets it; all of it under the key "". */
  config: ReadonlyMap<string, Uint8Array>
}

/** Those of a plugin that has not started; `name` is "" where the manifest is to give it. */
export function makeBelongings(
  name: string,
  log: Logger,
  limits: PluginLimits,
  clock: Belongings['clock'] = SYSTEM_CLOCK,
): Belongings {
  const hits = noLimitHits()
  return {
    name,
    limits,
    hits,
    traps: noTraps(),
    consumption: noConsumption(),
    journal: new Journal(log, { limits, hits }),
    clock,
    store: null,
    variables: new PluginStore({ bytesMax: limits.variablesBytesMax, keysMax: VARIABLES_MAX }),
    metrics: null,
    labelCounts: [],
    config: new Map(),
  }
}
