/**
 * Cache: what is written through the gateway is read by everybody at once, and what is written
 * beside it when the time to live is over. There are more texts than entries.
 */
import type { Random } from '../kit/pipelines.ts'
import { openSession } from '../kit/wire.ts'
import { COMMON_ACTS, COPY_OUT } from './acts.ts'
import { CELLS, PEOPLE, READ_DATABASE } from './database.ts'
import type { Session } from './session.ts'
import { type Act, type Scene, type Subject, UNREAD_LOG } from './subject.ts'

const TTL_MS = 1000
/** Between the clocks of the gateway and of the soak, and their whole milliseconds. */
const SLACK_MS = 20
const WRITE_EVERY_MS = 100
const CONFIG = { ttlMs: TTL_MS, entriesMax: 200, bytesMax: 1024 * 1024 }

/** What anybody can know of each cell: its value only grows. */
class Floors {
  readonly #values = Array.from({ length: CELLS }, () => 0)

  at(cell: number): number {
    return this.#values[cell] ?? 0
  }

  learn(cell: number, value: number): void {
    if (value > this.at(cell)) this.#values[cell] = value
  }
}

const UPDATE = 'update cells set value = value + 1 where id = $1::int returning value'

const read = (floors: Floors): Act => ({
  name: 'read',
  weight: 60,
  async run(session, random) {
    const cell = random.below(CELLS)
    const floor = floors.at(cell)
    const { rows } = random.chance(0.5)
      ? await session.simple(`select value from cells where id = ${cell}`)
      : await session.extended('select value from cells where id = $1::int', [`${cell}`])
    const value = Number(rows[0]?.[0])
    session.tally.require(value >= floor, `cell ${cell} reads ${value}, was known as ${floor}`)
    floors.learn(cell, value)
  },
})

const write = (floors: Floors): Act => ({
  name: 'write',
  weight: 4,
  async run(session, random) {
    const cell = random.below(CELLS)
    const isTransaction = random.chance(0.5)
    const isUndone = isTransaction && random.chance(0.3)
    if (isTransaction) await session.simple('begin')
    const { rows, code } = await session.extended(UPDATE, [`${cell}`])
    session.tally.expect('write', code, null)
    if (isTransaction) await session.simple(isUndone ? 'rollback' : 'commit')
    if (!isUndone) floors.learn(cell, Number(rows[0]?.[0]))
  },
})

/** Rows that nobody changes, by texts of which there are more than entries. */
async function still(session: Session, random: Random): Promise<void> {
  const id = random.chance(0.5) ? 1 + random.below(20) : 1 + random.below(PEOPLE)
  const { rows } = random.chance(0.5)
    ? await session.simple(`select email from people where id = ${id}`)
    : await session.extended('select email from people where id = $1', [`${id}`])
  session.tally.expect('still', rows, [[`ann${id}@example.com`]])
}

/** A writer that the gateway does not see, and what it has written when. */
class Outsider {
  readonly act: Act = { name: 'stale', weight: 10, run: (session) => this.#read(session) }
  #written: { readonly value: number; readonly atMs: number }[] = []
  #stopped = false
  #writing: Promise<void> = Promise.resolve()

  begin({ server, tally }: Scene): void {
    this.#writing = this.#write(server).catch((error: unknown) => {
      if (!this.#stopped) tally.add(`the writer beside the gateway: ${error}`)
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#writing
  }

  async #write({ host, port, user }: Scene['server']): Promise<void> {
    const wire = await openSession({ host, port, user, database: READ_DATABASE })
    while (!this.#stopped) {
      const rows = await wire.rows(
        'update cells set value = value + 1 where id = 0 returning value',
      )
      const atMs = performance.now()
      this.#written.push({ value: Number(rows[0]?.[0]), atMs })
      // One that is certainly over its time is enough to tell what is stale.
      const over = this.#written.findLastIndex((each) => each.atMs < atMs - 60_000)
      if (over > 0) this.#written = this.#written.slice(over)
      await Bun.sleep(WRITE_EVERY_MS)
    }
    await wire.terminate()
  }

  async #read(session: Session): Promise<void> {
    const since = performance.now() - TTL_MS - SLACK_MS
    const least = this.#written.findLast(({ atMs }) => atMs < since)?.value ?? 0
    const { rows } = await session.simple('select value from cells where id = 0')
    const value = Number(rows[0]?.[0])
    session.tally.require(value >= least, `reads ${value}, stale by more than its time (${least})`)
  }
}

export const CACHE: Subject = {
  entry: { config: CONFIG },
  logger: UNREAD_LOG,
  signs: [
    'cache_hits_total',
    'cache_misses_total',
    'cache_evictions_total',
    'cache_invalidations_total',
  ],
  async begin(scene) {
    const { database } = scene
    const floors = new Floors()
    const outsider = new Outsider()
    outsider.begin(scene)
    const acts = [...COMMON_ACTS, COPY_OUT, read(floors), write(floors)]
    const reading = [{ name: 'still', weight: 30, run: still }, outsider.act]
    return {
      roles: [
        { user: 'app', database, weight: 2, acts },
        { user: 'dba', database, weight: 1, acts },
        { user: 'app', database: READ_DATABASE, weight: 3, acts: reading },
      ],
      beside: { stop: () => outsider.stop() },
    }
  },
}
