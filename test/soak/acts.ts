/** What any application does, whichever plugin looks on: no plugin of the soak may object. */
import * as frontend from '../kit/frontend.ts'
import type { Random } from '../kit/pipelines.ts'
import type { Session } from './session.ts'
import type { Act } from './subject.ts'

/** Stands in literals, which no log may tell. */
export const SECRET = 'zq-secret-'

const BIG_CHARACTERS_MAX = 300_000
const NUMBERS = 1_000_000

/** A text that was hardly ever sent before, and its literal. */
async function literals(session: Session, random: Random): Promise<void> {
  const number = random.below(NUMBERS)
  const word = `${SECRET}${random.below(NUMBERS)}`
  const sql = `select ${number} + 1 as a${random.below(5000)}, '${word}' /* ${number} */ as b`
  const { rows } = await session.either(random, sql)
  session.tally.expect('literals', rows, [[String(number + 1), word]])
}

async function parameters(session: Session, random: Random): Promise<void> {
  const number = random.below(NUMBERS)
  const word = `${SECRET}${number}`
  const sql = `select $1::int * 2 as n, $2::text as w, $3::text as x${random.below(300)}`
  const { rows } = await session.extended(sql, [String(number), word, null])
  session.tally.expect('parameters', rows, [[String(number * 2), word, null]])
}

/** A named statement, described once and used some times; not always closed. */
async function prepared(session: Session, random: Random): Promise<void> {
  const name = session.nextName()
  const column = `c${random.below(5000)}`
  const made = await session.send(
    frontend.parse({ sql: `select $1::int + 1 as ${column}`, name }),
    frontend.describe('statement', name),
    frontend.sync(),
  )
  session.tally.expect('prepare', made.code, null)
  for (let left = 1 + random.below(4); left > 0; left--) {
    const number = random.below(NUMBERS)
    const { rows } = await session.send(
      frontend.bind({ statement: name, values: [String(number)] }),
      frontend.execute(),
      frontend.sync(),
    )
    session.tally.expect('prepared', rows, [[String(number + 1)]])
  }
  if (random.chance(0.5)) {
    const { code } = await session.send(frontend.close('statement', name), frontend.sync())
    session.tally.expect('close', code, null)
  }
}

/** Several statements on their way at the same time, one of which fails. */
async function pipelined(session: Session, random: Random): Promise<void> {
  const bad = random.below(6)
  const statements = Array.from({ length: 6 }, (_, at) => [
    frontend.extendedQuery(at === bad ? 'select 1 / ($1::int * 0)' : 'select $1::int', [`${at}`]),
  ])
  const replies = await session.sendAll(statements)
  const got = replies.map(({ rows, code }) => code ?? rows[0]?.[0])
  const wanted = statements.map((_, at) => (at === bad ? '22012' : String(at)))
  session.tally.expect('pipelined', got, wanted)
}

async function transaction(session: Session, random: Random): Promise<void> {
  const author = `${session.user} ${random.below(NUMBERS)}`
  const insert = 'insert into notes values ($1, $2)'
  session.tally.expect('begin', (await session.simple('begin')).status, 'T')
  const added = await session.extended(insert, [author, SECRET])
  session.tally.expect('insert', added.tags, ['INSERT 0 1'])
  const count = `select count(*) as n from notes where author = '${author}'`
  session.tally.expect('count', (await session.simple(count)).rows, [['1']])
  const isKept = random.chance(0.5)
  const { status } = await session.simple(isKept ? 'commit' : 'rollback')
  session.tally.expect('end of a transaction', status, 'I')
  const { tags } = await session.simple(`delete from notes where author = '${author}'`)
  session.tally.expect('delete', tags, [`DELETE ${isKept ? 1 : 0}`])
}

const ERRORS = [
  ['select 1/0 as n', '22012'],
  ['select nothing from nowhere', '42P01'],
  ['selec 1', '42601'],
  ["select 'x'::int as n", '22P02'],
] as const

async function errors(session: Session, random: Random): Promise<void> {
  const [sql, code] = random.pick(ERRORS)
  session.tally.expect(sql, (await session.either(random, sql)).code, code)
}

/** An error in a transaction, which nothing but its end leaves. */
async function failedTransaction(session: Session, random: Random): Promise<void> {
  await session.simple('begin')
  await session.either(random, 'select 1/0 as n')
  const { code, status } = await session.either(random, 'select 1 as n')
  session.tally.expect('in a failed transaction', [code, status], ['25P02', 'E'])
  session.tally.expect('rollback', (await session.simple('rollback')).status, 'I')
}

async function copyIn(session: Session, random: Random): Promise<void> {
  const author = `copier ${random.below(NUMBERS)}`
  const lines = Array.from({ length: 100 }, (_, n) => frontend.copyData(`${author}\t${n}\n`))
  const { tags } = await session.send(
    frontend.query('copy notes from stdin'),
    ...lines,
    frontend.copyDone(),
  )
  session.tally.expect('copy in', tags, ['COPY 100'])
  const removed = await session.simple(`delete from notes where author = '${author}'`)
  session.tally.expect('delete of copied', removed.tags, ['DELETE 100'])
}

async function bigStatement(session: Session, random: Random): Promise<void> {
  const length = 1 + random.below(BIG_CHARACTERS_MAX)
  const { rows } = await session.either(random, `select length('${'x'.repeat(length)}') as n`)
  session.tally.expect('big statement', rows, [[String(length)]])
}

async function bigResult(session: Session, random: Random): Promise<void> {
  const sql = `select repeat('y', 400) as t from generate_series(1, ${100 + random.below(100)})`
  const { rows, tags } = await session.either(random, sql)
  session.tally.expect('big result', tags, [`SELECT ${rows.length}`])
  session.tally.require(
    rows.every(([text]) => text === 'y'.repeat(400)),
    'big result: a row is not as it was',
  )
}

async function temporary(session: Session, random: Random): Promise<void> {
  const name = `t_${random.below(NUMBERS)}`
  await session.simple(`create temp table ${name} as select 5 as n`)
  session.tally.expect('temp', (await session.either(random, `table ${name}`)).rows, [['5']])
  await session.simple(`drop table ${name}`)
  session.tally.expect('discard', (await session.simple('discard all')).tags, ['DISCARD ALL'])
}

async function leaving(session: Session): Promise<void> {
  session.abandon('select pg_sleep(0.01)')
}

/** COPY … TO STDOUT; `mask` refuses it, so that it is not among the others. */
export const COPY_OUT: Act = {
  name: 'copy out',
  weight: 2,
  async run(session, random) {
    const count = 1 + random.below(PEOPLE_COPIED_MAX)
    const { copied } = await session.simple(
      `copy (select id, email from people where id <= ${count}) to stdout`,
    )
    session.tally.expect('copy out', copied, count)
  },
}
const PEOPLE_COPIED_MAX = 300

export const COMMON_ACTS: readonly Act[] = [
  { name: 'literals', weight: 30, run: literals },
  { name: 'parameters', weight: 20, run: parameters },
  { name: 'prepared', weight: 15, run: prepared },
  { name: 'pipelined', weight: 5, run: pipelined },
  { name: 'transaction', weight: 6, run: transaction },
  { name: 'errors', weight: 6, run: errors },
  { name: 'failed transaction', weight: 3, run: failedTransaction },
  { name: 'copy in', weight: 1, run: copyIn },
  { name: 'big statement', weight: 1, run: bigStatement },
  { name: 'big result', weight: 2, run: bigResult },
  { name: 'temporary table', weight: 1, run: temporary },
  { name: 'leaving', weight: 1, run: leaving },
]
