/** The audit plugin: what it says about SQL, what it never says, and that it stays small. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { z } from 'zod'
import { DEFAULT_LIMITS } from '../../../src/plugins/limits.ts'
import type { Plugin } from '../../../src/plugins/plugin.ts'
import { createWasmPlugin } from '../../../src/plugins/wasm/plugin.ts'
import {
  carried,
  makeScene,
  makeSession,
  makeSpec,
  message,
  modulePath,
  query,
  type Scene,
} from '../../fixtures/wasm/kit.ts'

const FIELDS = z.strictObject({
  kind: z.string(),
  tables: z.array(z.string()),
  within: z.array(z.string()).optional(),
  more: z.boolean().optional(),
  user: z.string().optional(),
})

let scene: Scene
let plugin: Plugin
beforeAll(async () => {
  scene = makeScene()
  // How long it takes is told by the test of it, not by a deadline on a machine that is busy.
  const limits = { ...DEFAULT_LIMITS, callDeadlineMs: 5000 }
  plugin = createWasmPlugin(makeSpec(modulePath('audit'), { limits }), scene.surroundings)
  await plugin.start()
})

function send(bytes: Uint8Array, user = 'alice'): void {
  const session = makeSession({ user })
  const verdict = plugin.steps.onTrafficFromClient?.decide(session, bytes, carried())
  expect(verdict).toEqual({ kind: 'continue' })
}

/** The lines about a query, as `KIND table, table [WITHIN]`. */
function lines(sql: string): readonly string[] {
  const from = scene.lines.length
  send(query(sql))
  return scene.lines.slice(from).map((line) => {
    expect(line.msg).toBe('statement')
    const { kind, tables, within } = FIELDS.parse(line['fields'])
    const inner = within === undefined ? '' : ` [${within.join(' ')}]`
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
  ['select * from u&"d\\0061t"', 'SELECT u&"d\\0061t"'],
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

  test('of blanks and comments alone is none', () => {
    for (const sql of ['', ' ', ';', ';;', '-- x', '/* x */;']) expect(lines(sql)).toEqual([])
  })

  test('of a Parse message is read behind its name', () => {
    const from = scene.lines.length
    send(message('P', 'from_name\0select * from t\0\0\0'))
    expect(FIELDS.parse(scene.lines[from]?.['fields'])).toMatchObject({
      kind: 'SELECT',
      tables: ['t'],
    })
  })

  test('in a message that is cut or of another type is no reason to fail', () => {
    for (const bytes of [
      new Uint8Array(0),
      message('P', 'x'),
      message('Q', ''),
      message('X', ''),
    ]) {
      send(bytes)
    }
    send(message('Q', 'select 1 from t'))
  })

  test('is counted by its kind', () => {
    const from = scene.recorded.length
    lines('select 1; insert into t values (1); what')
    expect(scene.recorded.slice(from)).toEqual([
      { id: 0, value: 1, labels: ['SELECT'] },
      { id: 0, value: 1, labels: ['INSERT'] },
      { id: 0, value: 1, labels: ['OTHER'] },
    ])
  })

  test('names its user, whatever the name is', () => {
    for (const user of ['bob', 'a"b\\', 'ä\n"user":"x', '']) {
      const from = scene.lines.length
      send(query('select 1'), user)
      expect(FIELDS.parse(scene.lines[from]?.['fields']).user).toBe(user === '' ? undefined : user)
    }
  })
})

describe('limits', () => {
  test('more tables than are listed are told of', () => {
    const from = scene.lines.length
    send(query(`select * from ${Array.from({ length: 100 }, (_, index) => `t${index}`).join()}`))
    const { tables, more } = FIELDS.parse(scene.lines[from]?.['fields'])
    expect(tables).toHaveLength(64)
    expect(more).toBe(true)
  })

  test('more statements than are listed are counted', () => {
    const from = scene.lines.length
    const counted = scene.recorded.length
    send(query('select 1;'.repeat(1500)))
    expect(scene.lines.slice(from)).toHaveLength(1001)
    expect(scene.lines.at(-1)).toMatchObject({
      msg: 'statements counted, not listed',
      fields: { count: 500, user: 'alice' },
    })
    expect(scene.recorded.length - counted).toBe(1500)
  })

  test('a hostile text takes time by its length only', () => {
    const size = 200_000
    const texts = ['with a (', 'with x as (', '(', 'from (', 'with ', '$a', "E'", '/*', 'explain (']
    for (const text of texts) {
      const bytes = query(text.repeat(size / text.length))
      const startedAt = performance.now()
      send(bytes)
      // A few milliseconds; quadratic time would be minutes.
      expect(performance.now() - startedAt).toBeLessThan(2000)
    }
  })
})

test('a name is told in part where it is longer than a name can be', () => {
  expect(lines(`select * from "${'X'.repeat(1000)}"`)[0]?.length).toBeLessThan(300)
})

test('no line holds a literal', () => {
  const from = scene.lines.length
  const secret = 'hunter2'
  lines(`select '${secret}', E'${secret}', $$${secret}$$, $x$${secret}$x$, 7734, -77.34, b'7734',
    U&'${secret}' from t where a = '${secret}' -- ${secret}
    and b in ('${secret}') /* ${secret} */; insert into u values ('${secret}'); '${secret}`)
  lines(`select * from "t where a = '${secret}'`)
  expect(scene.lines.length).toBeGreaterThan(from)
  const text = JSON.stringify(scene.lines.slice(from).map((line) => line['fields']))
  expect(text).not.toContain(secret)
  expect(text).not.toContain('77')
})

describe('the level', () => {
  test('is that of the configuration', async () => {
    for (const [level, number] of [
      ['trace', 10],
      ['debug', 20],
      ['warn', 40],
      ['error', 50],
    ] as const) {
      const own = makeScene()
      const spec = makeSpec(modulePath('audit'), { config: { level } })
      const loud = createWasmPlugin(spec, own.surroundings)
      await loud.start()
      loud.steps.onTrafficFromClient?.decide(makeSession(), query('select 1'), carried())
      expect(own.lines.at(-1)).toMatchObject({ level: number, msg: 'statement' })
    }
  })

  test('off counts and writes nothing', async () => {
    const own = makeScene()
    const spec = makeSpec(modulePath('audit'), { config: { level: 'off' } })
    const quiet = createWasmPlugin(spec, own.surroundings)
    await quiet.start()
    const before = own.lines.length
    quiet.steps.onTrafficFromClient?.decide(makeSession(), query('select 1'), carried())
    expect(own.lines).toHaveLength(before)
    expect(own.recorded).toHaveLength(1)
  })
})
