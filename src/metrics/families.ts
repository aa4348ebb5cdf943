/** The families of the gateway's own page, read from what the data path and the plugins count. */
import type { Meter, Sample } from './meter.ts'

/** The counts of one listener; structural, so that nothing here depends on the data path. */
export interface ListenerCounts {
  readonly group: string
  readonly account: {
    readonly sessionsOpen: number
    readonly sessionsTotal: number
    readonly sessionsRefused: number
    readonly bytesFromClient: number
    readonly bytesToServer: number
    readonly bytesFromServer: number
    readonly bytesToClient: number
    readonly violations: number
    readonly loginTimeouts: number
    readonly idleTimeouts: number
    readonly cancelRequests: number
    readonly internalErrors: number
  }
  readonly budget: { readonly held: number; readonly spent: number }
}

export interface UpstreamCounts {
  readonly group: string
  readonly block: string
  readonly failures: number
}

export interface PluginCounts {
  readonly name: string
  readonly runtime: string
  readonly state: string
  readonly calls: number
  readonly failures: number
  readonly callMicros: number
}

/** A number by plugin and hook, kept by whoever counts. */
export interface HookCount {
  readonly plugin: string
  readonly hook: string
  readonly count: number
}

export interface CountSources {
  readonly listeners: () => readonly ListenerCounts[]
  readonly upstreams: () => readonly UpstreamCounts[]
  readonly plugins: () => readonly PluginCounts[]
  readonly stepFailures: () => readonly HookCount[]
  readonly observersDropped: () => readonly HookCount[]
  readonly denied: () => readonly { readonly hook: string; readonly count: number }[]
  readonly states: readonly string[]
}

type AccountKey = keyof ListenerCounts['account']

const BY_GROUP: readonly (readonly [string, 'counter' | 'gauge', string, AccountKey])[] = [
  ['postern_sessions_open', 'gauge', 'Clients connected now.', 'sessionsOpen'],
  ['postern_sessions_total', 'counter', 'Clients accepted.', 'sessionsTotal'],
  ['postern_sessions_refused_total', 'counter', 'Clients over sessionsMax.', 'sessionsRefused'],
  ['postern_protocol_violations_total', 'counter', 'Sessions of bad bytes.', 'violations'],
  ['postern_login_timeouts_total', 'counter', 'Clients that did not log in.', 'loginTimeouts'],
  ['postern_idle_timeouts_total', 'counter', 'Clients silent for too long.', 'idleTimeouts'],
  ['postern_cancel_requests_total', 'counter', 'CancelRequests of clients.', 'cancelRequests'],
  ['postern_internal_errors_total', 'counter', 'Sessions that broke here.', 'internalErrors'],
]

const BYTES: readonly (readonly [string, AccountKey])[] = [
  ['from_client', 'bytesFromClient'],
  ['to_server', 'bytesToServer'],
  ['from_server', 'bytesFromServer'],
  ['to_client', 'bytesToClient'],
]

/** Declares every family of the gateway's own page. */
export function declareFamilies(meter: Meter, sources: CountSources): void {
  for (const [name, type, help, key] of BY_GROUP) {
    meter.sampled(name, type, help, () =>
      sources.listeners().map(({ group, account }) => ({ labels: { group }, value: account[key] })),
    )
  }
  meter.sampled('postern_bytes_total', 'counter', 'Bytes moved, by direction.', () =>
    sources
      .listeners()
      .flatMap(({ group, account }) =>
        BYTES.map(([direction, key]) => ({ labels: { group, direction }, value: account[key] })),
      ),
  )
  meter.sampled('postern_buffered_bytes', 'gauge', 'Bytes held for plugins.', () =>
    sources.listeners().map(({ group, budget }) => ({ labels: { group }, value: budget.held })),
  )
  const full = 'Times that bufferedBytesMax was reached.'
  meter.sampled('postern_buffered_bytes_full_total', 'counter', full, () =>
    sources.listeners().map(({ group, budget }) => ({ labels: { group }, value: budget.spent })),
  )
  meter.sampled('postern_upstream_failures_total', 'counter', 'Failed dials.', () =>
    sources
      .upstreams()
      .map(({ group, block, failures }) => ({ labels: { group, block }, value: failures })),
  )
  declarePluginFamilies(meter, sources)
}

function declarePluginFamilies(meter: Meter, sources: CountSources): void {
  const hookCounts = (read: () => readonly HookCount[]) => (): readonly Sample[] =>
    read().map(({ plugin, hook, count }) => ({ labels: { plugin, hook }, value: count }))
  meter.sampled(
    'postern_step_failures_total',
    'counter',
    'Steps of plugins that failed, timed out or answered what cannot be used.',
    hookCounts(sources.stepFailures),
  )
  meter.sampled(
    'postern_observer_dropped_total',
    'counter',
    'Events that a plugin was not told because its queue was full.',
    hookCounts(sources.observersDropped),
  )
  meter.sampled('postern_denied_total', 'counter', 'Refusals by plugins, by hook.', () =>
    sources.denied().map(({ hook, count }) => ({ labels: { hook }, value: count })),
  )
  meter.sampled('postern_plugin_calls_total', 'counter', 'Hook calls of plugins.', () =>
    sources.plugins().map(({ name, calls }) => ({ labels: { plugin: name }, value: calls })),
  )
  meter.sampled('postern_plugin_failures_total', 'counter', 'Failed hook calls.', () =>
    sources.plugins().map(({ name, failures }) => ({ labels: { plugin: name }, value: failures })),
  )
  const time = 'Time spent in hook calls: processor time (wasm) or waiting (grpc).'
  meter.sampled('postern_plugin_call_seconds_total', 'counter', time, () =>
    sources
      .plugins()
      .map(({ name, callMicros }) => ({ labels: { plugin: name }, value: callMicros / 1e6 })),
  )
  meter.sampled('postern_plugin_state', 'gauge', '1 for the state that a plugin is in.', () =>
    sources.plugins().flatMap(({ name, runtime, state }) =>
      sources.states.map((each) => ({
        labels: { plugin: name, runtime, state: each },
        value: each === state ? 1 : 0,
      })),
    ),
  )
}
