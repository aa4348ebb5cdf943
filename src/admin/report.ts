/**
 * What the control socket tells: the shapes, and reading them back. The asking executable may be
 * of another version than the running one, so what it hears is parsed like anything from outside.
 */

import { Fields } from './fields.ts'

export type GatewayState = 'starting' | 'ready' | 'draining'

export interface ListenerReport {
  readonly group: string
  readonly address: string
  readonly protocol: string
  readonly sessions: number
  readonly sessionsMax: number
}

export interface UpstreamReport {
  readonly group: string
  readonly block: string
  readonly address: string
  /** Null where nobody has tried yet. */
  readonly reachable: boolean | null
  /** The last error's sentence, or "". */
  readonly lastError: string
  /** What the block is for, and what its database was when last asked; left out: no matter. */
  readonly role?: RoleReport
}

export interface RoleReport {
  readonly wanted: string
  readonly known: string
  /** Sessions may go there, as far as the role goes. */
  readonly fits: boolean
}

/** The connections to one database that clients share, in all processes. */
export interface PoolReport {
  readonly group: string
  readonly block: string
  /** `session`, `transaction`, or `none` where connections are only counted. */
  readonly mode: string
  /** Null: not bounded. */
  readonly sizeMax: number | null
  readonly lent: number
  readonly kept: number
  /** Clients that wait for one. */
  readonly waiting: number
  /** Clients that keep theirs between transactions. */
  readonly pinned: number
}

export interface GenerationReport {
  readonly number: number
  readonly sessions: number
}

/** What came of a reload. */
export interface ReloadReport {
  readonly outcome: 'done' | 'refused'
  /** The generation that is current now. */
  readonly generation: number
  /** What is different, a sentence each; no values. */
  readonly changes: readonly string[]
  /** Why it was refused, a sentence each. */
  readonly problems: readonly string[]
  readonly tookMs: number
}

/** One of several processes that serve the clients of a gateway. */
export interface WorkerStatus {
  readonly worker: number
  /** Null while there is none. */
  readonly pid: number | null
  readonly sessions: number
  /** The configuration that it serves by; 0: none yet. */
  readonly generation: number
  /** Times that it was replaced. */
  readonly restarts: number
}

/** What came of an upgrade. */
export interface UpgradeReport {
  readonly outcome: 'done' | 'refused'
  /** The process that serves now, and its version; null and "" where none took over. */
  readonly pid: number | null
  readonly version: string
  /** The one that was asked. */
  readonly before: { readonly pid: number; readonly version: string; readonly sessions: number }
  /** Processes before that one whose clients are there yet. */
  readonly earlier: number
  /** Why it was refused, a sentence each. */
  readonly problems: readonly string[]
  readonly tookMs: number
}

/** What a status tells of upgrades. */
export interface UpgradesReport {
  readonly done: number
  readonly refused: number
  /** Why the last one was refused, or "". */
  readonly lastError: string
  readonly isUnderWay: boolean
  /** Processes that were replaced and have clients yet, and how many. */
  readonly earlier: { readonly processes: number; readonly sessions: number }
}

export interface StatusReport {
  readonly version: string
  readonly pid: number
  readonly uptimeSeconds: number
  readonly state: GatewayState
  /** Counts the configurations that were taken into use; the first is 1. */
  readonly generation: number
  /** Those that sessions use, the earlier ones first. */
  readonly generations: readonly GenerationReport[]
  readonly reloads: {
    readonly done: number
    readonly refused: number
    /** Why the last one was refused, or "" where it was not. */
    readonly lastError: string
  }
  readonly listeners: readonly ListenerReport[]
  readonly upstreams: readonly UpstreamReport[]
  /** Left out by versions that do not tell. */
  readonly pools?: readonly PoolReport[]
  readonly sessions: { readonly open: number; readonly total: number; readonly refused: number }
  readonly bytes: {
    readonly fromClients: number
    readonly toServers: number
    readonly fromServers: number
    readonly toClients: number
  }
  readonly plugins: { readonly total: number; readonly ready: number }
  /** Where metrics are served, or "". */
  readonly metricsAddress: string
  /** Left out by versions that cannot be upgraded. */
  readonly upgrades?: UpgradesReport
  /** Left out where the gateway serves its clients itself. */
  readonly workers?: readonly WorkerStatus[]
}

/** One plugin, in the shape of PluginStatus; told apart so that nothing here needs plugins. */
export interface PluginReport {
  readonly name: string
  readonly runtime: string
  readonly state: string
  readonly priority: number
  readonly path: string
  readonly checksum: string
  readonly version: string
  readonly hooks: readonly string[]
  readonly onFailure: string
  readonly required: boolean
  readonly calls: number
  readonly failures: number
  readonly callMicros: number
  readonly lastError: string
  readonly pid: number | null
  readonly restarts: number
  /** Milliseconds until it is tried again, or null. */
  readonly nextTryInMs: number | null
  /** When it became ready, in milliseconds since 1970, or null where it is not. */
  readonly readySince: number | null
  /** The last lines on standard error of the process that failed last. */
  readonly lastLines: readonly string[]
}

/** Throws an Error that names the key which is not as expected. */
export function parseStatusReport(answer: unknown): StatusReport {
  const report = new Fields(answer, 'status')
  const sessions = report.fields('sessions')
  const bytes = report.fields('bytes')
  const plugins = report.fields('plugins')
  const reloads = report.fields('reloads')
  return {
    version: report.text('version'),
    pid: report.number('pid'),
    uptimeSeconds: report.number('uptimeSeconds'),
    state: stateOf(report.text('state')),
    generation: report.number('generation'),
    generations: report.list('generations').map((generation) => ({
      number: generation.number('number'),
      sessions: generation.number('sessions'),
    })),
    reloads: {
      done: reloads.number('done'),
      refused: reloads.number('refused'),
      lastError: reloads.text('lastError'),
    },
    listeners: report.list('listeners').map((listener) => ({
      group: listener.text('group'),
      address: listener.text('address'),
      protocol: listener.text('protocol'),
      sessions: listener.number('sessions'),
      sessionsMax: listener.number('sessionsMax'),
    })),
    upstreams: report.list('upstreams').map(upstreamOf),
    ...(report.has('pools') ? { pools: report.list('pools').map(poolOf) } : {}),
    sessions: {
      open: sessions.number('open'),
      total: sessions.number('total'),
      refused: sessions.number('refused'),
    },
    bytes: {
      fromClients: bytes.number('fromClients'),
      toServers: bytes.number('toServers'),
      fromServers: bytes.number('fromServers'),
      toClients: bytes.number('toClients'),
    },
    plugins: { total: plugins.number('total'), ready: plugins.number('ready') },
    metricsAddress: report.text('metricsAddress'),
    ...upgradesOf(report),
    ...(report.has('workers') ? { workers: report.list('workers').map(workerOf) } : {}),
  }
}

function upstreamOf(upstream: Fields): UpstreamReport {
  return {
    group: upstream.text('group'),
    block: upstream.text('block'),
    address: upstream.text('address'),
    reachable: upstream.flagOrNull('reachable'),
    lastError: upstream.text('lastError'),
    ...(upstream.has('role') ? { role: roleOf(upstream.fields('role')) } : {}),
  }
}

function roleOf(role: Fields): RoleReport {
  const [wanted, known] = [role.text('wanted'), role.text('known')]
  return { wanted, known, fits: role.flagOrNull('fits') === true }
}

function poolOf(pool: Fields): PoolReport {
  return {
    group: pool.text('group'),
    block: pool.text('block'),
    mode: pool.text('mode'),
    sizeMax: pool.numberOrNull('sizeMax'),
    lent: pool.number('lent'),
    kept: pool.number('kept'),
    waiting: pool.number('waiting'),
    pinned: pool.number('pinned'),
  }
}

function workerOf(worker: Fields): WorkerStatus {
  return {
    worker: worker.number('worker'),
    pid: worker.numberOrNull('pid'),
    sessions: worker.number('sessions'),
    generation: worker.number('generation'),
    restarts: worker.number('restarts'),
  }
}

/** Throws an Error that names the key which is not as expected. */
export function parsePluginReports(answer: unknown): readonly PluginReport[] {
  return new Fields({ plugins: answer }, 'answer').list('plugins').map((plugin) => ({
    name: plugin.text('name'),
    runtime: plugin.text('runtime'),
    state: plugin.text('state'),
    priority: plugin.number('priority'),
    path: plugin.text('path'),
    checksum: plugin.text('checksum'),
    version: plugin.text('version'),
    hooks: plugin.texts('hooks'),
    onFailure: plugin.text('onFailure'),
    required: plugin.flagOrNull('required') === true,
    calls: plugin.number('calls'),
    failures: plugin.number('failures'),
    callMicros: plugin.number('callMicros'),
    lastError: plugin.text('lastError'),
    pid: plugin.numberOrNull('pid'),
    restarts: plugin.number('restarts'),
    nextTryInMs: plugin.numberOrNull('nextTryInMs'),
    readySince: plugin.numberOrNull('readySince'),
    lastLines: plugin.texts('lastLines'),
  }))
}

/** Nothing where the answer has none of it. */
function upgradesOf(report: Fields): Pick<StatusReport, 'upgrades'> {
  if (!report.has('upgrades')) return {}
  const upgrades = report.fields('upgrades')
  return {
    upgrades: {
      done: upgrades.number('done'),
      refused: upgrades.number('refused'),
      lastError: upgrades.text('lastError'),
      isUnderWay: upgrades.flagOrNull('isUnderWay') === true,
      earlier: {
        processes: upgrades.fields('earlier').number('processes'),
        sessions: upgrades.fields('earlier').number('sessions'),
      },
    },
  }
}

/** Throws an Error that names the key which is not as expected. */
export function parseUpgradeReport(answer: unknown): UpgradeReport {
  const report = new Fields(answer, 'upgrade')
  const before = report.fields('before')
  return {
    outcome: outcomeOf(report.text('outcome'), 'upgrade'),
    pid: report.numberOrNull('pid'),
    version: report.text('version'),
    before: {
      pid: before.number('pid'),
      version: before.text('version'),
      sessions: before.number('sessions'),
    },
    earlier: report.number('earlier'),
    problems: report.texts('problems'),
    tookMs: report.number('tookMs'),
  }
}

/** Throws an Error that names the key which is not as expected. */
export function parseReloadReport(answer: unknown): ReloadReport {
  const report = new Fields(answer, 'reload')
  return {
    outcome: outcomeOf(report.text('outcome'), 'reload'),
    generation: report.number('generation'),
    changes: report.texts('changes'),
    problems: report.texts('problems'),
    tookMs: report.number('tookMs'),
  }
}

function outcomeOf(text: string, place: string): 'done' | 'refused' {
  if (text === 'done' || text === 'refused') return text
  throw new Error(`${place}.outcome is ${JSON.stringify(text)}, which is not known here`)
}

function stateOf(text: string): GatewayState {
  if (text === 'starting' || text === 'ready' || text === 'draining') return text
  throw new Error(`status.state is ${JSON.stringify(text)}, which this version does not know`)
}
