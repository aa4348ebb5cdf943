/** Mask: what one user reads is masked, however it is asked for; what the other reads is not. */
import * as frontend from '../kit/frontend.ts'
import type { Random } from '../kit/pipelines.ts'
import { COMMON_ACTS, COPY_OUT } from './acts.ts'
import { PEOPLE } from './database.ts'
import type { Session } from './session.ts'
import { type Act, type Subject, UNREAD_LOG } from './subject.ts'

const CONFIG = {
  rules: [{ name: 'people', columns: ['email', 'card', 'pay'], values: ['email', 'card'] }],
  others: 'zero',
  exceptUsers: ['dba'],
}

const COLUMNS = 'id, email, card, pay, note'
const maskedEmail = (id: number): string => `a${'*'.repeat(2 + `${id}`.length)}@example.com`
const masked = (id: number): string[] => [
  `${id}`,
  maskedEmail(id),
  '************1111',
  '0',
  `write to ${maskedEmail(id)}`,
]
const plain = (id: number): string[] => {
  // As numeric shows it, which keeps the digit behind the point.
  const pay = (id * 1.5).toFixed(1)
  const email = `ann${id}@example.com`
  return [`${id}`, email, '4111111111111111', pay, `write to ${email}`]
}
type Shown = (id: number) => string[]

const anybody = (random: Random): number => 1 + random.below(PEOPLE)

/** One row, by a text that differs. */
const one = (shown: Shown): Act => ({
  name: 'one',
  weight: 20,
  async run(session, random) {
    const id = anybody(random)
    const sql = `select ${COLUMNS} /* ${random.below(100_000)} */ from people where id = ${id}`
    session.tally.expect('one row', (await session.either(random, sql)).rows, [shown(id)])
  },
})

/** A statement that is described once, under a name, and bound without a word about columns. */
const named = (shown: Shown): Act => ({
  name: 'named',
  weight: 10,
  async run(session, random) {
    const name = session.nextName()
    const sql = `select ${COLUMNS} from people where id = $1`
    await session.send(
      frontend.parse({ sql, name }),
      frontend.describe('statement', name),
      frontend.sync(),
    )
    for (let left = 3; left > 0; left--) {
      const id = anybody(random)
      const { rows } = await session.send(
        frontend.bind({ statement: name, values: [`${id}`] }),
        frontend.execute(),
        frontend.sync(),
      )
      session.tally.expect('named', rows, [shown(id)])
    }
    if (random.chance(0.7)) {
      await session.send(frontend.close('statement', name), frontend.sync())
    }
  },
})

const binary = (shown: Shown): Act => ({
  name: 'binary',
  weight: 10,
  async run(session, random) {
    const id = anybody(random)
    const { cells } = await session.send(
      frontend.parse({ sql: 'select id, email, card from people where id = $1' }),
      frontend.bind({ values: [`${id}`], resultFormats: [1] }),
      frontend.describe(),
      frontend.execute(),
      frontend.sync(),
    )
    const [number, ...texts] = cells[0] ?? []
    const got = texts.map((bytes) => bytes && Buffer.from(bytes).toString())
    session.tally.expect('binary texts', got, shown(id).slice(1, 3))
    session.tally.expect('binary number', number && Buffer.from(number).readInt32BE(), id)
  },
})

const many = (shown: Shown): Act => ({
  name: 'many',
  weight: 3,
  async run(session, random) {
    const first = 1 + random.below(PEOPLE - 100)
    const ids = Array.from({ length: 100 }, (_, at) => first + at)
    const range = `id between ${first} and ${first + 99}`
    const sql = `select ${COLUMNS} from people where ${range} order by id`
    session.tally.expect('many', (await session.either(random, sql)).rows, ids.map(shown))
  },
})

/** Rows whose columns nobody has described are refused. */
async function neverDescribed(session: Session, random: Random): Promise<void> {
  const { code, rows } = await session.send(
    frontend.parse({ sql: 'select email from people where id = $1' }),
    frontend.bind({ values: [`${anybody(random)}`] }),
    frontend.execute(),
    frontend.sync(),
  )
  session.tally.expect('never described', [code, rows], ['42501', []])
}

async function copiedOut(session: Session): Promise<void> {
  const { code, copied } = await session.simple('copy people to stdout')
  session.tally.expect('copy out', [code, copied], ['42501', 0])
}

const actsShowing = (shown: Shown): Act[] => [one, named, binary, many].map((make) => make(shown))

export const MASK: Subject = {
  entry: { onFailure: 'closed', config: CONFIG },
  logger: UNREAD_LOG,
  signs: ['values_masked_total', 'rows_unknown_total', 'copies_denied_total'],
  async begin({ database }) {
    const refusals: Act[] = [
      { name: 'never described', weight: 2, run: neverDescribed },
      { name: 'copied out', weight: 2, run: copiedOut },
    ]
    return {
      roles: [
        {
          user: 'app',
          database,
          weight: 3,
          acts: [...COMMON_ACTS, ...actsShowing(masked), ...refusals],
        },
        {
          user: 'dba',
          database,
          weight: 1,
          acts: [...COMMON_ACTS, COPY_OUT, ...actsShowing(plain)],
        },
      ],
      beside: {},
    }
  },
}
