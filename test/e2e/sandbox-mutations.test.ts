/**
 * Built plugins that were cut short or had bits changed, in the executable, with traffic beside
 * them. POSTERN_LONG=1 tries 10,000, POSTERN_SEED begins with another one.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { modulePath, readBytes } from '../fixtures/wasm/kit.ts'
import { mutant } from '../fixtures/wasm/mutants.ts'
import { WORDS } from '../fixtures/wasm/words.ts'
import { parse, query, sync } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { memoryOf } from '../kit/traffic.ts'
import { type Entry, exchange, type Listed, listed, login, startWith } from './plugins-scene.ts'
import { beginTraffic, entryFor } from './sandbox-scene.ts'

const IS_LONG = process.env['POSTERN_LONG'] === '1'
const FIRST_SEED = Number(process.env['POSTERN_SEED'] ?? 0)
const BATCH = 50
const EXECUTABLE_MUTANTS = IS_LONG ? 10_000 : BATCH
const START_TIMEOUT_MS = 120_000
const LONG_TIMEOUT_MS = 3_600_000
const MIB = 2 ** 20
const GATEWAY_BYTES_MAX = 1024 * MIB

/** Plugins that judge statements and nothing else, so that other traffic is not theirs to harm. */
async function judgesOfStatements(): Promise<readonly string[]> {
  return [modulePath('audit'), ...(await Promise.all(WORDS.map(({ path }) => path())))]
}

const STATEMENTS = ['select 1', 'drop table if exists no_such_table', 'select 2 from (select 1) x']

/** Asks what the mutants may judge; any whole reply will do, and so will the end. */
async function provoke(postgres: PostgresServer, place: { host: string; port: number }) {
  for (const sql of STATEMENTS) {
    using wire = await login(place, postgres)
    try {
      await exchange(wire, [query(sql)], 1)
      await exchange(wire, [parse({ sql }), sync()], 1)
    } catch (thrown) {
      // A plugin may close the connection, which is a verdict.
      if (!wire.isEnded) throw thrown
    }
  }
}

interface Batch {
  readonly states: readonly Listed[]
  readonly grownBytes: number
  readonly worstMs: number
}

/** One gateway with many mutants, asked what they judge, beside traffic that they do not. */
async function tryBatch(
  postgres: PostgresServer,
  wholes: readonly Uint8Array[],
  from: number,
): Promise<Batch> {
  const entries: Promise<Entry>[] = []
  for (let seed = from; seed < from + BATCH; seed++) {
    entries.push(entryFor(`mutant-${seed}`, mutant(wholes[seed % wholes.length]!, seed)))
  }
  await using gateway = await startWith(postgres, { plugins: await Promise.all(entries) })
  const heldAtStart = memoryOf(gateway.pid).now
  const traffic = await beginTraffic(gateway, postgres)
  await provoke(postgres, gateway)
  const states = await listed(gateway)
  const { calls, worstMs } = await traffic.stop()
  expect(calls).toBeGreaterThan(0)
  const { peak } = memoryOf(gateway.pid)
  expect(peak).toBeLessThan(GATEWAY_BYTES_MAX)
  expect(await gateway.stop()).toEqual({ status: 0, signal: null })
  return { states, grownBytes: peak - heldAtStart, worstMs }
}

describe('many of them in the executable', () => {
  let postgres: PostgresServer
  beforeAll(async () => {
    postgres = await startPostgres()
  }, START_TIMEOUT_MS)
  afterAll(() => postgres.stop())

  test(
    'leave it alive, within its limits, and the traffic beside them unharmed',
    async () => {
      const wholes = (await judgesOfStatements()).map(readBytes)
      const states = new Map<string, number>()
      let grownBytes = 0
      let worstMs = 0
      for (let from = FIRST_SEED; from < FIRST_SEED + EXECUTABLE_MUTANTS; from += BATCH) {
        const batch = await tryBatch(postgres, wholes, from)
        for (const { state } of batch.states) states.set(state, (states.get(state) ?? 0) + 1)
        grownBytes = Math.max(grownBytes, batch.grownBytes)
        worstMs = Math.max(worstMs, batch.worstMs)
      }
      const counts = [...states].map(([state, count]) => `${count} ${state}`).join(', ')
      const grown = `grew by ${Math.round(grownBytes / MIB)} MiB at most`
      process.stdout.write(`mutants: ${counts}; ${grown}; worst call ${worstMs.toFixed(0)} ms\n`)
      const listedInAll = [...states.values()].reduce((sum, count) => sum + count)
      expect(listedInAll).toBe(EXECUTABLE_MUTANTS)
    },
    LONG_TIMEOUT_MS,
  )
})
