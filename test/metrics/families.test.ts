import { expect, test } from 'bun:test'
import { pino } from 'pino'
import { CallCounts } from '../../src/metrics/calls.ts'
import { type CountSources, declareFamilies } from '../../src/metrics/families.ts'
import type { GenerationSources } from '../../src/metrics/generation-families.ts'
import { createMeter } from '../../src/metrics/meter.ts'
import { createMergedPage } from '../../src/metrics/page.ts'

const calls = new CallCounts()
calls.took('onOpening', 2000)
calls.failed('onOpening')
calls.timedOut('onOpening')

const POOL = {
  upstream: { group: 'default', block: 'writes' },
  sharing: {
    pinned: 40,
    pins: { listen: 41, lock: 42 },
    pinsRefused: 43,
    prepares: 44,
    evictions: 45,
    statementsRefused: 46,
  },
  pool: {
    sizeMax: 20,
    kept: { length: 21 },
    lent: 22,
    waiting: 23,
    counts: {
      waits: 24,
      waitedMs: 25_000,
      waitTimeouts: 26,
      opened: 27,
      reused: 28,
      discarded: 29,
    },
  },
}

const UPSTREAM = {
  group: 'default',
  block: 'writes',
  failures: 9,
  sessions: 31,
  routed: 32,
  role: { wanted: 'primary', known: 'standby', promotions: 33 },
  health: { usable: true, probes: 24, probeFailures: 25 },
} as const

const RELOADED: GenerationSources = {
  generations: () => [
    { number: 4, sessions: 1 },
    { number: 5, sessions: 2 },
  ],
  reloads: () => ({ done: 4, refused: 3 }),
}

const ACCOUNT = {
  sessionsOpen: 0,
  sessionsTotal: 10,
  sessionsRefused: 1,
  bytesFromClient: 100,
  bytesToServer: 101,
  bytesFromServer: 102,
  bytesToClient: 103,
  violations: 2,
  loginTimeouts: 3,
  loginsRefused: 18,
  idleTimeouts: 4,
  receiveDeadlines: 20,
  receiveTimeouts: 21,
  sendDeadlines: 22,
  failovers: 23,
  cancelRequests: 5,
  expelled: 7,
  internalErrors: 6,
  tls: {
    connections: new Map([['TLSv1.3', 30]]),
    failures: new Map([['timeout', 31]]),
    unencrypted: 32,
    certificatesReloaded: 33,
    certificatesRefused: 34,
  },
  datagrams: {
    fromClient: 50,
    toServer: 51,
    fromServer: 52,
    toClient: 53,
    dropped: new Map([['queue', 54]]),
  },
}

const AUDIT = {
  name: 'audit',
  runtime: 'wasm',
  state: 'ready',
  restarts: 14,
  readySince: 1_795_000_000_500,
  calls: calls.hooks(),
  sandbox: {
    traps: [['stack', 15]],
    limitHits: [['kvBytesMax', 16]],
    fuel: 17,
    deadlineHits: 18,
    deadlineExtensions: 19,
    memoryBytes: 65_536,
  },
} as const

const SHARED = {
  isUp: true,
  queued: 41,
  stalenessMs: 1500,
  sent: 42,
  received: 43,
  unqueued: 44,
  refused: 45,
  refusedThere: 46,
  malformed: 47,
  lost: 48,
  readings: 49,
}

function sources(sessionsOpen: () => number): CountSources {
  return {
    listeners: () => [
      {
        group: 'default',
        account: { ...ACCOUNT, sessionsOpen: sessionsOpen() },
        budget: { held: 7, spent: 8 },
      },
    ],
    upstreams: () => [UPSTREAM],
    pools: () => [POOL],
    plugins: () => [AUDIT],
    stepFailures: () => [{ plugin: 'audit', hook: 'onOpening', count: 11 }],
    observersDropped: () => [{ plugin: 'audit', hook: 'onTick', count: 12 }],
    denied: () => [{ hook: 'onTrafficFromClient', count: 13 }],
    states: ['ready', 'broken'],
    ...RELOADED,
    shared: () => SHARED,
  }
}

const LINES = [
  'postern_sessions_open{group="default"} 2',
  'postern_sessions_total{group="default"} 10',
  'postern_sessions_expelled_total{group="default"} 7',
  'postern_generation_number 5',
  'postern_generations_live 2',
  'postern_generation_sessions{generation="4"} 1',
  'postern_reloads_total{outcome="refused"} 3',
  'postern_bytes_total{group="default",direction="to_client"} 103',
  'postern_tls_connections_total{group="default",version="TLSv1.3"} 30',
  'postern_tls_failures_total{group="default",cause="timeout"} 31',
  'postern_tls_required_total{group="default"} 32',
  'postern_tls_certificate_changes_total{group="default",outcome="used"} 33',
  'postern_tls_certificate_changes_total{group="default",outcome="refused"} 34',
  'postern_datagrams_total{group="default",direction="from_client"} 50',
  'postern_datagrams_total{group="default",direction="to_client"} 53',
  'postern_datagrams_dropped_total{group="default",cause="queue"} 54',
  'postern_upstream_failures_total{group="default",block="writes"} 9',
  'postern_receive_deadlines_total{group="default"} 20',
  'postern_receive_timeouts_total{group="default"} 21',
  'postern_send_deadlines_total{group="default"} 22',
  'postern_failovers_total{group="default"} 23',
  'postern_upstream_up{group="default",block="writes"} 1',
  'postern_upstream_sessions{group="default",block="writes"} 31',
  'postern_routed_total{group="default",block="writes"} 32',
  'postern_upstream_promotions_total{group="default",block="writes"} 33',
  'postern_upstream_role{group="default",block="writes",role="primary"} 0',
  'postern_upstream_role{group="default",block="writes",role="standby"} 1',
  'postern_upstream_probes_total{group="default",block="writes"} 24',
  'postern_upstream_probe_failures_total{group="default",block="writes"} 25',
  'postern_step_failures_total{plugin="audit",hook="onOpening"} 11',
  'postern_plugin_calls_total{plugin="audit",hook="onOpening"} 1',
  'postern_plugin_failures_total{plugin="audit",hook="onOpening"} 1',
  'postern_plugin_timeouts_total{plugin="audit",hook="onOpening"} 1',
  'postern_plugin_call_seconds_bucket{plugin="audit",hook="onOpening",le="1"} 0',
  'postern_plugin_call_seconds_bucket{plugin="audit",hook="onOpening",le="5"} 1',
  'postern_plugin_call_seconds_sum{plugin="audit",hook="onOpening"} 2',
  'postern_plugin_call_seconds_count{plugin="audit",hook="onOpening"} 1',
  'postern_plugin_traps_total{plugin="audit",kind="stack"} 15',
  'postern_plugin_limit_hits_total{plugin="audit",limit="kvBytesMax"} 16',
  'postern_plugin_fuel_total{plugin="audit"} 17',
  'postern_plugin_deadline_hits_total{plugin="audit"} 18',
  'postern_plugin_deadline_extensions_total{plugin="audit"} 19',
  'postern_plugin_memory_bytes{plugin="audit"} 65536',
  'postern_plugin_restarts_total{plugin="audit"} 14',
  'postern_plugin_start_time_seconds{plugin="audit"} 1795000000.5',
  'postern_plugin_state{plugin="audit",runtime="wasm",state="ready"} 1',
  'postern_plugin_state{plugin="audit",runtime="wasm",state="broken"} 0',
]

test('every count is on the page, and is read when the page is asked for', async () => {
  const meter = createMeter()
  let open = 1
  declareFamilies(
    meter,
    sources(() => open),
  )
  open = 2
  const page = await createMergedPage({ meter, log: pino({ level: 'silent' }) })()
  const lines = page.split('\n')
  for (const line of LINES) expect(lines).toContain(line)
})
