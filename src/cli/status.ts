/** `postern status`: how the running gateway is. */
import { askControl } from '../admin/control-client.ts'
import { parseStatusReport, type StatusReport, type UpstreamReport } from '../admin/report.ts'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { readFlags } from './flags.ts'
import type { Io } from './io.ts'
import { type Cell, painted, renderTable } from './table.ts'

const OPTIONS = { json: { type: 'boolean' }, socket: { type: 'string' } } as const

/** Throws CONTROL_UNREACHABLE where no gateway answers. */
export async function status(argv: readonly string[], io: Io): Promise<number> {
  const { values } = readFlags(argv, OPTIONS)
  const answer = await askControl('/status', { env: io.env, socket: values.socket })
  if (values.json) {
    io.out(JSON.stringify(answer, null, 2))
    return 0
  }
  io.out(statusText(parsed(answer), io.colour))
  return 0
}

function parsed(answer: unknown): StatusReport {
  try {
    return parseStatusReport(answer)
  } catch (cause) {
    const what = `the gateway's answer is not understood (${sentenceOf(cause)})`
    const cure = 'is it another version? Its own executable understands it, and so does --json'
    throw new GatewayError('CONTROL_UNREACHABLE', `${what}; ${cure}`)
  }
}

/** The report for people. */
export function statusText(report: StatusReport, colours: boolean): string {
  const { sessions, bytes, plugins } = report
  const facts: readonly (readonly string[])[] = [
    ['sessions', `${sessions.open} open, ${sessions.total} so far, ${sessions.refused} refused`],
    [
      'to servers',
      `${bytesText(bytes.fromClients)} received, ${bytesText(bytes.toServers)} sent on`,
    ],
    [
      'to clients',
      `${bytesText(bytes.fromServers)} received, ${bytesText(bytes.toClients)} sent on`,
    ],
    ['plugins', plugins.total === 0 ? 'none' : `${plugins.ready} of ${plugins.total} ready`],
    ['reloads', reloadsText(report)],
    ...upgradesFact(report),
    ['metrics', report.metricsAddress || 'not served'],
  ]
  const width = Math.max(...facts.map(([name = '']) => name.length))
  return [
    headline(report, colours),
    '',
    listenersTable(report, colours),
    '',
    upstreamsTable(report.upstreams, colours),
    '',
    ...poolsTable(report, colours),
    ...workersTable(report, colours),
    ...facts.map(([name = '', fact = '']) => `${name.padEnd(width)}  ${fact}`),
  ].join('\n')
}

function headline(report: StatusReport, colours: boolean): string {
  const state = {
    text: report.state,
    colour: report.state === 'ready' ? 'green' : 'yellow',
  } as const
  const up = `up ${ageText(report.uptimeSeconds)}`
  const who = `postern ${report.version}, process ${report.pid}, ${up}`
  return `${painted(who, colours)}, generation ${report.generation}: ${painted(state, colours)}`
}

function listenersTable({ listeners }: StatusReport, colours: boolean): string {
  const rows = listeners.map((listener) => [
    listener.group,
    listener.address,
    listener.protocol,
    listener.sessions,
    listener.sessionsMax,
  ])
  return renderTable(['GROUP', 'LISTENING ON', 'PROTOCOL', 'SESSIONS', 'AT MOST'], rows, colours)
}

function upstreamsTable(upstreams: readonly UpstreamReport[], colours: boolean): string {
  const hasRoles = upstreams.some(({ role }) => role !== undefined)
  const rows = upstreams.map((upstream) => [
    upstream.group,
    upstream.block,
    upstream.address,
    ...(hasRoles ? [roleCell(upstream)] : []),
    reachableCell(upstream.reachable),
    upstream.lastError,
  ])
  const role = hasRoles ? ['ROLE'] : []
  const heads = ['GROUP', 'BLOCK', 'UPSTREAM', ...role, 'REACHABLE', 'LAST ERROR']
  return renderTable(heads, rows, colours)
}

/** What the database is, and what its block is for where that is something else. */
function roleCell({ role }: UpstreamReport): Cell {
  if (role === undefined) return 'any'
  const { wanted, known, fits } = role
  if (known === wanted && fits) return { text: known, colour: 'green' }
  // Another one has the newer history.
  if (known === wanted) return { text: `${known} too, gets no sessions`, colour: 'yellow' }
  return { text: `${known}, not ${wanted}`, colour: known === 'unknown' ? 'gray' : 'yellow' }
}

/** Nothing where every client has a connection of its own. */
function poolsTable({ pools = [] }: StatusReport, colours: boolean): readonly string[] {
  if (pools.length === 0) return []
  const rows = pools.map(({ group, block, mode, sizeMax, lent, kept, waiting, pinned }) => [
    group,
    block,
    mode,
    sizeMax ?? 'no limit',
    lent,
    kept,
    waiting,
    pinned,
  ])
  const heads = ['GROUP', 'BLOCK', 'POOL', 'AT MOST', 'LENT', 'KEPT', 'WAITING', 'PINNED']
  return [renderTable(heads, rows, colours), '']
}

/** Nothing where the gateway serves its clients itself. */
function workersTable({ workers = [] }: StatusReport, colours: boolean): readonly string[] {
  if (workers.length === 0) return []
  const rows = workers.map(({ worker, pid, sessions, generation, restarts }) => [
    worker,
    pid ?? 'none',
    sessions,
    generation,
    restarts,
  ])
  const heads = ['WORKER', 'PROCESS', 'SESSIONS', 'GENERATION', 'RESTARTS']
  return [renderTable(heads, rows, colours), '']
}

function reachableCell(reachable: boolean | null): Cell {
  if (reachable === null) return { text: 'not tried', colour: 'gray' }
  return reachable ? { text: 'yes', colour: 'green' } : { text: 'no', colour: 'red' }
}

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

/** Three digits are as much as people read. */
export function bytesText(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1000
    unit += 1
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
  return `${value.toFixed(digits)} ${BYTE_UNITS[unit]}`
}

function reloadsText({ generation, generations, reloads }: StatusReport): string {
  const { done, refused, lastError } = reloads
  if (done + refused === 0) return 'none'
  const why = lastError === '' ? '' : `; the last: ${lastError.split('\n')[0]}`
  const earlier = generations.filter(({ number }) => number !== generation)
  const held = earlier.map(({ number, sessions }) => {
    return `; ${countOf(sessions)} on generation ${number}`
  })
  return `${done} done, ${refused} refused${held.join('')}${why}`
}

/** Nothing of a gateway that does not tell of them. */
function upgradesFact({ upgrades }: StatusReport): readonly (readonly string[])[] {
  if (upgrades === undefined) return []
  const { done, refused, lastError, isUnderWay, earlier } = upgrades
  const counts = done + refused === 0 ? 'none' : `${done} done, ${refused} refused`
  const now = isUnderWay ? '; one is under way' : ''
  const { processes, sessions } = earlier
  const who = processes === 1 ? '1 earlier process' : `${processes} earlier processes`
  const left = processes === 0 ? '' : `; ${who} with ${countOf(sessions)}`
  const why = lastError === '' ? '' : `; the last: ${lastError.split('\n')[0]}`
  return [['upgrades', `${counts}${now}${left}${why}`]]
}

function countOf(sessions: number): string {
  return sessions === 1 ? '1 session' : `${sessions} sessions`
}

/** The two largest units of a duration. */
export function ageText(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  const parts = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'm'],
    [whole % 60, 's'],
  ] as const
  const first = parts.findIndex(([count]) => count > 0)
  const shown = parts.slice(first === -1 ? 3 : first).slice(0, 2)
  return shown.map(([count, unit]) => `${count}${unit}`).join(' ')
}
