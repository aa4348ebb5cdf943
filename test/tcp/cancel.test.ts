/** A CancelRequest reaches the right server also where a new session would be refused. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { cancelRequest, query } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { startService } from '../kit/service.ts'
import { connectWire, openSession } from '../kit/wire.ts'

let postgres: PostgresServer

beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres.stop())

/** Resolves when the server sleeps: a request that comes before would cancel nothing. */
async function sleeping(): Promise<void> {
  using watcher = await openSession(postgres)
  const asleep = "select 1 from pg_stat_activity where wait_event = 'PgSleep'"
  while ((await watcher.rows(asleep)).length === 0);
}

test('a query is cancelled through a gateway that has no room for another session', async () => {
  await using service = startService({ upstreams: [postgres.port], sessionsMax: 1 })
  const address = { host: '127.0.0.1', port: service.port }
  using sleeper = await connectWire(address)
  const { pid, secret } = await sleeper.login({ user: postgres.user, database: postgres.database })
  sleeper.send(query('select pg_sleep(60)'))
  await sleeping()
  using canceller = await connectWire(address)
  canceller.send(cancelRequest(pid, secret))
  await canceller.closed()
  const told = await sleeper.readUntil('ErrorResponse')
  expect(told.at(-1)).toMatchObject({ code: '57014' })
  await sleeper.expect('ReadyForQuery')
  expect(service.account.sessionsRefused).toBe(1)
  expect(service.account.cancelRequests).toBe(1)
})

test('a key that nobody has is answered with silence', async () => {
  await using service = startService({ upstreams: [postgres.port] })
  using canceller = await connectWire({ host: '127.0.0.1', port: service.port })
  canceller.send(cancelRequest(12345, Uint8Array.of(1, 2, 3, 4)))
  await canceller.closed()
  expect(service.account.cancelRequests).toBe(1)
})
