/** The firewall plugin: its rules, its checks, what it says, and what it learns. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { makeSession, message, query } from '../../fixtures/wasm/kit.ts'
import { DENIED, type Firewall, startFirewall } from './firewall-scene.ts'

const FUNCTION_CALL = (oid: number) => {
  const body = new Uint8Array(10)
  new DataView(body.buffer).setUint32(0, oid)
  return message('F', body)
}

describe('without configuration', () => {
  let firewall: Firewall
  beforeAll(async () => {
    firewall = await startFirewall()
  })

  /** What a statement comes to: refused, `logged RULE`, or `pass`. */
  function outcome(sql: string): string {
    const before = firewall.observed().length
    const verdict = firewall.query(sql)
    const logged = firewall.observed().slice(before)
    expect(firewall.parse(sql)).toBe(verdict)
    return verdict === 'pass' && logged.length > 0 ? `logged ${logged.join(' ')}` : verdict
  }

  const cases: readonly (readonly [string, string])[] = [
    ['select 1', 'pass'],
    ['', 'pass'],
    ['-- nothing', 'pass'],
    ['select * from t where a = 1 and 1 = 1', 'pass'],
    ['insert into t (a, b) values (1, $1)', 'pass'],
    ['update t set a = 1 where b = 2', 'pass'],
    ['drop table t', 'pass'],
    ['begin; update t set a = 1 where b = 2; commit', 'pass'],
    ['copy t from stdin', 'pass'],
    ['copy (select * from t) to stdout', 'pass'],
    ['select lo_get(1), lo_create(0)', 'pass'],
    // Rows without bounds.
    ['delete from t', 'logged unbounded'],
    ['update t set a = 1', 'logged unbounded'],
    ['delete from t where true', 'logged unbounded'],
    ['delete from t where 1 = 1', 'logged unbounded'],
    ["update t set a = 1 where ('x' = 'x')", 'logged unbounded'],
    ['delete from t where 1 = 0', 'pass'],
    ['delete from t where a = a returning 1', 'logged unbounded'],
    ['with d as (delete from t returning *) select * from d', 'logged unbounded'],
    ['explain analyze delete from t', 'logged unbounded'],
    ['prepare p as delete from t', 'logged unbounded'],
    // The server's files, programs and libraries.
    ["copy t to '/tmp/x'", '42501 server-access'],
    ["copy t from program 'id'", '42501 server-access'],
    ["copy (select 1) to program 'id'", '42501 server-access'],
    ["select pg_read_file('/etc/passwd')", '42501 server-access'],
    ['select * from pg_catalog . "pg_read_file" (\'/etc/passwd\')', '42501 server-access'],
    ["select u&\"pg!005fread_file\" uescape '!' ('x')", '42501 server-access'],
    ["select pg_ls_dir/* */('.')", '42501 server-access'],
    ["select lo_import('/etc/passwd')", '42501 server-access'],
    ["select * from dblink('host=x', 'select 1') as t (a int)", '42501 server-access'],
    ["load 'evil'", '42501 server-access'],
    ['alter system set x = 1', '42501 server-access'],
    ["create function f() returns int language c as 'a', 'b'", '42501 server-access'],
    ['do language plpython3u $$ x $$', '42501 server-access'],
    ['create function f() returns int language sql return 1', 'pass'],
    // What cannot be read.
    ["select 'a", '42601 unreadable'],
    ['select /* a', '42601 unreadable'],
    ['select "a', '42601 unreadable'],
    ['select $x$ a', '42601 unreadable'],
    ['select {a}', '42601 unreadable'],
  ]
  for (const [sql, expected] of cases) {
    test(`${JSON.stringify(sql)} comes to: ${expected}`, () => {
      expect(outcome(sql)).toBe(expected)
    })
  }

  test('functions of files are refused by their number too, others are not', () => {
    expect(firewall.send(FUNCTION_CALL(764))).toBe('42501 server-access')
    expect(firewall.send(FUNCTION_CALL(2026))).toBe('pass')
  })
})

describe('injection', () => {
  let firewall: Firewall
  beforeAll(async () => {
    const checks = { injection: 'deny', serverAccess: 'off', unreadable: 'off', unbounded: 'off' }
    firewall = await startFirewall({ checks })
  })

  const suspicious = [
    'select * from t where a = 1 or 1 = 1',
    'select * from t where a = 1 OR(1)=(1)',
    "select * from t where a = '' or 'x' = 'x'",
    "select * from t where a = '' or 'ab' = 'a' || 'b'",
    'select * from t where a = 1 or ((((((((((((((((((((1 = 1))))))))))))))))))))',
    'select * from t where a = 1 or true',
    'select * from t where a = 1 or not false',
    'select * from t where a = 1 or a = a',
    'select * from t where a = 1 or t.a = t.a',
    'select * from t where a = 1 or 2 > 1',
    'select * from t where a = 1 or 1 in (1, 2)',
    'select * from t where a = 1 or 3 between 1 and 5',
    'select * from t where a = 1 or 1 is not null',
    'select * from t where a = 1/**/or/**/1=1',
    'select * from t where a = 1 and 5821 = 5821',
    "select * from t where a = '' and 'x' = 'x'",
    "select * from t where name = 'admin'--' and password = ''",
    'select a, b from t where a = 1 union select null, null, version()',
    "select a, b from t where a = 'x' union all select null, usename from pg_shadow --",
    'select * from t where a = 1; select pg_sleep(5)',
    'select * from t where a = 1 and 1 = (select 1 from pg_sleep(5))',
    "select * from t where a = '1'; drop table t --",
    'select * from t where a = 1 and sleep(5)',
    'select chr(113)||chr(118)||chr(98)',
    'select * from t where a = 1 /*!50000union*/ select 1',
  ]
  for (const sql of suspicious) {
    test(`is seen in ${JSON.stringify(sql.slice(0, 70))}`, () => {
      expect(firewall.query(sql)).toBe('42501 injection')
    })
  }

  const honest = [
    'select * from t where 1 = 1 and a = 2',
    'select * from t where 1 = 1 or a = 2',
    'select * from t where a = 1 or 1 = 0',
    'select * from t where a = 1 or false',
    'select * from t where ($1 is null or a = $1) and b = $2',
    "select * from t where (null is null or a = null) and ('' = '' or b = 'x')",
    "select * from t where ('x' = 'x' or b = 'x') and c = 1",
    'select * from t where a = 1 or a = 2 or b is null',
    'select * from t where a = 1 or b between 1 and 2',
    'select * from t where a = 1 or b in (1, 2)',
    'select * from t where a = 1 or exists (select 1 from u where u.a = t.a)',
    "select * from t where a = 'x' union select * from u where a = 'y'",
    'select a, null, null from t union all select null, b, c from u',
    "select relname from pg_class union select nspname from pg_namespace where nspname like 'x'",
    "select case when a = 1 then 'x' else 'y' end from t",
    "select 'a' -- the end",
    "select 1 /* traceparent='00-1' */",
    "update t set a = 'x' where b = 'y'; update t set a = 'z' where b = 'w'",
    'select a from t join u on true where a > 5',
    "select '1 or 1 = 1', $$ or 1 = 1 $$",
    'select data @> x, data ? y, a || b from t',
    'select version()',
  ]
  for (const sql of honest) {
    test(`is not seen in ${JSON.stringify(sql.slice(0, 70))}`, () => {
      expect(firewall.query(sql)).toBe('pass')
    })
  }
})

describe('rules', () => {
  test('decide in their order, by kind, table, function, pattern, user and database', async () => {
    const firewall = await startFirewall({
      rules: [
        { name: 'reports', action: 'allow', kinds: ['reading'], tables: ['audit_*'] },
        { name: 'no-audit', action: 'deny', tables: ['audit_*', 'shop.secrets'] },
        { name: 'no-drops', action: 'deny', kinds: ['DROP', 'TRUNCATE'] },
        { name: 'no-stars', action: 'deny', patterns: ['* from big where *', 'x*y'] },
        { name: 'no-xml', action: 'deny', functions: ['xml*'] },
        { name: 'no-writes-of-bob', action: 'deny', kinds: ['writing'], users: ['bob', 'guest_*'] },
        { name: 'no-ddl-in-shop', action: 'deny', kinds: ['defining'], databases: ['shop'] },
      ],
    })
    const bob = makeSession({ user: 'bob' })
    expect(firewall.query('select a from audit_log')).toBe('pass')
    expect(firewall.query('delete from audit_log where a = 1')).toBe('42501 no-audit')
    expect(firewall.query('select a from audit_log, t')).toBe('42501 no-audit')
    expect(firewall.query('select a from public.audit_log, public.t')).toBe('42501 no-audit')
    // The search path may lead a bare name to the schema of a rule.
    for (const name of [
      'secrets',
      'shop.secrets',
      'db.shop.secrets',
      '"secrets"',
      'SHOP . Secrets',
    ]) {
      expect(firewall.query(`select a from ${name}`)).toBe('42501 no-audit')
    }
    expect(firewall.query('select a from other.secrets')).toBe('pass')
    expect(firewall.query('drop table t')).toBe('42501 no-drops')
    expect(firewall.query('select 1; /* x */ drop table t')).toBe('42501 no-drops')
    expect(firewall.query("select a from big where b = 'x'")).toBe('42501 no-stars')
    expect(firewall.query("select xmlparse_it('x')")).toBe('42501 no-xml')
    expect(firewall.query('insert into t values (1)', bob)).toBe('42501 no-writes-of-bob')
    expect(firewall.query('with d as (insert into t values (1)) select 1', bob)).toBe(
      '42501 no-writes-of-bob',
    )
    expect(firewall.query('insert into t values (1)')).toBe('pass')
    expect(firewall.query('create table x (a int)')).toBe('42501 no-ddl-in-shop')
    expect(firewall.query('create table x ()', makeSession({ database: 'b' }))).toBe('pass')
    // What has no name may be what the rule names.
    expect(firewall.send(FUNCTION_CALL(2026))).toBe('42501 no-xml')
  })

  test('that allow do so only where everything fits, under a default of deny', async () => {
    const firewall = await startFirewall({
      default: 'deny',
      rules: [
        {
          name: 'one',
          action: 'allow',
          kinds: ['SELECT'],
          tables: ['t', 's.u'],
          functions: ['max'],
        },
        { name: 'exact', action: 'allow', statement: 'update t set a = ? where b = ?' },
        { name: 'session', action: 'allow', kinds: ['transacting', 'SET'] },
        { name: 'forgeable', action: 'allow', fingerprint: '0000000000000000' },
      ],
    })
    expect(firewall.query('select max(a) from t, s.u')).toBe('pass')
    for (const sql of [
      'select min(a) from t',
      'select a from u',
      'select a from x.t',
      'select a from t, v',
      'with d as (delete from t returning a) select a from t',
      'select a into t from t',
      'update t set a = 1',
      'update t set a = 1 where b = c',
      "update t set a = 1 where b = 2; delete from t where a = 'x'",
      'nonsense',
    ]) {
      expect([sql, firewall.query(sql)]).toEqual([sql, '42501 default'])
    }
    expect(firewall.query("UPDATE t\n SET a=-5 /* x */ WHERE b = 'y'")).toBe('pass')
    expect(firewall.query('begin; set x = 1; commit')).toBe('pass')
    expect(firewall.send(FUNCTION_CALL(2026))).toBe('42501 default')
    expect(
      firewall.lines(
        'a rule is never used: a fingerprint alone allows nothing, name the statement too',
      ),
    ).toEqual([{ rule: 'forgeable' }])
  })

  test('by fingerprint refuse the statement that the line about it names', async () => {
    const first = await startFirewall()
    first.query('delete from orders')
    const print = first.lines('statement would be refused')[0]?.['fingerprint']
    expect(print).toMatch(/^[0-9a-f]{16}$/)
    const rules = [{ name: 'that-one', action: 'deny', fingerprint: print }]
    const firewall = await startFirewall({ rules })
    expect(firewall.query('DELETE  FROM Orders;')).toBe('42501 that-one')
    expect(firewall.query('delete from orders where a = 1')).toBe('pass')
  })

  test('that trust leave out the checks, but not readOnly', async () => {
    const rules = [{ name: 'purge', action: 'trust', statement: 'delete from t' }]
    const checks = { unbounded: 'deny' }
    const firewall = await startFirewall({ rules, checks })
    expect(firewall.query('delete from t')).toBe('pass')
    expect(firewall.query('delete from u')).toBe('42501 unbounded')
    const reading = await startFirewall({ rules, checks, readOnly: true })
    expect(reading.query('delete from t')).toBe('25006 read-only')
  })

  test('more than there may be refuse everything, and the log says why', async () => {
    const rules = Array.from({ length: 257 }, (_, at) => ({ name: `r${at}`, action: 'allow' }))
    const firewall = await startFirewall({ rules })
    expect(firewall.query('select 1')).toBe('55000 configuration')
    expect(firewall.lines('configuration cannot be used, every statement is refused')).toEqual([
      { why: 'rules has 257 items, at most 256 fit' },
    ])
  })
})

describe('what it says', () => {
  test('a refusal has a code, names the rule and a cure, and quotes no value', async () => {
    const firewall = await startFirewall({ checks: { unbounded: 'deny' } })
    expect(firewall.refusal(query("update t set a = 'hunter2'"))).toEqual({
      kind: 'deny',
      code: '42501',
      message: 'UPDATE is refused by the rule "unbounded" of the firewall',
      detail: 'it changes every row of a table',
      hint: 'give it a WHERE that means rows',
    })
    expect(firewall.scene.recorded.filter(({ id }) => id === DENIED)).toEqual([
      { id: DENIED, value: 1, labels: ['unbounded'] },
    ])
    expect(firewall.lines('statement refused')).toEqual([
      {
        rule: 'unbounded',
        why: 'it changes every row of a table',
        kind: 'UPDATE',
        fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
        statement: 'update t set a = ?',
        user: 'alice',
        database: 'shop',
      },
    ])
    expect(JSON.stringify(firewall.scene.lines)).not.toContain('hunter2')
  })

  test('several statements are refused where that is wanted', async () => {
    const firewall = await startFirewall({ checks: { multipleStatements: 'deny' } })
    expect(firewall.query('select 1;;')).toBe('pass')
    expect(firewall.query('select 1; select 2')).toBe('42601 multiple-statements')
    expect(firewall.query("select ';' /* ; */ -- ;")).toBe('pass')
  })

  test('a dry run refuses nothing and tells everything', async () => {
    const firewall = await startFirewall({ dryRun: true, readOnly: true })
    expect(firewall.query('drop table t')).toBe('pass')
    expect(firewall.observed()).toEqual(['read-only'])
  })

  test('a flood of findings is no flood of lines', async () => {
    const firewall = await startFirewall()
    for (let at = 0; at < 500; at++) firewall.query('delete from t')
    const lines = firewall.lines('statement would be refused').length
    expect(lines).toBeGreaterThanOrEqual(50)
    expect(lines).toBeLessThanOrEqual(250)
    expect(firewall.observed()).toHaveLength(500)
  })
})

describe('learning', () => {
  test('writes each rule once, by which the same traffic passes a default of deny', async () => {
    const traffic = [
      'begin',
      "select * from orders where id = 5 and note = 'it''s' -- x",
      'update "My ""T" set a = 1',
      "select data ? 'x', E'\\\\' from t where a in (1, 2, 3)",
      'commit',
    ]
    const learner = await startFirewall({ learn: true, default: 'deny', readOnly: true })
    for (const sql of [...traffic, ...traffic]) expect(learner.query(sql)).toBe('pass')
    const learned = learner.lines('learned').map((line) => String(line['rule']))
    expect(learned).toHaveLength(traffic.length)
    expect(learned[1]).toMatch(
      /^- \{ name: learned-\w{16}, action: allow, statement: "select \* from orders .*" \}$/,
    )
    const rules: unknown = Bun.YAML.parse(learned.join('\n'))
    const firewall = await startFirewall({ default: 'deny', rules })
    for (const sql of traffic) expect([sql, firewall.query(sql)]).toEqual([sql, 'pass'])
    expect(firewall.query('select * from orders')).toBe('42501 default')
  })

  test('ends where its room does, and says so once', async () => {
    const learner = await startFirewall({ learn: true })
    for (let at = 0; at < 4200; at++) learner.query(`select c${at}`)
    expect(learner.lines('learned')).toHaveLength(4096)
    expect(learner.lines('no more statements are learned')).toEqual([{ learned: 4096 }])
  })
})
