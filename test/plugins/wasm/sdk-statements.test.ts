/** What the SDK tells of statements: their kinds, their tables, what they do to them. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { z } from 'zod'
import { type Asked, startAsked } from '../../fixtures/wasm/sdk.ts'

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

const cases: readonly (readonly [string, string, ...string[]])[] = [
  // Kinds.
  ['select 1', 'SELECT'],
  ['  /* x */ SeLeCt 1;', 'SELECT'],
  ['((select 1)) union select 2', 'SELECT'],
  ['values (1), (2)', 'VALUES'],
  ['begin; commit;; rollback', 'BEGIN', 'COMMIT', 'ROLLBACK'],
  ['set x = 1', 'SET'],
  ['show all', 'SHOW'],
  ['do $$ begin delete from t; end $$', 'DO'],
  ['call p(1)', 'CALL'],
  ['vacuum (full, analyze) t, u', 'VACUUM t, u'],
  ['analyze verbose t (a, b)', 'ANALYZE t'],
  ['frobnicate t', 'OTHER'],
  ['1 + 1', 'OTHER'],
  ['with', 'OTHER'],
  // Tables.
  ['select * from t', 'SELECT t'],
  ['select * from only t *', 'SELECT t'],
  ['select * from a, b as x, c y (z), d', 'SELECT a, b, c, d'],
  ['select * from a join b on a.x = b.x left join c using (id, x), d', 'SELECT a, b, c, d'],
  ['select * from (a cross join b) x, (select * from c) y, (values (1)) z', 'SELECT a, b, c'],
  ['select * from S.T', 'SELECT s.t'],
  ['select * from "S"."My T", "plain", db . s . t', 'SELECT "S"."My T", plain, db.s.t'],
  ['select * from "a""b"', 'SELECT "a""b"'],
  ['select * from u&"d\\0061t"', 'SELECT dat'],
  ['select * from a where x in (select y from b where z = (select 1 from c))', 'SELECT a, b, c'],
  ['select (select max(x) from b) from a', 'SELECT b, a'],
  ['select * from a union all table b', 'SELECT a, b'],
  ['table t', 'TABLE t'],
  ['select * from t, t, T', 'SELECT t'],
  ['select a from t where b is distinct from c and d is not distinct from e', 'SELECT t'],
  ['select extract(year from d), trim(both from e), substring(f from 2) from t', 'SELECT t'],
  ['select * from generate_series(1, 2) g, lateral f(a), lateral (select 1 from b) x', 'SELECT b'],
  ['select * from rows from (f(1), g(2)) as r, t', 'SELECT t'],
  ['select * from t with ordinality', 'SELECT t'],
  ['select * from t order by a, b limit 1', 'SELECT t'],
  ['select * from t for update of t', 'SELECT t'],
  ['select * into temp x from t', 'SELECT x, t'],
  ['select * into x from t', 'SELECT x, t'],
  ['select now() at time zone x, timestamp with time zone y from t', 'SELECT t'],
  ['insert into t (a, b) values (1, 2) returning a, b', 'INSERT t'],
  ['insert into t select * from u', 'INSERT t, u'],
  ['insert into t (select * from u)', 'INSERT t, u'],
  ['insert into t values (1) on conflict (a) do update set b = 2', 'INSERT t'],
  ['update t set a = b.x, c = 2 from b, c where t.id = b.id', 'UPDATE t, b, c'],
  ['update only "T" as x set a = 1', 'UPDATE "T"'],
  ['delete from t using a join b using (id), c where true', 'DELETE t, a, b, c'],
  ['merge into m using (select * from s) n on true when matched then delete', 'MERGE m, s'],
  ['copy t (a, b) from stdin', 'COPY t'],
  ['copy (select * from t) to stdout', 'COPY t'],
  ['lock table a, only b in share mode', 'LOCK a, b'],
  ['truncate a, b restart identity', 'TRUNCATE a, b'],
  ['create temp table if not exists t (a int references r (b), c int)', 'CREATE t, r'],
  ['create table "if" (a int)', 'CREATE if'],
  ['create table if (a int)', 'CREATE if'],
  ['create table t as select * from u', 'CREATE t, u'],
  ['create or replace view v as with c as (select * from t) select * from c', 'CREATE v, t'],
  ['create unique index concurrently i on only t (a, b)', 'CREATE t'],
  ['create trigger g after insert or update on t for each row execute function f()', 'CREATE t'],
  ['create rule r as on update to t do instead delete from u', 'CREATE t, u [DELETE]'],
  ['alter table if exists only t add column a int, add column b int', 'ALTER t'],
  ['drop table if exists a, s.b cascade', 'DROP a, s.b'],
  ['refresh materialized view concurrently v', 'REFRESH v'],
  ['grant select, update on table a, b to c, d', 'GRANT a, b'],
  ['grant usage on schema s to c', 'GRANT'],
  ['revoke all on t from c, d', 'REVOKE t'],
  ["comment on table t is 'from u'", 'COMMENT t'],
  // WITH.
  ['with a as (select * from t) select * from a', 'SELECT t'],
  [
    'with a as (select 1), b (x, y) as not materialized (select * from a) delete from t',
    'DELETE t',
  ],
  ['with recursive a as (select 1 from t union select 1 from a) select * from a', 'SELECT t'],
  ['with t as (select * from t) select * from t', 'SELECT t'],
  ['with d as (delete from t returning *) select * from d', 'SELECT t [DELETE]'],
  [
    'with a as (insert into t values (1)), b as (update u set x = 1) table v',
    'TABLE t, u, v [INSERT UPDATE]',
  ],
  ['select * from (with a as (select * from t) select * from a) x, a', 'SELECT t, a'],
  ['insert into t with a as (select * from u) select * from a', 'INSERT t, u'],
  ['with a as (select 1) search depth first by x, y set z insert into t select 1', 'INSERT t'],
  ['with "A" as (select 1) select * from "A", a', 'SELECT a'],
  // What stands behind another verb.
  ['explain analyze verbose update t set a = 1', 'EXPLAIN t [UPDATE]'],
  ['explain (analyze, format json) delete from t', 'EXPLAIN t [DELETE]'],
  ['explain (select * from t)', 'EXPLAIN t'],
  ['prepare p (int) as insert into t values ($1)', 'PREPARE t [INSERT]'],
  ['declare c cursor for select * from t', 'DECLARE t'],
  [
    `create function f() returns int begin atomic delete from t; select case when true
      then 1 else 2 end from u; end; select * from v`,
    'CREATE t, u [DELETE]',
    'SELECT v',
  ],
  // What hides SQL.
  ["select ' from a', E'\\' from b', $$ from c $$, $x$ from $$ d $x$ from t", 'SELECT t'],
  ["select E'a'\n'\\' from b' from t", 'SELECT t'],
  ["select 'a\\' from t; select 1 from u where x = 'y'", 'SELECT t', 'SELECT u'],
  ["select U&'\\' from t", 'SELECT t'],
  ['select 1 -- from a\nfrom t', 'SELECT t'],
  ['select /* from a /* ; */ from b */ 1 from t', 'SELECT t'],
  ['select ";" from t; select 2', 'SELECT t', 'SELECT'],
  ['select $1 from t where a$$ = $2', 'SELECT t'],
  ['select 1from t', 'SELECT t'],
  ['select 1e5from t', 'SELECT t'],
  // What is broken.
  ["select * from t where a = 'unfinished; drop table u", 'SELECT t'],
  ['select * from t /* unfinished', 'SELECT t'],
  ['select * from "unfinished', 'SELECT'],
  ['select * from t where $x$ unfinished $y$', 'SELECT t'],
  ["select * from t where a = e'\\", 'SELECT t'],
  [')))) select * from t', 'SELECT t'],
  [`${'('.repeat(2000)}select 1 from t`, 'SELECT t'],
  ['select f(update, delete) from t', 'SELECT t'],
]

describe('a statement', () => {
  for (const [sql, ...expected] of cases) {
    const shown = sql.length > 90 ? `${sql.slice(0, 90)}…` : sql
    test(`${JSON.stringify(shown)} is ${expected.join('; ')}`, () => {
      expect(lines(sql)).toEqual(expected)
    })
  }
})
