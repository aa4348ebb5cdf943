/**
 * Random pipelines of PostgreSQL messages, each in two versions: what a client sends through the
 * gateway, with marks for a step to act on, and what gives the same replies without a gateway.
 */
import type { BackendMessage } from './backend.ts'
import * as frontend from './frontend.ts'

/** A source of numbers that gives the same ones for the same seed. */
export interface Random {
  /** A whole number from 0 to below `limit`. */
  below(limit: number): number
  chance(probability: number): boolean
  pick<Item>(items: readonly Item[]): Item
}

/** Mulberry32: small, and good enough to find what nobody thought of. */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    below,
    chance: (probability) => next() < probability,
    pick: (items) => items[below(items.length)]!,
  }
}

export interface Pipeline {
  /** Sent through the gateway, message by message. */
  readonly marked: readonly Uint8Array[]
  /** Sent to the server itself. */
  readonly plain: readonly Uint8Array[]
}

export const DENY = 'mark_deny'
export const RESPOND = 'mark_respond'
export const RESPOND_ERROR = 'mark_fail'
export const REPLACE = 'mark_replace'
/** The message of every error that stands for a refusal. */
const REFUSED = 'oracle_fail'
export const DENIED_CODE = '42501'
const LAST_WORD = '424242'

const failingParse = frontend.parse({ sql: REFUSED, name: REFUSED })

/** Writes both versions of one pipeline. */
class Writer {
  readonly marked: Uint8Array[] = []
  readonly plain: Uint8Array[] = []
  readonly #random: Random
  /** Answers with an error are not the same inside a transaction block, which lives on. */
  readonly #transactions: boolean
  #names = 0
  /** Extended messages were sent since the last Sync. */
  #unsynced = false

  constructor(random: Random) {
    this.#random = random
    this.#transactions = random.chance(0.6)
  }

  both(...messages: Uint8Array[]): void {
    this.marked.push(...messages)
    this.plain.push(...messages)
  }

  split(marked: Uint8Array, plain: Uint8Array): void {
    this.marked.push(marked)
    this.plain.push(plain)
  }

  name(): string {
    this.#names += 1
    return `s${this.#names}`
  }

  step(): void {
    const random = this.#random
    const kinds = [
      () => this.simple(),
      () => this.simple(),
      () => this.extended(),
      () => this.extended(),
      () => this.extended(),
      () => this.copy(),
      () => this.copyExtended(),
      () => this.both(frontend.flush()),
      () => this.sync(),
    ]
    random.pick(kinds)()
  }

  simple(): void {
    const random = this.#random
    const blocks = this.#transactions ? ['begin', 'commit', 'rollback', 'begin; select 1'] : []
    const choice = random.below(10)
    if (choice === 0) {
      this.split(frontend.query(`select 1 /* ${DENY} */`), frontend.query(REFUSED))
    } else if (choice === 1 && !this.#unsynced) {
      // In an unsynced pipeline only the server knows what status its ReadyForQuery would give.
      this.split(frontend.query(`select 1 /* ${RESPOND} */`), frontend.query(''))
    } else if (choice === 2) {
      this.split(frontend.query(`select 1 /* ${REPLACE} */`), frontend.query('select 77'))
    } else {
      const sql = ['select 1', 'select 1/0', 'select 1; select 2', '', 'insert into t values (1)']
      sql.push('select generate_series(1, 40)', 'bad syntax here', ...blocks)
      this.both(frontend.query(random.pick(sql)))
    }
  }

  /** Parse, Bind, Describe, Execute in any part, each of which may be refused. */
  extended(): void {
    const random = this.#random
    const sql = ['select 5', 'select 1/0', 'select generate_series(1, 9)', 'syntax error here', '']
    if (this.#transactions) sql.push('begin', 'commit', 'rollback')
    const name = random.chance(0.5) ? '' : this.name()
    this.refusable(frontend.parse({ sql: random.pick(sql), name }), (mark) =>
      frontend.parse({ sql: `select 5 /* ${mark} */`, name }),
    )
    if (random.chance(0.2)) this.answerable()
    if (random.chance(0.9)) {
      this.refusable(frontend.bind({ statement: name }), (mark) =>
        frontend.bind({ statement: name, portal: mark }),
      )
    }
    if (random.chance(0.5)) {
      this.refusable(frontend.describe(), (mark) => frontend.describe('statement', mark))
    }
    if (random.chance(0.9)) {
      const rowsMax = random.pick([0, 0, 2])
      this.refusable(frontend.execute('', rowsMax), (mark) => frontend.execute(mark))
    }
    if (random.chance(0.2)) this.both(frontend.flush())
    this.#unsynced = true
    if (random.chance(0.75)) this.sync()
  }

  sync(): void {
    this.#unsynced = false
    this.both(frontend.sync())
  }

  refusable(message: Uint8Array, refused: (mark: string) => Uint8Array): void {
    const random = this.#random
    if (random.chance(0.07)) this.split(refused(DENY), failingParse)
    else if (!this.#transactions && random.chance(0.04)) {
      this.split(refused(RESPOND_ERROR), failingParse)
    } else this.both(message)
  }

  /** A message that a step answers with what the server would say. */
  answerable(): void {
    if (this.#random.chance(0.5)) {
      const name = this.name()
      this.split(
        frontend.parse({ sql: `/* ${RESPOND} */`, name }),
        frontend.parse({ sql: '', name }),
      )
    } else {
      this.split(frontend.close('portal', RESPOND), frontend.close('portal', 'nothing'))
    }
  }

  copyRows(): void {
    const random = this.#random
    for (let row = random.below(4); row > 0; row--) {
      if (random.chance(0.12))
        this.split(frontend.copyData(`${DENY}\n`), frontend.copyFail(REFUSED))
      else this.both(frontend.copyData(random.chance(0.1) ? 'no number\n' : `${row}\n`))
    }
  }

  copyEnd(): void {
    const fails = this.#random.chance(0.15)
    this.both(fails ? frontend.copyFail('given up') : frontend.copyDone())
  }

  copy(): void {
    this.both(frontend.query('copy t from stdin'))
    this.copyRows()
    this.copyEnd()
    if (this.#random.chance(0.2)) this.both(frontend.query('copy (select 1) to stdout'))
  }

  /** As libpq does it: Sync right behind Execute, which the server eats, and again at the end. */
  copyExtended(): void {
    this.both(frontend.parse({ sql: 'copy t from stdin' }), frontend.bind(), frontend.execute())
    if (this.#random.chance(0.5)) this.both(frontend.flush())
    this.copyRows()
    this.copyEnd()
    this.sync()
  }

  end(): void {
    this.both(frontend.sync(), frontend.query('rollback'))
    this.both(frontend.query(`select ${LAST_WORD}`))
  }
}

/** A pipeline of some steps, which ends with a query whose reply `isLast` knows. */
export function randomPipeline(random: Random): Pipeline {
  const writer = new Writer(random)
  writer.both(frontend.query('create temp table t (i int)'))
  for (let steps = 1 + random.below(12); steps > 0; steps--) writer.step()
  writer.end()
  return writer
}

/** True for the row that only the last query of a pipeline gives. */
export function isLast(message: BackendMessage): boolean {
  return message.name === 'DataRow' && message.values[0] === LAST_WORD
}

/** A reply as it can be compared: refusals and their stand-ins become the same text. */
export function comparable(message: BackendMessage): string {
  if (message.name === 'ErrorResponse') {
    const refused = message.code === DENIED_CODE || message.message.includes(REFUSED)
    return refused ? 'refused' : `error ${message.code}`
  }
  if (message.name === 'NoticeResponse') return `notice ${message.code}`
  return `${message.name} ${Buffer.from(message.bytes).toString('latin1')}`
}
