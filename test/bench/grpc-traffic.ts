/**
 * What a statement costs with a gRPC plugin in both directions: pgbench through the gateway, on
 * whose OnTrafficFromClient and OnTrafficFromServer a Go plugin stands.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { startGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { createTables, type Driver, findDriver } from './driver.ts'
import { processorMicros } from './processor.ts'
import { aligned, median } from './report.ts'

/** Microseconds of processor a transaction, gateway and plugin together. */
export const TRANSACTION_MICROS_MAX = 250

const CLIENTS = [1, 8, 32] as const
const WARM_CLIENTS = 32

export interface TrafficRow {
  readonly round: number
  readonly cell: string
  readonly perSecond: number
  /** Of the database itself, in the same round. */
  readonly directPerSecond: number
  readonly gatewayMicros: number
  readonly pluginMicros: number
}

export interface TrafficBench {
  /** The plugin's executable. */
  readonly plugin: string
  readonly rounds: number
  readonly seconds: number
  readonly cells: string
  readonly say: (line: string) => void
}

export async function measureTraffic(bench: TrafficBench): Promise<TrafficRow[]> {
  const cells = CLIENTS.map((clients) => ({ clients, cell: `pgbench ${clients}` }))
  const wanted = cells.filter(({ cell }) => cell.includes(bench.cells))
  if (wanted.length === 0) return []
  await using server = await startPostgres({ settings: { autovacuum: 'off' } })
  await createTables(server)
  await using gateway = await startGateway({
    args: ['--upstream', `${server.host}:${server.port}`, '--plugin', bench.plugin, '--dev'],
    env: { POSTERN_LOGGERS_DEFAULT_LEVEL: 'warn' },
  })
  const driver = findDriver()
  const rows: TrafficRow[] = []
  // The engine compiles what it has run often enough; few clients alone would take minutes to.
  const warm = { clients: WARM_CLIENTS, seconds: 2 * bench.seconds }
  await measure(driver, server, gateway, warm)
  for (let round = 1; round <= bench.rounds; round++) {
    for (const { clients, cell } of wanted) {
      const load = { clients, seconds: bench.seconds }
      const row = { round, cell, ...(await measure(driver, server, gateway, load)) }
      rows.push(row)
      bench.say(`round ${round}/${bench.rounds}  ${progress(row)}`)
    }
  }
  return rows
}

async function measure(
  driver: Driver,
  server: PostgresServer,
  gateway: { readonly host: string; readonly port: number; readonly pid: number },
  load: { readonly clients: number; readonly seconds: number },
): Promise<Omit<TrafficRow, 'round' | 'cell'>> {
  const { user, database } = server
  const kind = 'simple'
  const all = { user, database, kind, ...load } as const
  const direct = await driver.run({ ...all, host: server.host, port: server.port })
  const plugins = childrenOf(gateway.pid)
  const gatewayBefore = processorMicros([gateway.pid])
  const pluginBefore = processorMicros(plugins)
  const { transactions, perSecond } = await driver.run({
    ...all,
    host: gateway.host,
    port: gateway.port,
  })
  return {
    perSecond,
    directPerSecond: direct.perSecond,
    gatewayMicros: (processorMicros([gateway.pid]) - gatewayBefore) / transactions,
    pluginMicros: (processorMicros(plugins) - pluginBefore) / transactions,
  }
}

/** The processes that were started by this one and run. */
function childrenOf(pid: number): number[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return all.map(Number).filter((child) => parentOf(child) === pid)
}

function parentOf(pid: number): number {
  try {
    // Behind the name, which may hold anything, in parentheses.
    const behind = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1) ?? ''
    return Number(behind.split(' ')[1])
  } catch {
    // It has ended in between.
    return 0
  }
}

function progress({ cell, perSecond, gatewayMicros, pluginMicros }: TrafficRow): string {
  const cost = `${gatewayMicros.toFixed(0)} + ${pluginMicros.toFixed(0)} µs`
  return `${cell.padEnd(14)} ${perSecond.toFixed(0)}/s, processor ${cost} a transaction`
}

function medianOf(rows: readonly TrafficRow[], read: (row: TrafficRow) => number): number {
  return median(rows.map(read))
}

/** Medians over the rounds. */
export function trafficTable(rows: readonly TrafficRow[]): string {
  const cells = [...new Set(rows.map(({ cell }) => cell))]
  const lines = cells.map((cell) => {
    const own = rows.filter((row) => row.cell === cell)
    return [
      cell,
      medianOf(own, ({ perSecond }) => perSecond).toFixed(0),
      medianOf(own, (row) => row.perSecond / row.directPerSecond).toFixed(2),
      medianOf(own, ({ gatewayMicros }) => gatewayMicros).toFixed(0),
      medianOf(own, ({ pluginMicros }) => pluginMicros).toFixed(0),
      medianOf(own, totalMicros).toFixed(0),
    ]
  })
  const titles = ['a statement', '/s', '/ direct', 'gateway µs', 'plugin µs', 'both µs']
  return aligned([titles, ...lines])
}

/** What the transaction cost, gateway and plugin together. */
export function totalMicros({ gatewayMicros, pluginMicros }: TrafficRow): number {
  return gatewayMicros + pluginMicros
}
