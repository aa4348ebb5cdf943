/** The families of the gateway's own page, read from what the data path and the plugins count. */
import { declareGenerationFamilies, type GenerationSources } from './generation-families.ts'
import type { Meter, Sample } from './meter.ts'
import { declarePluginFamilies, type PluginSources } from './plugin-families.ts'
import { declarePoolFamilies, type PoolSource } from './pool-families.ts'
import { declareSharedFamilies, type SharedSources } from './shared-families.ts'

export interface TlsCounts {
  readonly connections: { entries(): Iterable<readonly [string, number]> }
  readonly failures: { entries(): Iterable<readonly [string, number]> }
  readonly unencrypted: number
  readonly certificatesReloaded: number
  readonly certificatesRefused: number
}

export interface DatagramCounts {
  readonly fromClient: number
  readonly toServer: number
  readonly fromServer: number
  readonly toClient: number
  readonly dropped: { entries(): Iterable<readonly [string, number]> }
}

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
    readonly loginsRefused: number
    readonly idleTimeouts: number
    readonly receiveDeadlines: number
    readonly receiveTimeouts: number
    readonly sendDeadlines: number
    readonly failovers: number
    readonly cancelRequests: number
    readonly expelled: number
    readonly internalErrors: number
    readonly tls: TlsCounts
    /** Null where clients do not speak in datagrams. */
    readonly datagrams: DatagramCounts | null
  }
  readonly budget: { readonly held: number; readonly spent: number }
}

export interface UpstreamCounts {
  readonly group: string
  readonly block: string
  readonly failures: number
  /** Sessions that are there now, or on their way. */
  readonly sessions: number
  /** Sessions and transactions that a plugin has sent there. */
  readonly routed: number
  readonly role: {
    readonly wanted: string
    readonly known: 'primary' | 'standby' | 'unknown'
    /** Times that it took over the role of the primary from another block. */
    readonly promotions: number
  }
  readonly health: {
    /** True while new sessions go to it. */
    readonly usable: boolean
    readonly probes: number
    readonly probeFailures: number
  }
}

/** Where all counts are read from. */
export interface CountSources extends PluginSources, GenerationSources, SharedSources {
  readonly listeners: () => readonly ListenerCounts[]
  readonly upstreams: () => readonly UpstreamCounts[]
  readonly pools: () => readonly PoolSource[]
}

type AccountKey = Exclude<keyof ListenerCounts['account'], 'tls' | 'datagrams'>

const BY_GROUP: readonly (readonly [string, 'counter' | 'gauge', string, AccountKey])[] = [
  ['postern_sessions_open', 'gauge', 'Clients connected now.', 'sessionsOpen'],
  ['postern_sessions_total', 'counter', 'Clients accepted.', 'sessionsTotal'],
  [
    'postern_sessions_refused_total',
    'counter',
    'Clients over sessionsMax or the limit of open files.',
    'sessionsRefused',
  ],
  ['postern_protocol_violations_total', 'counter', 'Sessions of bad bytes.', 'violations'],
  ['postern_login_timeouts_total', 'counter', 'Clients that did not log in.', 'loginTimeouts'],
  ['postern_logins_refused_total', 'counter', 'Clients not let in here.', 'loginsRefused'],
  ['postern_idle_timeouts_total', 'counter', 'Clients silent for too long.', 'idleTimeouts'],
  ['postern_receive_deadlines_total', 'counter', 'Servers over their life.', 'receiveDeadlines'],
  ['postern_receive_timeouts_total', 'counter', 'Servers that owed an answer.', 'receiveTimeouts'],
  ['postern_send_deadlines_total', 'counter', 'Servers that took no bytes.', 'sendDeadlines'],
  ['postern_failovers_total', 'counter', 'Sessions sent on to another block.', 'failovers'],
  ['postern_cancel_requests_total', 'counter', 'CancelRequests of clients.', 'cancelRequests'],
  ['postern_sessions_expelled_total', 'counter', 'Sessions that a reload ended.', 'expelled'],
  ['postern_internal_errors_total', 'counter', 'Sessions that broke here.', 'internalErrors'],
]

type ReadUpstream = (upstream: UpstreamCounts) => number

const BY_BLOCK: readonly (readonly [string, 'counter' | 'gauge', string, ReadUpstream])[] = [
  ['postern_upstream_failures_total', 'counter', 'Failed dials.', ({ failures }) => failures],
  [
    'postern_upstream_up',
    'gauge',
    '1: new sessions go there; 0: it is left out while others are there.',
    ({ health }) => Number(health.usable),
  ],
  ['postern_upstream_probes_total', 'counter', 'Health probes.', ({ health }) => health.probes],
  [
    'postern_upstream_probe_failures_total',
    'counter',
    'Health probes without an answer.',
    ({ health }) => health.probeFailures,
  ],
  [
    'postern_upstream_sessions',
    'gauge',
    'Clients that are there now, or on their way.',
    ({ sessions }) => sessions,
  ],
  [
    'postern_routed_total',
    'counter',
    'Sessions and transactions that a plugin has sent there.',
    ({ routed }) => routed,
  ],
  [
    'postern_upstream_promotions_total',
    'counter',
    'Times that the writes moved there, because it is the primary now.',
    ({ role }) => role.promotions,
  ],
]

const ROLES = ['primary', 'standby', 'unknown'] as const

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
  declarePoolFamilies(meter, sources.pools)
  for (const [name, type, help, read] of BY_BLOCK) {
    meter.sampled(name, type, help, () =>
      sources.upstreams().map((upstream) => ({
        labels: { group: upstream.group, block: upstream.block },
        value: read(upstream),
      })),
    )
  }
  const roleHelp = '1 for what a database was when it was last asked, where its role matters.'
  meter.sampled('postern_upstream_role', 'gauge', roleHelp, () =>
    sources
      .upstreams()
      .filter(({ role }) => role.wanted !== 'any')
      .flatMap(({ group, block, role: { known } }) =>
        ROLES.map((role) => ({ labels: { group, block, role }, value: Number(role === known) })),
      ),
  )
  declareTlsFamilies(meter, sources)
  declareDatagramFamilies(meter, sources)
  declarePluginFamilies(meter, sources)
  declareGenerationFamilies(meter, sources)
  declareSharedFamilies(meter, sources)
}

function declareTlsFamilies(meter: Meter, { listeners }: CountSources): void {
  meter.sampled('postern_tls_connections_total', 'counter', 'Clients that came by TLS.', () =>
    listeners().flatMap(({ group, account }) =>
      Array.from(account.tls.connections.entries(), ([version, value]) => ({
        labels: { group, version },
        value,
      })),
    ),
  )
  meter.sampled('postern_tls_failures_total', 'counter', 'Handshakes that failed.', () =>
    listeners().flatMap(({ group, account }) =>
      Array.from(account.tls.failures.entries(), ([cause, value]) => ({
        labels: { group, cause },
        value,
      })),
    ),
  )
  meter.sampled('postern_tls_required_total', 'counter', 'Clients refused without TLS.', () =>
    listeners().map(({ group, account }) => ({
      labels: { group },
      value: account.tls.unencrypted,
    })),
  )
  const changes = 'Changes of certificate files.'
  meter.sampled('postern_tls_certificate_changes_total', 'counter', changes, () =>
    listeners().flatMap(({ group, account: { tls } }) => [
      { labels: { group, outcome: 'used' }, value: tls.certificatesReloaded },
      { labels: { group, outcome: 'refused' }, value: tls.certificatesRefused },
    ]),
  )
}

const DATAGRAMS: readonly (readonly [string, Exclude<keyof DatagramCounts, 'dropped'>])[] = [
  ['from_client', 'fromClient'],
  ['to_server', 'toServer'],
  ['from_server', 'fromServer'],
  ['to_client', 'toClient'],
]

function declareDatagramFamilies(meter: Meter, { listeners }: CountSources): void {
  const each = (read: (counts: DatagramCounts) => readonly Sample[]) => (): readonly Sample[] =>
    listeners().flatMap(({ group, account: { datagrams } }) =>
      datagrams === null
        ? []
        : read(datagrams).map(({ labels, value }) => ({ labels: { group, ...labels }, value })),
    )
  meter.sampled(
    'postern_datagrams_total',
    'counter',
    'Datagrams moved, by direction.',
    each((counts) =>
      DATAGRAMS.map(([direction, key]) => ({ labels: { direction }, value: counts[key] })),
    ),
  )
  meter.sampled(
    'postern_datagrams_dropped_total',
    'counter',
    'Datagrams that went no further, by cause.',
    each(({ dropped }) =>
      Array.from(dropped.entries(), ([cause, value]) => ({ labels: { cause }, value })),
    ),
  )
}
