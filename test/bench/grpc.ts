/**
 * What a hook call of a gRPC plugin costs: the gateway's own calls beside those of a host on
 * HashiCorp's library, on one and the same plugin, in interleaved rounds.
 */
import { buildGoPlugin } from '../fixtures/grpc/build.ts'
import {
  buildGoHost,
  buildOwnHost,
  HOSTS,
  Host,
  type HostName,
  type HostReport,
} from './grpc-hosts.ts'
import {
  measureTraffic,
  TRANSACTION_MICROS_MAX,
  totalMicros,
  trafficTable,
} from './grpc-traffic.ts'
import { aligned, median } from './report.ts'

const BYTES = [100, 1024, 16_384] as const
const IN_FLIGHT = [1, 8, 64] as const

export interface CallRow extends HostReport {
  readonly round: number
  readonly cell: string
  readonly host: HostName
}

export interface CallBench {
  readonly hosts: readonly Host[]
  readonly rounds: number
  readonly seconds: number
  /** Only cells whose name contains it. */
  readonly cells: string
  readonly say: (line: string) => void
}

interface CallCell {
  readonly name: string
  readonly bytes: number
  readonly inFlight: number
}

function cellsOf(word: string): CallCell[] {
  return IN_FLIGHT.flatMap((inFlight) =>
    BYTES.map((bytes) => ({ name: `${bytes} B × ${inFlight}`, bytes, inFlight })),
  ).filter(({ name }) => name.includes(word))
}

/** All cells, `rounds` times, behind one round that only warms up. */
export async function measureCalls(bench: CallBench): Promise<CallRow[]> {
  const rows: CallRow[] = []
  const cells = cellsOf(bench.cells)
  for (let round = 0; round <= bench.rounds; round++) {
    for (const { name: cell, bytes, inFlight } of cells) {
      // Each round begins with the other host, so that neither always has the same neighbour.
      const turn = round % 2 === 0 ? bench.hosts : bench.hosts.toReversed()
      for (const host of turn) {
        const report = await host.measure({ bytes, inFlight, seconds: bench.seconds })
        const row = { round, cell, host: host.name, ...report }
        if (round > 0) rows.push(row)
        bench.say(`round ${round}/${bench.rounds}  ${progress(row)}`)
      }
    }
  }
  return rows
}

function progress({ cell, host, perSecond, medianMicros, hostMicros, pluginMicros }: CallRow) {
  const where = `${cell.padEnd(14)} ${host.padEnd(8)}`
  const figures = [medianMicros, hostMicros, pluginMicros].map((micros) => micros.toFixed(0))
  return `${where} ${perSecond.toFixed(0)}/s, median ${figures[0]} µs, processor ${
    figures[1]
  } + ${figures[2]} µs`
}

type Figure = keyof HostReport

/** The figures of the table: what, and whether more of it is better. */
const FIGURES: readonly { readonly title: string; readonly figure: Figure }[] = [
  { title: 'calls/s', figure: 'perSecond' },
  { title: 'median µs', figure: 'medianMicros' },
  { title: 'host µs', figure: 'hostMicros' },
  { title: 'plugin µs', figure: 'pluginMicros' },
]

function valuesOf(rows: readonly CallRow[], cell: string, host: HostName, figure: Figure) {
  return rows.filter((row) => row.cell === cell && row.host === host).map((row) => row[figure])
}

/** The median of the ratios within each round, so that a slower minute counts for neither. */
function ratioOf(rows: readonly CallRow[], cell: string, figure: Figure): number | null {
  const ours = valuesOf(rows, cell, 'postern', figure)
  const theirs = valuesOf(rows, cell, 'go', figure)
  if (ours.length === 0 || ours.length !== theirs.length) return null
  return median(ours.map((value, round) => value / (theirs[round] ?? Number.NaN)))
}

/** Medians over the rounds, each figure with the ratio of ours to Go's. */
export function callTable(rows: readonly CallRow[]): string {
  const cells = [...new Set(rows.map(({ cell }) => cell))]
  const titles = FIGURES.flatMap(({ title }) => [...HOSTS.map((host) => `${host} ${title}`), '/'])
  const lines = cells.map((cell) => [
    cell,
    ...FIGURES.flatMap(({ figure }) => {
      const shown = HOSTS.map((host) => {
        const values = valuesOf(rows, cell, host, figure)
        return values.length === 0 ? '-' : median(values).toFixed(0)
      })
      return [...shown, ratioOf(rows, cell, figure)?.toFixed(2) ?? '-']
    }),
  ])
  return aligned([['a hook call', ...titles], ...lines])
}

export interface GrpcBench extends Omit<CallBench, 'hosts'> {
  readonly json: boolean
}

/** Both parts, printed; true where what could be judged was met. */
export async function measureGrpc(bench: GrpcBench): Promise<boolean> {
  const { say, json } = bench
  const plugin = await buildGoPlugin()
  if (plugin === null) {
    say('left out: there is no Go here, on whose plugin and host this is measured')
    return true
  }
  // With --json nothing but the rows goes out.
  const quiet = { ...bench, say: json ? () => undefined : say }
  const calls = await compareHosts(plugin, quiet)
  const traffic = await measureTraffic({ ...quiet, plugin })
  if (json) {
    for (const row of [...calls, ...traffic]) say(JSON.stringify(row))
  } else {
    if (calls.length > 0) say(`\n${callTable(calls)}`)
    if (traffic.length > 0) say(`\n${trafficTable(traffic)}`)
  }
  const worst = Math.max(0, ...traffic.map(totalMicros))
  const isMet = worst <= TRANSACTION_MICROS_MAX
  if (!json && traffic.length > 0) {
    const words = isMet ? 'met' : 'NOT MET'
    say(`${words}: at most ${worst.toFixed(0)} µs a transaction (${TRANSACTION_MICROS_MAX})`)
  }
  return isMet
}

async function compareHosts(plugin: string, bench: Omit<CallBench, 'hosts'>): Promise<CallRow[]> {
  if (cellsOf(bench.cells).length === 0) return []
  const hosts: Host[] = []
  try {
    hosts.push(await Host.start('go', await buildGoHost(), plugin))
    hosts.push(await Host.start('postern', await buildOwnHost(), plugin))
    return await measureCalls({ ...bench, hosts })
  } finally {
    for (const host of hosts) await host.stop()
  }
}
