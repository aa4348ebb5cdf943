/**
 * Reloads under load: no query fails, whatever changes, and nothing of what is left behind stays.
 * `POSTERN_LONG=1`: 200 reloads of each kind, with their figures.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTables, findDriver } from '../bench/driver.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { memoryOf, mustBeSound, startBefore, statusOf, until } from '../kit/traffic.ts'
import type { Wire } from '../kit/wire.ts'
import { buildPlugins, type Entry, fixture, login, scripted, startWith } from './plugins-scene.ts'
import {
  at,
  edit,
  editEntry,
  GLOBAL,
  otherModule,
  reloadQuickly,
  replaceFile,
} from './reload-scene.ts'

const IS_LONG = process.env['POSTERN_LONG'] === '1'
setDefaultTimeout(IS_LONG ? 300_000 : 30_000)
const RELOADS_LONG = 200
/** Sessions that ask one thing after another, beside those of the driver. */
const SESSIONS = 4
const CLIENTS = 4
/** What a process may grow by over the second half of the reloads: the engine gives back late. */
const GROWTH_BYTES_MAX = 50_000_000

let postgres: PostgresServer
let folder: string
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
  await createTables(postgres)
  folder = mkdtempSync(join(tmpdir(), 'reload-load-'))
}, 120_000)
afterAll(async () => {
  await postgres.stop()
  rmSync(folder, { recursive: true })
})

/** Something that is different at each reload. */
interface Change {
  readonly what: string
  /** How many reloads there are in the short form. */
  readonly few: number
  readonly plugins: () => readonly Entry[]
  /** The gateway logs in to the database by itself. */
  readonly logsIn?: boolean
  readonly apply: (gateway: RunningGateway, turn: number) => void
}

const copy = (name: string): string => join(folder, name)
const wasm = (): Uint8Array => readFileSync(fixture('words-assembly.wasm'))

/** A program that becomes the fixture; its own text is what changes. */
function wrapper(turn: number): string {
  return `#!/bin/sh\n# ${turn}\nexec ${fixture('scripted')}\n`
}

const CHANGES: readonly Change[] = [
  {
    what: 'a limit of the server',
    few: 8,
    plugins: () => [],
    apply: (gateway, turn) =>
      edit(gateway, GLOBAL, (tree) => {
        at(tree, 'servers', 'default')['sessionsMax'] = 1000 + turn
      }),
  },
  {
    what: 'the size of a pool that logs in',
    few: 8,
    plugins: () => [],
    logsIn: true,
    apply: (gateway, turn) =>
      edit(gateway, GLOBAL, (tree) => {
        at(tree, 'pools', 'default', 'writes')['size'] = 20 + (turn % 2)
      }),
  },
  {
    what: 'the entry of a WASM plugin',
    few: 8,
    plugins: () => [{ name: 'words', localPath: fixture('words-assembly.wasm') }],
    apply: (gateway, turn) => editEntry(gateway, { config: { words: `word${turn}` } }),
  },
  {
    what: 'the file of a WASM plugin',
    few: 8,
    plugins: () => {
      replaceFile(copy('words.wasm'), wasm())
      return [{ name: 'words', localPath: copy('words.wasm') }]
    },
    apply: (_gateway, turn) => replaceFile(copy('words.wasm'), otherModule(wasm(), turn)),
  },
  {
    what: 'the entry of a gRPC plugin',
    few: 2,
    plugins: () => [scripted({ TAG: 'none' })],
    apply: (gateway, turn) => editEntry(gateway, { env: ['HOOKS=16,18', `TAG=t${turn}`] }),
  },
  {
    what: 'the file of a gRPC plugin',
    few: 2,
    plugins: () => {
      replaceFile(copy('wrapper'), wrapper(0), 0o755)
      return [{ name: 'scripted', localPath: copy('wrapper'), env: ['HOOKS=16,18'] }]
    },
    apply: (_gateway, turn) => replaceFile(copy('wrapper'), wrapper(turn), 0o755),
  },
]

function startFor({ plugins, logsIn = false }: Change): Promise<RunningGateway> {
  if (!logsIn) return startWith(postgres, { plugins: plugins(), args: ['--dev'] })
  const { user, database, password } = postgres
  return startBefore(postgres, {
    client: { startupParams: { user, database, password } },
    server: { auth: 'trust' },
  })
}

/** Asks until it is told to stop; how often it was answered. Rejects at the first failure. */
async function asks(wire: Wire, isOver: () => boolean): Promise<number> {
  let answered = 0
  while (!isOver()) {
    const text = `${answered}`
    // A transaction every now and then: what falls into one waits for its end.
    const sql = answered % 5 === 0 ? `begin; select ${text}; commit` : `select ${text}`
    expect(await wire.rows(sql)).toEqual([[text]])
    answered += 1
  }
  return answered
}

const countOf = ({ few }: Change): number => (IS_LONG ? RELOADS_LONG : few)

async function reloadAll(gateway: RunningGateway, change: Change) {
  const took: number[] = []
  let half = 0
  for (let turn = 1; turn <= countOf(change); turn++) {
    change.apply(gateway, turn)
    const report = await reloadQuickly(gateway)
    expect(report.problems).toEqual([])
    expect([report.generation, report.changes.length]).toEqual([turn + 1, 1])
    took.push(report.tookMs)
    if (turn === countOf(change) / 2) half = memoryOf(gateway.pid).now
    // Generations are bounded: as careful operators do, the next one waits until there is room.
    await until('an old generation is gone', async () => {
      return (await statusOf(gateway)).generations.length < 4
    })
  }
  return { took, half }
}

test.each(CHANGES.map((change) => [change.what, change] as const))(
  'no query fails over reloads that change %s',
  async (what, change) => {
    await using gateway = await startFor(change)
    const reloads = countOf(change)
    const wires = await Promise.all(
      Array.from({ length: SESSIONS }, () => login(gateway, postgres)),
    )
    let isOver = false
    const asking = Promise.all(wires.map((wire) => asks(wire, () => isOver)))
    const { port, host } = gateway
    const { user, password, database } = postgres
    const place = { host, port, user, password, database }
    const drive = async (kind: 'simple' | 'connect'): Promise<number> => {
      let transactions = 0
      while (!isOver) {
        const load = { ...place, kind, clients: CLIENTS, seconds: IS_LONG ? 5 : 1 }
        const figures = await findDriver().run(load).catch(unlessNone)
        transactions += figures.transactions
      }
      return transactions
    }
    const driving = Promise.all([drive('simple'), drive('connect')])
    const startedAt = performance.now()
    const { now: before } = memoryOf(gateway.pid)
    const reloading = reloadAll(gateway, change)
    const { took, half } = await Promise.race([reloading, failing(asking, driving)])
    isOver = true
    const answered = (await asking).reduce((sum, count) => sum + count, 0)
    const [transactions, connections] = await driving
    for (const wire of wires) wire.destroy()
    await until('only the last generation is left', async () => {
      return (await statusOf(gateway)).generations.length === 1
    })
    await mustBeSound(gateway)
    const { now: after, peak } = memoryOf(gateway.pid)
    expect((await statusOf(gateway)).reloads).toMatchObject({ done: reloads, refused: 0 })
    const seconds = (performance.now() - startedAt) / 1000
    const megabytes = [before, half, after, peak]
      .map((bytes) => (bytes / 1e6).toFixed(1))
      .join(', ')
    const [middle, longest] = [took.toSorted((a, b) => a - b)[reloads / 2], Math.max(...took)]
    const figures =
      `${what}: ${reloads} reloads in ${seconds.toFixed(0)} s (median ${middle} ms, longest ` +
      `${longest} ms); ${answered} + ${transactions} queries and ${connections} connections, ` +
      `none failed; memory before, half-way, after and peak ${megabytes} MB\n`
    if (IS_LONG) process.stdout.write(figures)
    expect(after - half).toBeLessThan(GROWTH_BYTES_MAX)
  },
)

/** Where a machine has much to do, a run may end before its first transaction: none has failed. */
function unlessNone(thrown: unknown): { readonly transactions: number } {
  const said = String(thrown)
  if (!/processed: 0\n/.test(said) || !/failed transactions: 0 /.test(said)) throw thrown
  return { transactions: 0 }
}

/** Rejects when one of these does, and otherwise never settles. */
function failing(...all: readonly Promise<unknown>[]): Promise<never> {
  return new Promise((_resolve, reject) => {
    for (const one of all) one.catch(reject)
  })
}
