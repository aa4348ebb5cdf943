/** Whatever bytes come, the SDK reads them without a trap and in time by their length. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { z } from 'zod'
import { type Asked, startAsked } from '../../fixtures/wasm/sdk.ts'
import { seeded } from '../../kit/pipelines.ts'

const TOKENS = z.array(z.tuple([z.number(), z.string(), z.string(), z.boolean()]))

let asked: Asked
beforeAll(async () => {
  asked = await startAsked('sdk-sql')
})

const tokensOf = (sql: Uint8Array) => TOKENS.parse(asked.askSql('t', sql))

const SOUP = [
  "'",
  '"',
  "E'",
  "U&'",
  'U&"',
  "B'",
  '$$',
  '$a$',
  '\\',
  '/*',
  '*/',
  '--',
  '\n',
  ';',
  '(',
  ')',
  ',',
  '.',
  '::',
  'uescape',
  'select',
  'from',
  'with',
  'as',
  'update',
  'delete',
  'where',
  'copy',
  'begin atomic',
  'create',
  'case',
  'end',
  'x',
  '1',
  '1e',
  '0x',
  '+-',
  '\0',
  '\xff',
]

test('no soup of tokens is a reason to trap, and none is read beyond its end', () => {
  const random = seeded(11)
  for (let round = 0; round < 3000; round++) {
    const sql = Array.from({ length: random.below(40) }, () => random.pick(SOUP)).join(
      random.pick(['', ' ']),
    )
    const bytes = Buffer.from(sql, 'latin1')
    asked.askSql('w', bytes, random.below(2) === 0)
    if (round % 10 === 0) {
      expect(tokensOf(bytes).every(([, text]) => text.length <= sql.length)).toBe(true)
      asked.askSql('s', bytes)
      asked.askSql('n', bytes)
    }
  }
})

test('no cut of a statement is a reason to trap', () => {
  const sql = Buffer.from(
    `with "a""b" (x) as not materialized (select U&'\\0061' uescape '!', $q$x$q$, E'\\u0041\\x4')
     merge into s.t using (select 1) y on true when matched then delete; copy t (a) from program
     'x'; explain (analyze) select /* /* */ */ 1e-5 -- \n from "é" é; create function f() begin
     atomic select case when 1 then 2 end; end; set session characteristics as transaction`,
  )
  for (let length = 0; length <= sql.length; length++) {
    for (const question of ['w', 's', 'n', 't']) asked.askSql(question, sql.subarray(0, length))
  }
})

describe('what is large', () => {
  const size = 10_000_000
  const texts: readonly (readonly [string, string])[] = [
    ['a string', `select '${'x'.repeat(size)}'`],
    ['a list', `select * from t where a in (${'1,'.repeat(size / 2)}1)`],
    ['words', 'ab '.repeat(size / 3)],
    ['a name', `select "${'""'.repeat(size / 2)}"`],
    ['operators', '+'.repeat(size)],
    ['semicolons', ';'.repeat(size)],
  ]
  for (const [what, sql] of texts) {
    test(`${what} of ten megabytes is read`, () => {
      expect(asked.askSql('w', sql)).toBeNull()
    })
  }

  test('nesting of ten thousand is read, and more so', () => {
    for (const depth of [10_000, 300_000]) {
      for (const [opening, closing] of [
        ['(', ')'],
        ['/*', '*/'],
        ['(select * from ', ')'],
        ['with a as (', ')'],
        ['explain ', ''],
        ['[', ']'],
        ['case ', ' end'],
      ] as const) {
        const count = Math.floor(depth / opening.length)
        asked.askSql('w', opening.repeat(count) + closing.repeat(count))
        asked.askSql('w', opening.repeat(count))
      }
    }
  })

  test('memory does not grow by what is read again', () => {
    const sql = `select '${'x'.repeat(6_000_000)}', ${'1,'.repeat(100_000)}1`
    for (let round = 0; round < 12; round++) asked.askSql('w', sql)
  })

  test('is cut where it has more tokens than there is time for, and says so', () => {
    const ofCut = (sql: string) =>
      z.array(z.looseObject({ kind: z.string(), isCut: z.boolean() })).parse(asked.askSql('s', sql))
    expect(ofCut(`select 1${' + 1'.repeat(1000)}`)).toMatchObject([{ isCut: false }])
    expect(ofCut(`select 1${' + 1'.repeat(200_000)}; drop table t`)).toMatchObject([
      { kind: 'SELECT', isCut: true },
    ])
  })
})
