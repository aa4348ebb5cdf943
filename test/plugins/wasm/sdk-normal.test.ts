/** The normal form and the fingerprint of SQL: what is the same in them, and that they stay. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { z } from 'zod'
import { type Asked, startAsked } from '../../fixtures/wasm/sdk.ts'

const TOLD = z.strictObject({ normal: z.string(), fingerprint: z.string(), operand: z.string() })

let asked: Asked
beforeAll(async () => {
  asked = await startAsked('sdk-sql')
})

const told = (sql: string, isStandard = true) => TOLD.parse(asked.askSql('n', sql, isStandard))

/** A form, and texts that have it. */
const forms: readonly (readonly [string, ...string[]])[] = [
  [
    'select * from t where a = ? and b in (?)',
    'select * from t where a = 1 and b in (2)',
    'SELECT  *\nFROM T -- comment\nWHERE a=$1 AND /* x */ B IN ($2, $3,$4);',
    `select * from "t" where "a" = -1.5e3 and b in ('x', E'\\'', $$y$$, B'1', X'F', N'n')`,
    String.raw`select * from U&"\0074" where a = U&'\0061' and b in (null, true);;`,
  ],
  [
    'insert into t(a, b) values (?)',
    'insert into t (a, b) values (1, 2)',
    "insert into t(a,b) values ('x',$2),(3, null),(true,+4)",
  ],
  [
    'select ?::text, date ?, - a, a - ?, a[?]',
    "select 'x'::text, date '2020-01-01', -a, a-1, a[2]",
  ],
  ['select f(?, now()), count(*) from "A b".c', 'select f(1, now()), COUNT( * ) from "A b" . C'],
  [
    'update t set a = ? where b is null and c is not true',
    'update t set a = null where b is null and c is not true',
  ],
  ['begin; select ?; commit', 'begin;; select 7 ; commit;'],
  ['select t.from, t.null as x', 'select t."from", t.null as x'],
  ['select ?', "select 'a'\n'b'", 'select 0x1F', 'select $9', "select 'not closed"],
  ['set search_path = ?', "set search_path = 'x', 'y'"],
  ['', '', ' ; -- nothing', '/* open'],
]

describe('the normal form', () => {
  for (const [form, ...texts] of forms) {
    for (const sql of texts) {
      test(`of ${JSON.stringify(sql)} is ${form}`, () => {
        expect(told(sql).normal).toBe(form)
      })
    }
  }

  test('holds no literal, wherever it stands', () => {
    const secret = 'hunter2'
    const sql = `select '${secret}', E'${secret}', $$${secret}$$, $x$${secret}$x$, U&'${secret}',
      b'${secret}', 7734, -77.34 from t -- ${secret}
      /* ${secret} */; '${secret}`
    expect(told(sql).normal).not.toContain(secret)
    expect(told(sql).normal).not.toContain('77')
    expect(told(`select "x ${secret}`).normal).not.toContain(secret)
    expect(told(String.raw`select 'a\'${secret}'`, false).normal).not.toContain(secret)
  })

  test('is its own normal form', () => {
    for (const [form] of forms) expect(told(form.replaceAll('?', '1')).normal).toBe(form)
  })
})

describe('the fingerprint', () => {
  test('is the same for the same form and another for another', () => {
    const found = forms.map(([, ...texts]) => [
      ...new Set(texts.map((sql) => told(sql).fingerprint)),
    ])
    for (const ofForm of found) expect(ofForm).toHaveLength(1)
    expect(new Set(found.flat()).size).toBe(forms.length)
  })

  test('stays what it is from version to version', () => {
    expect(told('').fingerprint).toBe('cbf29ce484222325')
    expect(told('select * from t where a in (1, 2, 3) and b = 7').fingerprint).toBe(
      'eff1b2fb4d45b9e1',
    )
  })

  test('is FNV-1a of the form', () => {
    for (const [form] of forms) {
      let hash = 0xcbf29ce484222325n
      for (const byte of new TextEncoder().encode(form)) {
        hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
      }
      expect(told(form.replaceAll('?', '1')).fingerprint).toBe(hash.toString(16).padStart(16, '0'))
    }
  })
})

describe('what a command is about', () => {
  const operands: readonly (readonly [string, string])[] = [
    ['set search_path = x', 'search_path'],
    ['SET LOCAL "Search_Path" TO x', 'search_path'],
    ['set session search_path to x', 'search_path'],
    ['set my.Setting = 1', 'my.setting'],
    ['set role x', 'role'],
    ['set session authorization x', 'session_authorization'],
    ['set session characteristics as transaction read only', 'transaction'],
    ["set time zone 'UTC'", 'timezone'],
    ['reset all', 'all'],
    ['reset session authorization', 'session_authorization'],
    ['discard all', 'all'],
    ['prepare P (int) as select 1', 'p'],
    ['execute "P"(1)', '"P"'],
    ['deallocate prepare p', 'p'],
    ['call s.p(1)', 's.p'],
    ['release savepoint a', 'a'],
    ['listen c', 'c'],
    ['set', ''],
  ]
  for (const [sql, operand] of operands) {
    test(`${sql}: ${operand}`, () => {
      expect(told(sql).operand).toBe(operand)
    })
  }
})
