/** The families that speak of plugins, read from what their runtimes and the chains count. */
import { type HookCalls, LATENCY_BOUNDS_SECONDS } from './calls.ts'
import type { Meter, Sample } from './meter.ts'

export interface PluginCounts {
  readonly name: string
  readonly runtime: string
  readonly state: string
  readonly restarts: number
  /** When it became ready, in milliseconds since 1970, or null where it is not. */
  readonly readySince: number | null
  /** Hook by hook, only those that were called. */
  readonly calls: readonly HookCalls[]
  /** Null where the plugin runs in no sandbox. */
  readonly sandbox: SandboxCounts | null
}

/** What a WASM plugin used up and ran into. */
export interface SandboxCounts {
  readonly traps: Iterable<readonly [kind: string, count: number]>
  readonly limitHits: Iterable<readonly [limit: string, count: number]>
  /** Instructions. */
  readonly fuel: number
  readonly deadlineHits: number
  readonly deadlineExtensions: number
  readonly memoryBytes: number
}

/** A number by plugin and hook, kept by whoever counts. */
export interface HookCount {
  readonly plugin: string
  readonly hook: string
  readonly count: number
}

export interface PluginSources {
  readonly plugins: () => readonly PluginCounts[]
  readonly stepFailures: () => readonly HookCount[]
  readonly observersDropped: () => readonly HookCount[]
  readonly denied: () => readonly { readonly hook: string; readonly count: number }[]
  readonly states: readonly string[]
}

/** Declares the families of chains, of plugins and of the sandbox. */
export function declarePluginFamilies(meter: Meter, sources: PluginSources): void {
  declareChains(meter, sources)
  declareLives(meter, sources)
  declareCalls(meter, sources)
  declareSandboxes(meter, sources)
}

function declareChains(meter: Meter, sources: PluginSources): void {
  const byHook = (read: () => readonly HookCount[]) => (): readonly Sample[] =>
    read().map(({ plugin, hook, count }) => ({ labels: { plugin, hook }, value: count }))
  meter.sampled(
    'postern_step_failures_total',
    'counter',
    'Steps of plugins that failed, timed out or answered what cannot be used.',
    byHook(sources.stepFailures),
  )
  meter.sampled(
    'postern_observer_dropped_total',
    'counter',
    'Events that a plugin was not told because its queue was full.',
    byHook(sources.observersDropped),
  )
  meter.sampled('postern_denied_total', 'counter', 'Refusals by plugins, by hook.', () =>
    sources.denied().map(({ hook, count }) => ({ labels: { hook }, value: count })),
  )
}

function declareLives(meter: Meter, { plugins, states }: PluginSources): void {
  const restarts = 'Restarts of plugins begun; of wasm plugins: instances made anew.'
  meter.sampled('postern_plugin_restarts_total', 'counter', restarts, () =>
    plugins().map(({ name, restarts }) => ({ labels: { plugin: name }, value: restarts })),
  )
  const since = 'When a plugin that is ready became so, in seconds since 1970.'
  meter.sampled('postern_plugin_start_time_seconds', 'gauge', since, () =>
    plugins().flatMap(({ name, readySince }) => {
      return readySince === null ? [] : [{ labels: { plugin: name }, value: readySince / 1000 }]
    }),
  )
  meter.sampled('postern_plugin_state', 'gauge', '1 for the state that a plugin is in.', () =>
    plugins().flatMap(({ name, runtime, state }) =>
      states.map((each) => ({
        labels: { plugin: name, runtime, state: each },
        value: each === state ? 1 : 0,
      })),
    ),
  )
}

function declareCalls(meter: Meter, { plugins }: PluginSources): void {
  const byHook = (read: (calls: HookCalls) => number) => (): readonly Sample[] =>
    plugins().flatMap(({ name, calls }) =>
      calls.map((each) => ({ labels: { plugin: name, hook: each.hook }, value: read(each) })),
    )
  meter.sampled(
    'postern_plugin_calls_total',
    'counter',
    'Hook calls of plugins.',
    byHook(({ buckets }) => buckets.reduce((sum, count) => sum + count, 0)),
  )
  meter.sampled(
    'postern_plugin_failures_total',
    'counter',
    'Hook calls that failed, or could not be made.',
    byHook(({ failures }) => failures),
  )
  meter.sampled(
    'postern_plugin_timeouts_total',
    'counter',
    'Those of the failed hook calls that ran out of time.',
    byHook(({ timeouts }) => timeouts),
  )
  const time = 'Time of hook calls: on the loop (wasm) or waiting (grpc).'
  meter.histograms('postern_plugin_call_seconds', time, LATENCY_BOUNDS_SECONDS, () =>
    plugins().flatMap(({ name, calls }) =>
      calls.map(({ hook, buckets, spentMs }) => ({
        labels: { plugin: name, hook },
        buckets,
        sum: spentMs / 1000,
      })),
    ),
  )
}

type SandboxNumber = 'fuel' | 'deadlineHits' | 'deadlineExtensions' | 'memoryBytes'

const SANDBOX_NUMBERS: readonly (readonly [
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  key: SandboxNumber,
])[] = [
  ['postern_plugin_fuel_total', 'counter', 'Instructions paid for, in millions or so.', 'fuel'],
  ['postern_plugin_deadline_hits_total', 'counter', 'Calls ended at a deadline.', 'deadlineHits'],
  [
    'postern_plugin_deadline_extensions_total',
    'counter',
    'Deadlines given once more, because the machine and not the plugin was slow.',
    'deadlineExtensions',
  ],
  ['postern_plugin_memory_bytes', 'gauge', 'Memory of the present instance.', 'memoryBytes'],
]

function declareSandboxes(meter: Meter, { plugins }: PluginSources): void {
  const each = (read: (counts: SandboxCounts) => readonly Sample[]) => (): readonly Sample[] =>
    plugins().flatMap(({ name, sandbox }) => {
      if (sandbox === null) return []
      return read(sandbox).map(({ labels, value }) => ({
        labels: { plugin: name, ...labels },
        value,
      }))
    })
  const labelled =
    (label: string) =>
    ([name, value]: readonly [string, number]): Sample => ({ labels: { [label]: name }, value })
  for (const [name, type, help, key] of SANDBOX_NUMBERS) {
    meter.sampled(
      name,
      type,
      help,
      each((counts) => [{ labels: {}, value: counts[key] }]),
    )
  }
  meter.sampled(
    'postern_plugin_traps_total',
    'counter',
    'Calls that ended an instance, by what ended them.',
    each(({ traps }) => [...traps].map(labelled('kind'))),
  )
  meter.sampled(
    'postern_plugin_limit_hits_total',
    'counter',
    'Times that a plugin ran into one of its limits.',
    each(({ limitHits }) => [...limitHits].map(labelled('limit'))),
  )
}
