import { expect, test } from 'bun:test'
import { pino } from 'pino'
import { type CountSources, declareFamilies } from '../../src/metrics/families.ts'
import { createMeter } from '../../src/metrics/meter.ts'
import { createMergedPage } from '../../src/metrics/page.ts'

function sources(sessionsOpen: () => number): CountSources {
  return {
    listeners: () => [
      {
        group: 'default',
        account: {
          sessionsOpen: sessionsOpen(),
          sessionsTotal: 10,
          sessionsRefused: 1,
          bytesFromClient: 100,
          bytesToServer: 101,
          bytesFromServer: 102,
          bytesToClient: 103,
          violations: 2,
          loginTimeouts: 3,
          idleTimeouts: 4,
          cancelRequests: 5,
          internalErrors: 6,
        },
        budget: { held: 7, spent: 8 },
      },
    ],
    upstreams: () => [{ group: 'default', block: 'writes', failures: 9 }],
    plugins: () => [
      { name: 'audit', runtime: 'wasm', state: 'ready', calls: 4, failures: 1, callMicros: 2e6 },
    ],
    stepFailures: () => [{ plugin: 'audit', hook: 'onOpening', count: 11 }],
    observersDropped: () => [{ plugin: 'audit', hook: 'onTick', count: 12 }],
    denied: () => [{ hook: 'onTrafficFromClient', count: 13 }],
    states: ['ready', 'broken'],
  }
}

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
  for (const line of [
    'postern_sessions_open{group="default"} 2',
    'postern_sessions_total{group="default"} 10',
    'postern_bytes_total{group="default",direction="to_client"} 103',
    'postern_upstream_failures_total{group="default",block="writes"} 9',
    'postern_step_failures_total{plugin="audit",hook="onOpening"} 11',
    'postern_plugin_call_seconds_total{plugin="audit"} 2',
    'postern_plugin_state{plugin="audit",runtime="wasm",state="ready"} 1',
    'postern_plugin_state{plugin="audit",runtime="wasm",state="broken"} 0',
  ]) {
    expect(lines).toContain(line)
  }
})
