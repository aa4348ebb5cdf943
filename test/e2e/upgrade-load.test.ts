/**
 * Upgrades under load: no connection, no query and no scrape fails, and no process stays.
 * `POSTERN_LONG=1`: 20 upgrades, with their figures.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { createTables, findDriver } from '../bench/driver.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { memoryOf, until } from '../kit/traffic.ts'
import { loginConfig, startUpgradable, statusOf, type Upgradable } from './upgrade-scene.ts'

const IS_LONG = process.env['POSTERN_LONG'] === '1'
setDefaultTimeout(IS_LONG ? 300_000 : 60_000)
const UPGRADES = IS_LONG ? 20 : 3
const CLIENTS = 4

let postgres: PostgresServer
beforeAll(async () => {
  postgres = await startPostgres()
  await createTables(postgres)
}, 120_000)
afterAll(() => postgres.stop())

/** Rejects when one of these does, and otherwise never settles. */
function failing(...all: readonly Promise<unknown>[]): Promise<never> {
  return new Promise((_resolve, reject) => {
    for (const one of all) one.catch(reject)
  })
}

/** Scrapes one after the other, each on a connection of its own, until it is over. */
async function scrapes({ metricsPort }: Upgradable, isOver: () => boolean): Promise<number> {
  let count = 0
  while (!isOver()) {
    const answer = await fetch(`http://127.0.0.1:${metricsPort}/metrics`, { keepalive: false })
    expect(await answer.text()).toContain('postern_build_info')
    count += 1
    await Bun.sleep(5)
  }
  return count
}

/** Every client answered every statement, or `runPgbench` would have thrown. */
async function drives(
  { host, port }: Upgradable,
  kind: 'simple' | 'connect' | 'prepared',
  isOver: () => boolean,
): Promise<number> {
  const { user, password, database } = postgres
  let transactions = 0
  while (!isOver()) {
    const load = { host, port, user, password, database, kind, clients: CLIENTS }
    const figures = await findDriver().run({ ...load, seconds: IS_LONG ? 3 : 1 })
    transactions += figures.transactions
  }
  return transactions
}

test.each([
  [1, 'session'],
  [2, 'transaction'],
] as const)(
  'nobody notices upgrades under load, and no process stays (%d workers, mode %s)',
  async (workers, mode) => {
    const pools = { default: { writes: { size: 20, mode } } }
    await using gateway = await startUpgradable((place) =>
      loginConfig(postgres, place, { workers, pools, drainTimeout: '20s', upgradesMax: 20 }),
    )
    let isOver = false
    const over = (): boolean => isOver
    const loads = [
      drives(gateway, 'connect', over),
      drives(gateway, mode === 'session' ? 'simple' : 'prepared', over),
      scrapes(gateway, over),
    ]
    const took: number[] = []
    const pids = [gateway.pid]
    const upgrading = async (): Promise<void> => {
      for (let turn = 1; turn <= UPGRADES; turn++) {
        await Bun.sleep(100)
        const report = await gateway.upgrade()
        pids.push(gateway.pid)
        took.push(report.tookMs)
      }
    }
    const startedAt = performance.now()
    await Promise.race([upgrading(), failing(...loads)])
    await Bun.sleep(200)
    isOver = true
    const [connections, transactions, pages] = await Promise.all(loads)
    await until('the earlier ones have ended', async () => {
      return (await statusOf(gateway)).upgrades?.earlier.processes === 0
    })
    for (const pid of pids.slice(0, -1)) await gateway.ended(pid)
    expect((await statusOf(gateway)).upgrades).toMatchObject({ done: UPGRADES, refused: 0 })
    expect(gateway.log()).not.toContain(' ERR ')
    expect(gateway.log()).not.toContain('was killed')
    if (!IS_LONG) return
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
    const middle = took.toSorted((one, other) => one - other)[UPGRADES / 2]
    const megabytes = (memoryOf(gateway.pid).now / 1e6).toFixed(0)
    process.stdout.write(
      `${workers} workers: ${UPGRADES} upgrades in ${seconds} s (median ${middle} ms, longest ` +
        `${Math.max(...took)} ms); ${connections} connections, ${transactions} pooled ` +
        `transactions and ${pages} scrapes, none failed; memory of the last ${megabytes} MB\n`,
    )
  },
)
