/** What tests of pools share: gateways that log in by themselves, and their clients. */
import type { BackendMessage } from '../kit/backend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import type { PostgresServer } from '../kit/postgres.ts'
import { metric, startBefore } from '../kit/traffic.ts'
import { openSession, type Wire } from '../kit/wire.ts'

type Keys = Readonly<Record<string, unknown>>

export interface Pooled {
  readonly pool?: Keys
  readonly server?: Keys
  readonly proxy?: Keys
  readonly client?: Keys
  readonly plugins?: Keys
}

/** A gateway that logs in to the server as its superuser, and trusts its clients. */
export function startPooled(
  behind: PostgresServer,
  settings: Pooled = {},
): Promise<RunningGateway> {
  const { user, password, database } = behind
  return startBefore(behind, {
    client: { startupParams: { user, password, database }, ...settings.client },
    server: { auth: 'trust', ...settings.server },
    top: {
      pools: { default: { writes: { size: 2, ...settings.pool } } },
      proxies: { default: { writes: { ...settings.proxy } } },
    },
    ...(settings.plugins === undefined ? {} : { plugins: settings.plugins }),
  })
}

/** The same, where the clients share the two connections by transactions. */
export function startShared(
  behind: PostgresServer,
  pool: Keys = {},
  more: Pooled = {},
): Promise<RunningGateway> {
  return startPooled(behind, { ...more, pool: { mode: 'transaction', ...pool } })
}

/** The SQLSTATEs of the errors in a reply. */
export function codesIn(reply: readonly BackendMessage[]): string[] {
  return reply.flatMap((each) => (each.name === 'ErrorResponse' ? [each.code] : []))
}

export function namesIn(reply: readonly BackendMessage[]): string[] {
  return reply.map(({ name }) => name)
}

/** A session of a client; whom it says it is, is nothing to the database. */
export function enter(gateway: RunningGateway, more: Keys = {}): Promise<Wire> {
  const { host, port } = gateway
  return openSession({ host, port, user: 'ann', database: 'postgres', ...more })
}

/** A session that has a connection to the server. */
export async function hold(gateway: RunningGateway): Promise<Wire> {
  const wire = await enter(gateway)
  await wire.rows('select 1')
  return wire
}

/** The server process behind a session. */
export async function pidOf(wire: Wire): Promise<string> {
  const [row] = await wire.rows('select pg_backend_pid()')
  return row![0]!
}

/** Connections that nobody uses now. */
export function kept(gateway: RunningGateway): Promise<number> {
  return metric(gateway, 'postern_pool_connections', { state: 'kept' })
}

/** Connections that a client has, or that are being opened for one. */
export function lent(gateway: RunningGateway): Promise<number> {
  return metric(gateway, 'postern_pool_connections', { state: 'lent' })
}
