/**
 * The SDK cuts SQL into tokens as PostgreSQL does: what each literal and each name stands for is
 * compared with what a real server says.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import pg from 'pg'
import { z } from 'zod'
import { type Asked, startAsked } from '../../fixtures/wasm/sdk.ts'
import { type Random, seeded } from '../../kit/pipelines.ts'
import { type PostgresServer, startPostgres } from '../../kit/postgres.ts'

/** Kind, text, value, whether it is closed. */
const TOKENS = z.array(z.tuple([z.number(), z.string(), z.string(), z.boolean()]))
const LITERAL = { from: 4, to: 10 } as const
const [WORD, QUOTED, UNICODE_QUOTED, OPERATOR] = [1, 2, 3, 12]

let asked: Asked
let server: PostgresServer
let client: pg.Client
beforeAll(async () => {
  asked = await startAsked('sdk-sql')
  server = await startPostgres({ settings: { escape_string_warning: 'off' } })
  const { host, port, user, database } = server
  client = new pg.Client({ host, port, user, database })
  await client.connect()
})
afterAll(async () => {
  await client.end()
  await server.stop()
})

const tokensOf = (sql: string | Uint8Array, isStandard = true) =>
  TOKENS.parse(asked.askSql('t', sql, isStandard))

/** The values of the literals, as the SDK reads them. */
function literalsOf(sql: string, isStandard: boolean): readonly string[] {
  return tokensOf(sql, isStandard)
    .filter(([kind]) => kind >= LITERAL.from && kind <= LITERAL.to)
    .map(([, , value]) => value)
}

/** What the server makes of a list of literals: the texts of one row. */
async function serverValues(sql: string, isStandard: boolean): Promise<readonly string[]> {
  await client.query(`set standard_conforming_strings = ${isStandard ? 'on' : 'off'}`)
  const { rows } = await client.query({ text: sql, rowMode: 'array' })
  return z.array(z.string()).parse(rows[0])
}

const LITERALS = [
  `'plain'`,
  `''`,
  `'it''s'`,
  `'one'\n'two'`,
  `'one' -- comment\n  'two'`,
  `'one'\r\n\t'two'\n'thr''ee'`,
  `E'a' -- '\n'\\n'`,
  String.raw`E'\'quote\\'`,
  String.raw`E'\b\f\n\r\t\v\q'`,
  String.raw`E'\101\60\x41\x4a1\u00e9\U0001F600'`,
  String.raw`E'\ud83d\ude00'`,
  `e'doubled '' too'`,
  String.raw`U&'d\0061t\+000061 \\'`,
  `u&'d!0061''' UESCAPE '!'`,
  `U&'a'\n'\\0062'`,
  `U&'d!0061' /* x */ uescape -- y
    '!'`,
  String.raw`U&'d!0061' UESCAPE E'\x21'`,
  `U&'d!0061' UESCAPE $$!$$`,
  String.raw`U&'\D83D\DE00'`,
  `$$a 'b' $c$ "d" $$`,
  `$x$a $$ b $y$ c $x$`,
  `$x1_é$ $x1_ $x1_é$`,
  '$a$$a$',
  `$a$b$$a$`,
  `'/* no -- comment */'`,
  `N'national'`,
  `'é中\u{1F600}'`,
  `'tab\there'`,
] as const

/** Only with standard_conforming_strings on: a backslash is a letter. */
const STANDARD = [String.raw`'a\'`, String.raw`'\n'`, String.raw`'c:\dir\'`] as const
/** Only with it off: a backslash escapes. */
const ESCAPING = [String.raw`'a\''`, String.raw`'\n\x41'`, String.raw`N'\''`, `'a'\n'\\''`] as const

describe('a literal has the value that PostgreSQL gives it', () => {
  for (const literal of LITERALS) {
    test(JSON.stringify(literal), async () => {
      const sql = `select (${literal})::text`
      expect(literalsOf(sql, true)).toEqual(await serverValues(sql, true))
    })
  }

  for (const [isStandard, literals] of [
    [true, STANDARD],
    [false, ESCAPING],
  ] as const) {
    for (const literal of literals) {
      const way = isStandard ? 'on' : 'off'
      test(`${literal} with standard_conforming_strings ${way}`, async () => {
        const sql = `select (${literal})::text, 'next'`
        expect(literalsOf(sql, isStandard)).toEqual(await serverValues(sql, isStandard))
      })
    }
  }

  test('bits and hexadecimal bits have no quotes within', async () => {
    const sql = `select B'01'::text, (X'1F'::bit(8))::text, B'0'\n'1'::text`
    expect(await serverValues(sql, true)).toEqual(['01', '00011111', '01'])
    expect(literalsOf(`select B'01', X'1F', B'0'\n'1'`, true)).toEqual(['01', '1F', '01'])
    expect(literalsOf(`select B'01''1'`, true)).toEqual(['01', '1'])
  })

  test('numbers of every writing are one token', () => {
    const sql = '1 .5 1. 1.5e-3 1e5 0x1F 0b01 0o17 1_000.5 1..2 $12'
    expect(tokensOf(sql).map(([, text]) => text)).toEqual(
      '1 .5 1. 1.5e-3 1e5 0x1F 0b01 0o17 1_000.5 1 .. 2 $12'.split(' '),
    )
  })
})

const NAMES = [
  'Plain',
  'with_1$',
  'é_Ä',
  '"Quoted Name"',
  '"a""b"',
  '"select"',
  String.raw`U&"d\0061t"`,
  `U&"d!0061t" UESCAPE '!'`,
  String.raw`u&"\+01F600 \\"`,
  'x'.repeat(70),
  `"${'X'.repeat(62)}éé"`,
  '"-- no /* comment"',
  '"\n"',
]

describe('a name is the one that PostgreSQL knows', () => {
  for (const name of NAMES) {
    test(JSON.stringify(name), async () => {
      await client.query('set standard_conforming_strings = on')
      const sql = `select 1 as ${name}`
      const { fields } = await client.query(sql)
      const last = tokensOf(sql).at(-1)
      expect(last?.[2]).toBe(fields[0]?.name ?? '')
      expect([WORD, QUOTED, UNICODE_QUOTED]).toContain(last?.[0])
    })
  }
})

describe('comments and operators', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['1 -- x\n2', '1 2'],
    ['1 /* a /* b */ c */ 2', '1 2'],
    ['1 /*/**/*/ 2', '1 2'],
    ['1 /* */*/ 2', '1 */ 2'],
    ['a --', 'a'],
    ['1+-2', '1 + - 2'],
    ['1 @-2', '1 @- 2'],
    ['1 <--2\n3', '1 < 3'],
    ['1 @/* x */ 2', '1 @ 2'],
    ['a::b:=c:d[1:2]', 'a :: b := c : d [ 1 : 2 ]'],
    ['a->>b#>c?|d', 'a ->> b #> c ?| d'],
    ['a.b.c', 'a . b . c'],
    ['a$b $c', 'a$b $ c'],
    ["a'b'", "a 'b'"],
    ['"a"b', '"a" b'],
  ]
  for (const [sql, expected] of cases) {
    test(`${JSON.stringify(sql)} is ${expected}`, () => {
      expect(
        tokensOf(sql)
          .map(([, text]) => text)
          .join(' '),
      ).toBe(expected)
    })
  }

  test('an operator does not swallow a comment, as the server shows', async () => {
    const sql = `select '1'::text, 2 +/* '3' */- 4 --'5'\n, '6'`
    expect(tokensOf(sql).filter(([kind]) => kind === OPERATOR)).toHaveLength(2)
    const values = literalsOf(sql, true).filter((value) => value === '1' || value === '6')
    const { rows } = await client.query({ text: sql, rowMode: 'array' })
    expect([rows[0]?.[0], rows[0]?.[2]]).toEqual([...values])
  })
})

const LETTERS = ["''", '"', '\\\\', '$', '$$', '\n', 'a', '0', '--', '/*', '*/', 'é', ' ', ';']

/** A random literal of one of the forms, as SQL. */
function randomLiteral(random: Random): string {
  const content = Array.from({ length: random.below(8) }, () => random.pick(LETTERS)).join('')
  switch (random.below(5)) {
    case 0:
      return `E'${content}'`
    case 1:
      return `U&'${content}'`
    case 2:
      return `$q$${content}$q$`
    case 3:
      return `'${content}'\n'${content}'`
    default:
      return `'${content}'`
  }
}

test('random literals between random blanks have the values that the server gives', async () => {
  const random = seeded(7)
  const blanks = [' ', '\n', '/* \' " $$ */', "-- it's\n", '\t', '/* /* */ */']
  for (let round = 0; round < 150; round++) {
    const isStandard = random.below(3) > 0
    const literals = Array.from({ length: 6 }, () => randomLiteral(random)).filter(
      (literal) => isStandard || !literal.startsWith('U&'),
    )
    const list = literals.map((one) => `${random.pick(blanks)}(${one})::text${random.pick(blanks)}`)
    const sql = `select ${["'first'", ...list].join(',')}`
    expect(literalsOf(sql, isStandard)).toEqual(await serverValues(sql, isStandard))
  }
})

/** What stands in FROM, one in another, with names that hide what they are. */
function randomSource(random: Random, depth: number): string {
  const name = random.pick(['t1', '"t2"', 's.t3', 'only t1', 'only (t2)', String.raw`U&"t\0032"`])
  if (depth === 0) return `${name}${random.pick(['', ' x', ' as x', ' /* t9 */', ' as "from"'])}`
  const inner = (): string => randomSource(random, depth - 1)
  switch (random.below(6)) {
    case 0:
      return `(${inner()} cross join (${inner()}))`
    case 1:
      return `(select 1 as from, '${name}' from ${inner()}) as y${depth}`
    case 2:
      return `(with t1 as (select * from ${inner()}) select 1 from t1, ${inner()}) z${depth}`
    case 3:
      return `(table ${name.replace(/\(|\)/g, '')}) v${depth}`
    case 4:
      return `generate_series(1, 2) g, lateral (select 1 where exists (table s.t3)) w${depth}`
    default:
      return `(${inner()}) join lateral (values ((select count(*) from ${inner()}))) u on true`
  }
}

test('every table that the server reads is told', async () => {
  await client.query(`set standard_conforming_strings = on; create schema s;
    create table t1 (a int); create table t2 (a int); create table s.t3 (a int)`)
  const random = seeded(5)
  let planned = 0
  for (let round = 0; round < 200; round++) {
    const sql = `select 1 as into from ${randomSource(random, 1 + random.below(3))}`
    // Aliases may meet; then there is no plan to compare with.
    const plan = await client
      .query({ text: `explain (format json, verbose) ${sql}`, rowMode: 'array' })
      .catch(() => null)
    if (plan === null) continue
    planned++
    const text = JSON.stringify(plan.rows)
    const read = [...text.matchAll(/"Relation Name":"(\w+)","Schema":"(\w+)"/g)].map(
      ([, name, schema]) => (schema === 'public' ? name : `${schema}.${name}`),
    )
    const [told] = z
      .array(z.looseObject({ tables: z.array(z.string()) }))
      .parse(asked.askSql('s', sql))
    expect({ sql, missed: read.filter((name) => !told?.tables.includes(name ?? '')) }).toEqual({
      sql,
      missed: [],
    })
  }
  expect(planned).toBeGreaterThan(50)
})
