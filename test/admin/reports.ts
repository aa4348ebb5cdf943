/** What a gateway in good health tells of itself, for tests of those who ask and who print. */
import type {
  PluginReport,
  ReloadReport,
  StatusReport,
  UpgradeReport,
} from '../../src/admin/report.ts'

export const STATUS: StatusReport = {
  version: '1.2.3',
  pid: 4711,
  uptimeSeconds: 93784.2,
  state: 'ready',
  generation: 3,
  generations: [
    { number: 2, sessions: 1 },
    { number: 3, sessions: 2 },
  ],
  reloads: { done: 2, refused: 1, lastError: 'servers.default.address: cannot listen' },
  listeners: [
    {
      group: 'default',
      address: '127.0.0.1:15432',
      protocol: 'postgres',
      sessions: 3,
      sessionsMax: 10_000,
    },
  ],
  upstreams: [
    {
      group: 'default',
      block: 'writes',
      address: 'db:5432',
      reachable: true,
      lastError: '',
      role: { wanted: 'primary', known: 'primary', fits: true },
    },
    {
      group: 'default',
      block: 'reads',
      address: 'replica:5432',
      reachable: false,
      lastError: 'connection refused',
      role: { wanted: 'standby', known: 'unknown', fits: true },
    },
    { group: 'default', block: 'spare', address: 'spare:5432', reachable: null, lastError: '' },
  ],
  pools: [
    {
      group: 'default',
      block: 'writes',
      mode: 'transaction',
      sizeMax: 20,
      lent: 4,
      kept: 7,
      waiting: 1,
      pinned: 2,
    },
  ],
  sessions: { open: 3, total: 12_345, refused: 1 },
  bytes: { fromClients: 1000, toServers: 1000, fromServers: 5_000_000_000, toClients: 5_000_000 },
  plugins: { total: 2, ready: 1 },
  metricsAddress: 'http://127.0.0.1:9090',
}

export const RELOADED: ReloadReport = {
  outcome: 'done',
  generation: 4,
  changes: ['servers.default.sessionsMax', 'plugin "audit" was started'],
  problems: [],
  tookMs: 12,
}

export const UPGRADED: UpgradeReport = {
  outcome: 'done',
  pid: 4712,
  version: '1.2.4',
  before: { pid: 4711, version: '1.2.3', sessions: 3 },
  earlier: 0,
  problems: [],
  tookMs: 800,
}

export const PLUGINS: readonly PluginReport[] = [
  {
    name: 'audit',
    runtime: 'wasm',
    state: 'ready',
    priority: 1000,
    path: '/usr/lib/postern/audit.wasm',
    checksum: 'ab'.repeat(32),
    version: '1.0.0',
    hooks: ['onTrafficFromClient'],
    onFailure: 'open',
    required: false,
    calls: 1000,
    failures: 0,
    callMicros: 800,
    lastError: '',
    pid: null,
    restarts: 0,
    nextTryInMs: null,
    readySince: 1_795_000_000_000,
    lastLines: [],
  },
  {
    name: 'guard',
    runtime: 'grpc',
    state: 'failing',
    priority: 1001,
    path: '/usr/lib/postern/guard',
    checksum: 'cd'.repeat(32),
    version: '0.0.1',
    hooks: ['onTrafficFromClient', 'onTrafficFromServer'],
    onFailure: 'closed',
    required: true,
    calls: 50,
    failures: 7,
    callMicros: 12_000,
    lastError: 'the process exited with 1',
    pid: 4712,
    restarts: 3,
    nextTryInMs: 400,
    readySince: null,
    lastLines: ['"panic: out of luck"'],
  },
]
