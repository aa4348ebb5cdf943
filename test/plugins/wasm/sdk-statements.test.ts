/** What the SDK tells of statements: their kinds, their tables, what they do to them. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { z } from 'zod'
import { type Asked, startAsked } from '../../fixtures/wasm/sdk.ts'
import { STATEMENT_CASES } from './statement-cases.ts'

const STATEMENTS = z.array(
  z.strictObject({
    kind: z.string(),
    sql: z.string(),
    tables: z.array(z.string()),
    access: z.array(z.string()),
    within: z.array(z.string()),
    inner: z.string(),
    isRun: z.boolean(),
    unbounded: z.number(),
    isCopyIn: z.boolean(),
    copyPlace: z.number(),
    purpose: z.number(),
    isReadOnly: z.boolean(),
    isWhole: z.boolean(),
    isCut: z.boolean(),
    isAmbiguous: z.boolean(),
    hasComment: z.boolean(),
    hasMoreTables: z.boolean(),
  }),
)

let asked: Asked
beforeAll(async () => {
  asked = await startAsked('sdk-sql')
})

const statementsOf = (sql: string, isStandard = true) =>
  STATEMENTS.parse(asked.askSql('s', sql, isStandard))

/** The statements as `KIND table, table [WITHIN]`. */
function lines(sql: string): readonly string[] {
  return statementsOf(sql).map(({ kind, tables, within }) => {
    const inner = within.length === 0 ? '' : ` [${within.join(' ')}]`
    return `${kind}${tables.length === 0 ? '' : ` ${tables.join(', ')}`}${inner}`
  })
}

describe('a statement', () => {
  for (const [sql, ...expected] of STATEMENT_CASES) {
    const shown = sql.length > 90 ? `${sql.slice(0, 90)}…` : sql
    test(`${JSON.stringify(shown)} is ${expected.join('; ')}`, () => {
      expect(lines(sql)).toEqual(expected)
    })
  }
})

/** Where COPY reads from or writes to, and what statements are for, as the SDK numbers them. */
const [CLIENT, FILE, PROGRAM] = [1, 2, 3]
const PURPOSES = [
  'reading',
  'writing',
  'defining',
  'transacting',
  'arranging',
  'running',
  'maintaining',
  'other',
]

describe('what a statement is for', () => {
  const purposes: readonly (readonly [string, string, boolean])[] = [
    ['select 1', 'reading', true],
    ['table t', 'reading', true],
    ['show all', 'reading', true],
    ['with a as (select 1) select * from a', 'reading', true],
    ['with a as (delete from t returning 1) select * from a', 'reading', false],
    ['select * into x from t', 'writing', false],
    ['select 1 into "x"', 'writing', false],
    ['explain delete from t', 'reading', true],
    ['explain analyze delete from t', 'reading', false],
    ['explain (verbose, analyze) insert into t select 1', 'reading', false],
    ['explain (verbose, analyze) select 1', 'reading', true],
    ['explain analyze execute p', 'reading', false],
    ['explain analyse delete from t', 'reading', false],
    ['explain (analyse) delete from t', 'reading', false],
    ['explain ("analyze") delete from t', 'reading', false],
    ['explain analyze create table x as select 1', 'reading', false],
    ['copy t to stdout', 'reading', true],
    ['copy t from stdin', 'writing', false],
    ["copy t to '/tmp/x'", 'reading', false],
    ["copy t to program 'x'", 'reading', false],
    ['copy (delete from t returning 1) to stdout', 'writing', false],
    ['truncate t', 'writing', false],
    ['merge into t using s on true when matched then delete', 'writing', false],
    ['create table t (a int)', 'defining', false],
    ['begin', 'transacting', false],
    ['prepare transaction $$x$$', 'transacting', false],
    ['prepare p as select 1', 'arranging', true],
    ['prepare p as delete from t', 'arranging', false],
    ['set x = 1', 'arranging', false],
    ['do $$ $$', 'running', false],
    ['call p()', 'running', false],
    ['execute p', 'running', false],
    ['lock table t', 'maintaining', false],
    ['notify x', 'other', false],
    ['frobnicate', 'other', false],
  ]
  for (const [sql, purpose, isReadOnly] of purposes) {
    test(`${sql} is ${purpose}${isReadOnly ? ', read only' : ''}`, () => {
      const [one] = statementsOf(sql)
      expect([PURPOSES[one?.purpose ?? -1], one?.isReadOnly]).toEqual([purpose, isReadOnly])
    })
  }

  test('COPY tells its direction and its place', () => {
    const copies: readonly (readonly [string, boolean, number])[] = [
      ['copy t from stdin', true, CLIENT],
      ['copy t (a) to stdout with (format csv)', false, CLIENT],
      ["copy t from '/etc/passwd'", true, FILE],
      ["copy t from program 'id'", true, PROGRAM],
      ["copy (select 1 from t) to program 'id'", false, PROGRAM],
      ['copy "to" ("from") from E\'/x\'', true, FILE],
    ]
    for (const [sql, isCopyIn, copyPlace] of copies) {
      expect(statementsOf(sql)).toMatchObject([{ isCopyIn, copyPlace }])
    }
  })
})

describe('a table', () => {
  const accesses: readonly (readonly [string, string])[] = [
    ['select * from t join u on true', 't r, u r'],
    ['insert into t select * from u', 't w, u r'],
    ['insert into t select * from t', 't rw'],
    ['update t set a = 1 from u', 't w, u r'],
    ['delete from t using u', 't w, u r'],
    ['merge into t using u on true when matched then delete', 't w, u r'],
    ['select * into x from t', 'x w, t r'],
    ['copy t from stdin', 't w'],
    ['copy t to stdout', 't r'],
    ['truncate t', 't w'],
    ['drop table t', 't w'],
    ['table t', 't r'],
    ['insert into t table only u', 't w, u r'],
    ['update only (t) set a = 1', 't w'],
    ['delete from only (s . "T") where a', 's."T" w'],
    ['truncate only (t), u', 't w, u w'],
    ['table only (t)', 't r'],
    ['copy binary t to stdout', 't r'],
    ['select a.is distinct from t', 't r'],
    ['select a as from from t', 't r'],
    ['select * from u, only (t)', 'u r, t r'],
    ['with a as (update u set x = 1 returning 1) select * from t, a', 'u w, t r'],
  ]
  for (const [sql, expected] of accesses) {
    test(`of ${sql} is ${expected}`, () => {
      const [one] = statementsOf(sql)
      expect(one?.tables.map((name, at) => `${name} ${one.access[at]}`).join(', ')).toBe(expected)
    })
  }

  test('has one name, however it is written', () => {
    for (const written of [
      'Secret',
      '"secret"',
      String.raw`U&"secr\0065t"`,
      `u&"secr!0065t" uescape '!'`,
      'only secret',
      '(secret)',
      '(only (secret))',
      'secret*',
      '/* */secret/* */',
    ]) {
      expect(statementsOf(`select * from ${written}`)[0]?.tables).toEqual(['secret'])
    }
    const written = String.raw`select * from PUBLIC . U&"secr\0065t"`
    expect(statementsOf(written)[0]?.tables).toEqual(['public.secret'])
    const long = 'x'.repeat(63)
    expect(statementsOf(`select * from ${long}yz`)[0]?.tables).toEqual([long])
  })
})

describe('an UPDATE or DELETE without WHERE', () => {
  const counts: readonly (readonly [string, number])[] = [
    ['update t set a = 1', 1],
    ['update t set a = 1 where b', 0],
    ['delete from t', 1],
    ['delete from t where current of c', 0],
    ['delete from t using (select 1 where true) x', 1],
    ['delete from t returning a as where', 1],
    ['delete from t returning t.where, (t).where', 1],
    ['delete from t as x where y', 0],
    ['update t set a = (select b from u where c)', 1],
    ['update t set a = count(*) filter (where b)', 1],
    ['update t set a = $$ where $$ /* where */ -- where', 1],
    ['update t set "where" = 1', 1],
    ['with a as (delete from t) update u set b = 1', 2],
    ['with a as (delete from t where b) update u set b = 1 where c', 0],
    ['explain delete from t', 1],
    ['prepare p as delete from t', 1],
    ['insert into t values (1) on conflict (a) do update set b = 1', 0],
    ['select 1 from t for update', 0],
    ['merge into t using s on true when matched then update set a = 1', 0],
  ]
  for (const [sql, unbounded] of counts) {
    test(`${sql}: ${unbounded}`, () => {
      expect(statementsOf(sql).map((one) => one.unbounded)).toEqual([unbounded])
    })
  }
})

test('a column called begin does not hide the statements behind it', () => {
  const kinds = (sql: string) => statementsOf(sql).map(({ kind }) => kind)
  expect(kinds('create table t (begin atomic); delete from u')).toEqual(['CREATE', 'DELETE'])
  expect(kinds('create function f(begin atomic) returns int as $$ $$; delete from u')).toEqual([
    'CREATE',
    'DELETE',
  ])
  expect(
    kinds('create or replace procedure p() begin atomic delete from t; end; delete from u'),
  ).toEqual(['CREATE', 'DELETE'])
})

test('a statement has its text without what stands around it', () => {
  const sql = statementsOf(' /* a */ select 1 -- b\n ;; select 2 /* c */ ; ').map((one) => one.sql)
  expect(sql).toEqual(['select 1', 'select 2'])
})

test('what has no end, what is ambiguous and what has comments is told', () => {
  expect(statementsOf("select 'a")).toMatchObject([{ isWhole: false }])
  expect(statementsOf('select "a')).toMatchObject([{ isWhole: false }])
  expect(statementsOf('select 1 /* a')).toMatchObject([{ isWhole: false, hasComment: true }])
  expect(statementsOf("select 1; select 'a")).toMatchObject([{ isWhole: true }, { isWhole: false }])
  expect(statementsOf(String.raw`select 'a\b'`)).toMatchObject([{ isAmbiguous: true }])
  expect(statementsOf(String.raw`select E'a\b'`)).toMatchObject([{ isAmbiguous: false }])
})

test('with standard_conforming_strings off a backslash hides a quote', () => {
  const sql = String.raw`select 'a\'; delete from t; --'`
  expect(statementsOf(sql, true).map(({ kind }) => kind)).toEqual(['SELECT', 'DELETE'])
  expect(statementsOf(sql, false).map(({ kind }) => kind)).toEqual(['SELECT'])
})
