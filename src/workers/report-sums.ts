/** One report of the status, and of each plugin, out of those of all processes. */
import type {
  GenerationReport,
  ListenerReport,
  PluginReport,
  PoolReport,
  StatusReport,
  UpstreamReport,
} from '../admin/report.ts'

/** What a gateway adds up over its workers, also of those that are gone. */
export interface Totals {
  readonly sessions: { readonly total: number; readonly refused: number }
  readonly bytes: StatusReport['bytes']
}

export const NO_TOTALS: Totals = {
  sessions: { total: 0, refused: 0 },
  bytes: { fromClients: 0, toServers: 0, fromServers: 0, toClients: 0 },
}

export function totalsWith(one: Totals, other: Totals): Totals {
  const { bytes } = one
  return {
    sessions: {
      total: one.sessions.total + other.sessions.total,
      refused: one.sessions.refused + other.sessions.refused,
    },
    bytes: {
      fromClients: bytes.fromClients + other.bytes.fromClients,
      toServers: bytes.toServers + other.bytes.toServers,
      fromServers: bytes.fromServers + other.bytes.fromServers,
      toClients: bytes.toClients + other.bytes.toClients,
    },
  }
}

/** The gateway's own report with what its workers say, and what those that are gone had said. */
export function statusWith(
  own: StatusReport,
  workers: readonly StatusReport[],
  gone: Totals,
): StatusReport {
  const totals = workers.reduce(totalsWith, gone)
  return {
    ...own,
    generations: generationsWith(own.generations, workers),
    listeners: own.listeners.map((listener) => listenerWith(listener, workers)),
    upstreams: own.upstreams.map((upstream) => upstreamWith(upstream, workers)),
    ...(own.pools && { pools: own.pools.map((pool) => poolWith(pool, workers)) }),
    sessions: {
      ...totals.sessions,
      open: workers.reduce((sum, { sessions }) => sum + sessions.open, 0),
    },
    bytes: totals.bytes,
  }
}

function generationsWith(
  own: readonly GenerationReport[],
  workers: readonly StatusReport[],
): readonly GenerationReport[] {
  const all = new Map(own.map(({ number, sessions }) => [number, sessions]))
  for (const { number, sessions } of workers.flatMap(({ generations }) => generations)) {
    all.set(number, (all.get(number) ?? 0) + sessions)
  }
  const sorted = [...all].toSorted(([one], [other]) => one - other)
  return sorted.map(([number, sessions]) => ({ number, sessions }))
}

function listenerWith(own: ListenerReport, workers: readonly StatusReport[]): ListenerReport {
  const same = workers.flatMap(({ listeners }) =>
    listeners.filter(({ group, address }) => group === own.group && address === own.address),
  )
  return { ...own, sessions: same.reduce((sum, { sessions }) => sum + sessions, own.sessions) }
}

interface OfBlock {
  readonly group: string
  readonly block: string
}

function ofBlock<Report extends OfBlock>(own: OfBlock, all: readonly Report[]): readonly Report[] {
  return all.filter(({ group, block }) => group === own.group && block === own.block)
}

/** Reachable where any worker reaches it. */
function upstreamWith(own: UpstreamReport, workers: readonly StatusReport[]): UpstreamReport {
  const same = ofBlock(
    own,
    workers.flatMap(({ upstreams }) => upstreams),
  )
  const role = same.find((each) => each.role !== undefined && each.role.known !== 'unknown')?.role
  const told = role === undefined ? own : { ...own, role }
  const known = same.filter(({ reachable }) => reachable !== null)
  if (known.length === 0) return told
  return {
    ...told,
    reachable: known.some(({ reachable }) => reachable === true),
    lastError: same.find(({ lastError }) => lastError !== '')?.lastError ?? '',
  }
}

/** The gateway itself has no connections where workers have them, each a share of the size. */
function poolWith(own: PoolReport, workers: readonly StatusReport[]): PoolReport {
  const same = ofBlock(
    own,
    workers.flatMap(({ pools = [] }) => pools),
  )
  if (same.length === 0) return own
  const sum = (key: 'lent' | 'kept' | 'waiting' | 'pinned'): number =>
    same.reduce((total, each) => total + each[key], 0)
  const sizes = same.map(({ sizeMax }) => sizeMax)
  return {
    ...own,
    sizeMax: sizes.includes(null) ? null : sizes.reduce<number>((all, size) => all + size!, 0),
    lent: sum('lent'),
    kept: sum('kept'),
    waiting: sum('waiting'),
    pinned: sum('pinned'),
  }
}

/** Each plugin with the calls that workers have made of it. */
export function pluginsWith(
  own: readonly PluginReport[],
  workers: readonly (readonly PluginReport[])[],
): readonly PluginReport[] {
  return own.map((plugin) => {
    const same = workers.flatMap((all) => all.filter(({ name }) => name === plugin.name))
    const sum = (key: 'calls' | 'failures' | 'callMicros'): number =>
      same.reduce((total, each) => total + each[key], plugin[key])
    const lastError = same.find((each) => each.lastError !== '')?.lastError ?? ''
    return {
      ...plugin,
      calls: sum('calls'),
      failures: sum('failures'),
      callMicros: sum('callMicros'),
      lastError: plugin.lastError === '' ? lastError : plugin.lastError,
    }
  })
}
