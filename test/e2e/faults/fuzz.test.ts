/**
 * Protocol fuzzing of the executable, from both sides. `POSTERN_SEED` begins at another place, and
 * repeats what a failure names.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import type { RunningGateway } from '../../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../../kit/postgres.ts'
import { auditPlugins, metric, type Settings, startBefore } from '../../kit/traffic.ts'
import { enter, startPooled } from '../pools-scene.ts'
import { fuzzClients } from './fuzz-driver.ts'
import { fuzzServers, startRubbishServer } from './fuzz-servers.ts'
import { type Recording, recordDrivers } from './recordings.ts'
import { mustBeUnharmed, weigh } from './scene.ts'

const SESSIONS = process.env['POSTERN_LONG'] === '1' ? 20_000 : 300
const SEED = Number(process.env['POSTERN_SEED'] ?? 1)
setDefaultTimeout(60_000 + SESSIONS * 100)

const GROWTH_BYTES_MAX = 80e6
/** Enough for those at work and the bystander. */
const POOL_SIZE = 12
/** A mutated statement may be one that never ends. */
const STATEMENT_TIMEOUT_MS = '2000'

const WAYS: Readonly<Record<string, Settings>> = {
  'without plugins': {},
  'with the audit plugin': { plugins: auditPlugins() },
}

let server: PostgresServer
let recorded: Recording[]
beforeAll(async () => {
  server = await startPostgres({ settings: { statement_timeout: STATEMENT_TIMEOUT_MS } })
  recorded = await recordDrivers(server)
})
afterAll(() => server.stop())

/** Mutated clients, by the thousand, before this gateway. */
async function attack(gateway: RunningGateway): Promise<void> {
  const before = await weigh(gateway)
  const tally = await fuzzClients(server, { gateway, sessions: SESSIONS, seed: SEED, recorded })
  // Mutated sessions have broken PostgreSQL 18 itself: some of those that ran then are lost.
  expect(tally.sessions).toBeGreaterThanOrEqual(SESSIONS - 8 * tally.crashes)
  expect(tally.refused).toBeGreaterThan(SESSIONS / 10)
  await mustBeUnharmed(gateway, before, GROWTH_BYTES_MAX)
  await isSound(gateway)
}

/** It has refused what is no protocol, and nothing in it broke. */
async function isSound(gateway: RunningGateway): Promise<void> {
  expect(await metric(gateway, 'postern_protocol_violations_total')).toBeGreaterThan(0)
  expect(gateway.log()).not.toContain('a session broke')
  expect((await gateway.stop()).status).toBe(0)
}

for (const [way, settings] of Object.entries(WAYS)) {
  test(`${SESSIONS} mutated clients harm nobody else, ${way}`, async () => {
    await using gateway = await startBefore(server, settings)
    await attack(gateway)
  })

  test(`${SESSIONS} mutated servers harm nobody else, ${way}`, async () => {
    await using rubbish = await startRubbishServer()
    await using gateway = await startBefore(rubbish, settings)
    const before = await weigh(gateway)
    const options = { gateway, sessions: SESSIONS, seed: SEED, recorded }
    const tally = await fuzzServers(server, rubbish, options)
    expect(tally).toMatchObject({ sessions: SESSIONS })
    expect(tally.bytes).toBeGreaterThan(SESSIONS * 100)
    await mustBeUnharmed(gateway, before, GROWTH_BYTES_MAX)
    await isSound(gateway)
  })
}

test(`no connection of a pool is unclean after ${SESSIONS} mutated clients`, async () => {
  // All of them are handed on again and again, and more are never opened.
  const pool = { size: POOL_SIZE, waitTimeout: '10s' }
  await using gateway = await startPooled(server, { pool })
  // A pool keeps its connections: they are there before anything is counted.
  const wires = await Promise.all(Array.from({ length: POOL_SIZE }, () => enter(gateway)))
  for (const wire of wires) wire.destroy()
  await attack(gateway)
})
