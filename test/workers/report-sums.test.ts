/** One status, and one report of each plugin, out of those of all processes. */
import { expect, test } from 'bun:test'
import type { PluginReport, StatusReport } from '../../src/admin/report.ts'
import { NO_TOTALS, pluginsWith, statusWith, totalsWith } from '../../src/workers/report-sums.ts'

const NOTHING: StatusReport = {
  version: '1',
  pid: 1,
  uptimeSeconds: 1,
  state: 'ready',
  generation: 2,
  generations: [{ number: 2, sessions: 0 }],
  reloads: { done: 1, refused: 0, lastError: '' },
  listeners: [
    { group: 'a', address: '127.0.0.1:1', protocol: 'raw', sessions: 0, sessionsMax: 10 },
  ],
  upstreams: [{ group: 'a', block: 'w', address: 'db:1', reachable: null, lastError: '' }],
  sessions: { open: 0, total: 0, refused: 0 },
  bytes: { fromClients: 0, toServers: 0, fromServers: 0, toClients: 0 },
  plugins: { total: 0, ready: 0 },
  metricsAddress: 'http://here',
}

const worker = (sessions: number, reachable: boolean): StatusReport => ({
  ...NOTHING,
  generations: [
    { number: 1, sessions: 1 },
    { number: 2, sessions: sessions - 1 },
  ],
  listeners: [{ ...NOTHING.listeners[0]!, sessions }],
  upstreams: [{ ...NOTHING.upstreams[0]!, reachable, lastError: reachable ? '' : 'no answer' }],
  sessions: { open: sessions, total: sessions * 2, refused: 1 },
  bytes: { fromClients: 1, toServers: 2, fromServers: 3, toClients: 4 },
  metricsAddress: '',
})

test('a status is the sum of what workers say, and of what those said that are gone', () => {
  const gone = totalsWith(NO_TOTALS, worker(5, true))
  expect(statusWith(NOTHING, [worker(3, false), worker(4, true)], gone)).toEqual({
    ...NOTHING,
    generations: [
      { number: 1, sessions: 2 },
      { number: 2, sessions: 5 },
    ],
    listeners: [{ ...NOTHING.listeners[0]!, sessions: 7 }],
    upstreams: [{ ...NOTHING.upstreams[0]!, reachable: true, lastError: 'no answer' }],
    sessions: { open: 7, total: 24, refused: 3 },
    bytes: { fromClients: 3, toServers: 6, fromServers: 9, toClients: 12 },
  })
})

test('without workers it is what the gateway says', () => {
  expect(statusWith(NOTHING, [], NO_TOTALS)).toEqual(NOTHING)
})

test('a plugin has the calls of all processes, and the last error of any', () => {
  const plugin: PluginReport = {
    name: 'a',
    runtime: 'grpc',
    state: 'ready',
    priority: 1000,
    path: '/a',
    checksum: '',
    version: '1',
    hooks: [],
    onFailure: 'open',
    required: false,
    calls: 1,
    failures: 0,
    callMicros: 5,
    lastError: '',
    pid: 7,
    restarts: 0,
    nextTryInMs: null,
    readySince: 1,
    lastLines: [],
  }
  const there = { ...plugin, calls: 10, failures: 2, callMicros: 50, lastError: 'late' }
  expect(pluginsWith([plugin], [[there], [there, { ...there, name: 'b' }]])).toEqual([
    { ...plugin, calls: 21, failures: 4, callMicros: 105, lastError: 'late' },
  ])
})

test('a pool has the connections of all workers, and the size of all shares', () => {
  const pool = { group: 'a', block: 'w', mode: 'session', lent: 0, kept: 0, waiting: 0, pinned: 0 }
  const own = { ...NOTHING, pools: [{ ...pool, sizeMax: 20 }] }
  const busy = { ...NOTHING, pools: [{ ...pool, sizeMax: 10, lent: 2, kept: 1, waiting: 3 }] }
  const idle = { ...NOTHING, pools: [{ ...pool, sizeMax: 10, kept: 4, pinned: 1 }] }
  expect(statusWith(own, [busy, idle], NO_TOTALS).pools).toEqual([
    { ...pool, sizeMax: 20, lent: 2, kept: 5, waiting: 3, pinned: 1 },
  ])
  const unbounded = { ...NOTHING, pools: [{ ...pool, sizeMax: null, lent: 1 }] }
  expect(statusWith(own, [unbounded, unbounded], NO_TOTALS).pools).toEqual([
    { ...pool, sizeMax: null, lent: 2 },
  ])
  expect(statusWith(own, [NOTHING], NO_TOTALS).pools).toEqual(own.pools)
})

test('what a database is, is known where any worker has asked it', () => {
  const asRole = (known: string): StatusReport => ({
    ...NOTHING,
    upstreams: [
      { ...NOTHING.upstreams[0]!, role: { wanted: 'primary', known, fits: known === 'primary' } },
    ],
  })
  const { upstreams } = statusWith(
    asRole('unknown'),
    [asRole('unknown'), asRole('standby')],
    NO_TOTALS,
  )
  expect(upstreams[0]!.role).toEqual({ wanted: 'primary', known: 'standby', fits: false })
})
