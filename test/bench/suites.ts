/** The comparisons that can be asked for: which targets, set up how, doing what, within what. */
import {
  type Cell,
  type CellOptions,
  cellsOf,
  connectCells,
  copyCells,
  pluginCells,
  poolCells,
  queryCells,
} from './cells.ts'
import { GOALS, type Goal, type Judgement, judgePrepared, type Row } from './report.ts'
import { PLAIN, type Setting, type TargetName } from './targets.ts'

export interface Suite {
  readonly targets: readonly TargetName[]
  /** Whom the others are put beside. */
  readonly peer: TargetName
  readonly setting: Setting
  readonly goals: readonly Goal[]
  /** What the gateway may hold at most, in MB; null: not watched. */
  readonly peakMegabytesMax: number | null
  cells(options: CellOptions): Cell[]
  /** What no goal can say, which is about two targets in one cell. */
  judge?(rows: readonly Row[]): Judgement | null
}

const TLS_GOAL: Goal = {
  title: 'processor a query with TLS to clients, postern / pgbouncer',
  pair: ['postern', 'pgbouncer'],
  figure: 'microsEach',
  bound: 'atMost',
  mean: 1,
  worst: null,
}

const CONNECT_GOAL: Goal = {
  title: 'connections a second to a logged-in pool, postern / pgbouncer',
  pair: ['postern', 'pgbouncer'],
  figure: 'perSecond',
  bound: 'atLeast',
  mean: 0.95,
  worst: null,
}

const POOL_GOALS: readonly Goal[] = [
  {
    title: 'statements a second of shared connections, postern / pgbouncer',
    pair: ['postern', 'pgbouncer'],
    figure: 'perSecond',
    bound: 'atLeast',
    mean: 0.95,
    worst: 0.95,
  },
  {
    title: 'processor a statement of shared connections, postern / pgbouncer',
    pair: ['postern', 'pgbouncer'],
    figure: 'microsEach',
    bound: 'atMost',
    mean: 1.2,
    worst: 1.2,
  },
]

const COPY_GOAL: Goal = {
  title: 'speed of plain copies, postern / haproxy',
  pair: ['postern', 'haproxy'],
  figure: 'perSecond',
  bound: 'atLeast',
  mean: 0.95,
  worst: 0.95,
}

const PLUGIN_GOALS: readonly Goal[] = [
  {
    title: 'throughput, firewall, rate-limit and audit together / postern',
    pair: ['guarded', 'postern'],
    figure: 'perSecond',
    bound: 'atLeast',
    mean: 0.85,
    worst: null,
  },
  {
    title: 'the same without the lines that audit writes / postern',
    pair: ['quiet', 'postern'],
    figure: 'perSecond',
    bound: 'atLeast',
    mean: 0.85,
    worst: null,
  },
  {
    title: 'throughput of a warm cache, simple / direct',
    pair: ['cached', 'direct'],
    cell: 'hot simple',
    figure: 'perSecond',
    bound: 'atLeast',
    mean: 2,
    worst: null,
  },
  {
    title: 'throughput of a warm cache, prepared / direct',
    pair: ['cached', 'direct'],
    cell: 'hot prepared',
    figure: 'perSecond',
    bound: 'atLeast',
    mean: 1.2,
    worst: null,
  },
  {
    title: 'rows a second, 2 of 20 columns masked / postern',
    pair: ['masked', 'postern'],
    figure: 'perSecond',
    bound: 'atLeast',
    mean: 0.7,
    worst: null,
  },
]

const WORKERS_GOALS: readonly Goal[] = [
  {
    title: 'throughput, two workers / one process',
    pair: ['workers', 'postern'],
    figure: 'perSecond',
    bound: 'atLeast',
    mean: 1,
    worst: null,
  },
  {
    title: 'processor a unit, two workers / one process',
    pair: ['workers', 'postern'],
    figure: 'microsEach',
    bound: 'atMost',
    mean: 1.15,
    worst: null,
  },
]

/** By the name of the part of `npm run bench`. */
export const SUITES = {
  comparison: {
    targets: ['direct', 'haproxy', 'pgbouncer', 'postern', 'wasm'],
    peer: 'haproxy',
    setting: PLAIN,
    goals: GOALS,
    peakMegabytesMax: null,
    cells: cellsOf,
  },
  // HAProxy does not know how PostgreSQL's clients ask for TLS, and the database is not a proxy.
  tls: {
    targets: ['pgbouncer', 'postern'],
    peer: 'pgbouncer',
    setting: { ...PLAIN, tls: true },
    goals: [TLS_GOAL],
    peakMegabytesMax: null,
    cells: queryCells,
  },
  connect: {
    targets: ['direct', 'pgbouncer', 'postern'],
    peer: 'pgbouncer',
    setting: { ...PLAIN, pooled: 'session' },
    goals: [CONNECT_GOAL],
    peakMegabytesMax: null,
    cells: connectCells,
  },
  plugins: {
    targets: ['direct', 'postern', 'guarded', 'quiet', 'cached', 'masked'],
    peer: 'postern',
    setting: PLAIN,
    goals: PLUGIN_GOALS,
    peakMegabytesMax: null,
    cells: pluginCells,
  },
  // How the sessions are shared out is judged beside it.
  workers: {
    targets: ['postern', 'workers'],
    peer: 'postern',
    setting: PLAIN,
    goals: WORKERS_GOALS,
    peakMegabytesMax: null,
    cells: queryCells,
  },
  pool: {
    targets: ['direct', 'pgbouncer', 'postern'],
    peer: 'pgbouncer',
    setting: { ...PLAIN, pooled: 'transaction' },
    goals: POOL_GOALS,
    peakMegabytesMax: null,
    cells: poolCells,
    judge: judgePrepared,
  },
  copy: {
    targets: ['direct', 'haproxy', 'pgbouncer', 'postern'],
    peer: 'haproxy',
    setting: { ...PLAIN, tls: true },
    goals: [COPY_GOAL],
    peakMegabytesMax: 100,
    cells: ({ copyMegabytes }) => copyCells(copyMegabytes),
  },
} satisfies Readonly<Record<string, Suite>>

export type SuiteName = keyof typeof SUITES
