/** Firewall: what its rules and checks are about is refused, and nothing else. */
import type { Random } from '../kit/pipelines.ts'
import { COMMON_ACTS, COPY_OUT } from './acts.ts'
import type { Session } from './session.ts'
import { type Act, type Subject, UNREAD_LOG } from './subject.ts'

const CONFIG = {
  rules: [
    { name: 'no-drops', action: 'deny', kinds: ['TRUNCATE'] },
    { name: 'secrets', action: 'deny', tables: ['secrets'], users: ['app'] },
  ],
  checks: { unbounded: 'deny', injection: 'deny', multipleStatements: 'deny' },
}

const nested = (depth: number): string => `${'/*'.repeat(depth)}${'*/'.repeat(depth)}`

/** Each with the code that it is refused with; `n` makes texts that differ. */
const REFUSED: readonly ((n: number) => readonly [sql: string, code: string])[] = [
  (n) => [`truncate notes -- ${n}`, '42501'],
  (n) => [`select word from secrets where word = '${n}'`, '42501'],
  (n) => [`select ${n} from notes, "secrets" ${nested(1 + (n % 50))}`, '42501'],
  () => ['delete from cells', '42501'],
  (n) => [`update cells set value = ${n}`, '42501'],
  (n) => [`select * from notes where author = '${n}' or 1=1`, '42501'],
  (n) => [`select 'text ${n} without its end`, '42601'],
  () => [`copy notes to program 'cat'`, '42501'],
]

async function refused(session: Session, random: Random): Promise<void> {
  const [sql, code] = random.pick(REFUSED)(random.below(100_000))
  session.tally.expect(sql, (await session.either(random, sql)).code, code)
}

async function several(session: Session, random: Random): Promise<void> {
  const sql = `select ${random.below(100_000)} as a; select 2 as b`
  session.tally.expect(sql, (await session.simple(sql)).code, '42601')
}

/** Refused as any statement that fails is: the transaction has failed. */
async function refusedWithin(session: Session, random: Random): Promise<void> {
  const [sql, code] = random.pick(REFUSED)(random.below(100_000))
  await session.simple('begin')
  const replied = await session.either(random, sql)
  session.tally.expect(`in a transaction: ${sql}`, [replied.code, replied.status], [code, 'E'])
  session.tally.expect('rollback', (await session.simple('rollback')).status, 'I')
}

const FIREWALL_ACTS: readonly Act[] = [
  { name: 'refused', weight: 15, run: refused },
  { name: 'several statements', weight: 3, run: several },
  { name: 'refused in a transaction', weight: 4, run: refusedWithin },
]

/** The rule about the table is not about this user. */
const SEES: Act = {
  name: 'sees',
  weight: 5,
  async run(session, random) {
    const { rows } = await session.either(random, 'select word from secrets')
    session.tally.expect('secrets', rows, [['hidden']])
  },
}

export const FIREWALL: Subject = {
  entry: { onFailure: 'closed', config: CONFIG },
  logger: UNREAD_LOG,
  signs: ['denied_total', 'statements_total'],
  async begin({ database }) {
    const common = [...COMMON_ACTS, COPY_OUT]
    return {
      roles: [
        { user: 'app', database, weight: 3, acts: [...common, ...FIREWALL_ACTS] },
        { user: 'dba', database, weight: 1, acts: [...common, SEES] },
      ],
      beside: {},
    }
  },
}
