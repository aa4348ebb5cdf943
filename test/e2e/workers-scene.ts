/** What tests of workers share: gateways with two of them, and how their clients are spread. */
import type { RunningGateway } from '../kit/gateway.ts'
import type { PostgresServer } from '../kit/postgres.ts'
import { startBefore, statusOf, until } from '../kit/traffic.ts'
import type { Wire } from '../kit/wire.ts'
import { login } from './plugins-scene.ts'

export type Keys = Readonly<Record<string, unknown>>

export interface Place {
  readonly host: string
  readonly port: number
}

export function startWorkers(
  postgres: PostgresServer,
  server: Keys = {},
  top: Keys = {},
): Promise<RunningGateway> {
  return startBefore(postgres, { server, top: { workers: 2, ...top } })
}

export function enterAll(place: Place, postgres: PostgresServer, count = 20): Promise<Wire[]> {
  return Promise.all(Array.from({ length: count }, () => login(place, postgres)))
}

export async function workersOf(gateway: RunningGateway) {
  const { workers = [] } = await statusOf(gateway)
  return workers
}

export async function sessionsOf(gateway: RunningGateway): Promise<number[]> {
  return (await workersOf(gateway)).map(({ sessions }) => sessions)
}

/** The sessions that still answer. */
export async function answering(wires: readonly Wire[]): Promise<Wire[]> {
  const asked = wires.map(async (wire) => {
    const rows = await wire.rows('select 1').catch(() => null)
    return rows === null ? [] : [wire]
  })
  return (await Promise.all(asked)).flat()
}

/** The first worker, which was killed once, serves again. */
export function replaced(gateway: RunningGateway): Promise<void> {
  return until('the worker is replaced', async () => {
    const [now] = await workersOf(gateway)
    return now!.restarts === 1 && now!.generation > 0
  })
}
