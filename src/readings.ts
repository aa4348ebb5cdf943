/** What the gateway tells of itself: the report of its status, and the numbers of its metrics. */
import type { PoolReport, StatusReport, UpstreamReport } from './admin/report.ts'
import { version } from './base/build.ts'
import type { Generations } from './generations.ts'
import type { Lasting } from './lasting.ts'
import { declareFamilies } from './metrics/families.ts'
import type { Meter } from './metrics/meter.ts'
import { PLUGIN_STATES } from './plugins/plugin.ts'
import type { Account } from './tcp/account.ts'
import type { ServerPool } from './tcp/server-pool.ts'
import type { Upstream } from './upstream/upstream.ts'

/** Reloads so far, and why the last one was refused, or "". */
export interface ReloadCounts {
  done: number
  refused: number
  lastError: string
}

/** What is read. */
export interface Sources {
  readonly generations: Generations
  readonly lasting: Lasting
  readonly reloads: Readonly<ReloadCounts>
}

/** Of the gateway itself, beside what its generations tell. */
type Vitals = Pick<StatusReport, 'state' | 'uptimeSeconds' | 'metricsAddress' | 'upgrades'>

export function statusOf({ generations, lasting, reloads }: Sources, vitals: Vitals): StatusReport {
  const { current } = generations
  const services = current?.services ?? []
  const sum = (read: (account: Account) => number): number =>
    lasting.books.reduce((total, { account }) => total + read(account), 0)
  const states = current?.registry.statuses().map(({ state }) => state) ?? []
  return {
    version,
    pid: process.pid,
    ...vitals,
    generation: current?.number ?? 0,
    generations: generations.live.map(({ number, tenancy: { sessions } }) => ({
      number,
      sessions,
    })),
    reloads: { ...reloads },
    listeners: generations.listeners.map((listener) => ({
      group: listener.group,
      address: listener.address,
      protocol: listener.protocol,
      sessions: listener.sessions,
      sessionsMax: listener.sessionsMax,
    })),
    upstreams: services.flatMap(({ blocks }) => blocks.balancer.upstreams.map(upstreamReport)),
    pools: services.flatMap(({ blocks }) => [...blocks.pools.values()].map(poolReport)),
    sessions: {
      open: sum((account) => account.sessionsOpen),
      total: sum((account) => account.sessionsTotal),
      refused: sum((account) => account.sessionsRefused),
    },
    bytes: {
      fromClients: sum((account) => account.bytesFromClient),
      toServers: sum((account) => account.bytesToServer),
      fromServers: sum((account) => account.bytesFromServer),
      toClients: sum((account) => account.bytesToClient),
    },
    plugins: {
      total: states.length,
      ready: states.filter((state) => state === 'ready').length,
    },
  }
}

function upstreamReport(upstream: Upstream): UpstreamReport {
  const { group, block, address, reachable, lastError } = upstream
  const { wanted, known, fits } = upstream.role
  const role = wanted === 'any' ? {} : { role: { wanted, known, fits } }
  return { group, block, address, reachable, lastError, ...role }
}

function poolReport({ upstream, pool, mode, sharing }: ServerPool): PoolReport {
  const { group, block } = upstream
  const sizeMax = Number.isFinite(pool.sizeMax) ? pool.sizeMax : null
  const { lent, kept, waiting } = pool
  const pinned = sharing?.pinned ?? 0
  return { group, block, mode, sizeMax, lent, kept: kept.length, waiting, pinned }
}

/** Declares every family of the gateway's own page, once. */
export function declareReadings(meter: Meter, { generations, lasting, reloads }: Sources): void {
  declareFamilies(meter, {
    listeners: () => lasting.books,
    upstreams: () => lasting.upstreamCounts(),
    pools: () => lasting.poolCounts(),
    plugins: () => lasting.pluginCounts(),
    stepFailures: () => lasting.tally.failures(),
    observersDropped: () => lasting.tally.drops(),
    denied: () => lasting.tally.denials(),
    states: PLUGIN_STATES,
    generations: () =>
      generations.live.map(({ number, tenancy: { sessions } }) => ({ number, sessions })),
    reloads: () => reloads,
    shared: () => lasting.shared.report,
  })
}
