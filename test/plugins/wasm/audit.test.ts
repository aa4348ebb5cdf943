/** The audit plugin: what it says about SQL, what it never says, and that it stays small. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { z } from 'zod'
import { makeSession, message, query, type Scene } from '../../fixtures/wasm/kit.ts'
import { beginAudit, PluginTalk, says } from '../../fixtures/wasm/talk.ts'
import { bind, concat, execute, parse, sync } from '../../kit/frontend.ts'
import { STATEMENT_CASES } from './statement-cases.ts'

const FIELDS = z.strictObject({
  kind: z.string(),
  tables: z.array(z.string()),
  within: z.array(z.string()).optional(),
  more: z.boolean().optional(),
  statement: z.string(),
  statementBytes: z.number().optional(),
  unread: z.boolean().optional(),
  fingerprint: z.string().regex(/^[0-9a-f]{16}$/),
  outcome: z.string(),
  durationMs: z.number().optional(),
  rows: z.number().optional(),
  user: z.string().optional(),
  database: z.string(),
  client: z.string(),
})

let talk: PluginTalk
let scene: Scene
let session = makeSession()
beforeAll(async () => {
  talk = await PluginTalk.start('audit')
  scene = talk.scene
  talk.reply(session, says.ready())
})

/** Sends a message, which the server answers somehow. */
function send(bytes: Uint8Array, user = 'alice'): void {
  if (session.user !== user) {
    session = makeSession({ user })
    talk.reply(session, says.ready())
  }
  talk.send(session, bytes)
  talk.reply(session, says.ready())
}

const statementsFrom = (from: number) =>
  scene.lines.slice(from).filter(({ msg }) => msg === 'statement')

/** The lines about a query, as `KIND table, table [WITHIN]`. */
function lines(sql: string): readonly string[] {
  const from = scene.lines.length
  send(query(sql))
  return statementsFrom(from).map((line) => {
    const { kind, tables, within } = FIELDS.parse(line['fields'])
    const inner = within === undefined ? '' : ` [${within.join(' ')}]`
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

  test('of blanks and comments alone is none', () => {
    for (const sql of ['', ' ', ';', ';;', '-- x', '/* x */;']) expect(lines(sql)).toEqual([])
  })

  test('of a Parse message is told when it is executed, each time', () => {
    const from = scene.lines.length
    talk.send(session, parse({ name: 'from_name', sql: 'select * from t' }), sync())
    talk.reply(session, says.parsed(), says.ready())
    expect(statementsFrom(from)).toEqual([])
    const run = concat(bind({ statement: 'from_name' }), execute(), sync())
    for (let times = 0; times < 2; times++) {
      talk.send(session, run)
      talk.reply(session, says.bound(), says.complete('SELECT 3'), says.ready())
    }
    const told = statementsFrom(from).map((line) => FIELDS.parse(line['fields']))
    expect(told).toMatchObject([1, 2].map(() => ({ kind: 'SELECT', tables: ['t'], rows: 3 })))
  })

  test('is told with its normal form, and with a fingerprint that values do not change', () => {
    const from = scene.lines.length
    send(query("select * from T where a in (1, 2) and b = 'x'"))
    send(query('SELECT * FROM t where a in (3) and b = $$y$$ -- z'))
    const [one, other] = statementsFrom(from).map((line) => FIELDS.parse(line['fields']))
    expect(one?.statement).toBe('select * from t where a in (?) and b = ?')
    expect({ ...other, durationMs: 0 }).toEqual({ ...one, durationMs: 0 })
  })

  test('is counted by its kind', () => {
    const from = scene.recorded.length
    lines('select 1; insert into t values (1); what')
    expect(scene.recorded.slice(from).filter(({ id }) => id === 0)).toEqual([
      { id: 0, value: 1, labels: ['SELECT'] },
      { id: 0, value: 1, labels: ['INSERT'] },
      { id: 0, value: 1, labels: ['OTHER'] },
    ])
  })

  test('names its user, whatever the name is', () => {
    for (const user of ['bob', 'a"b\\', 'ä\n"user":"x', '']) {
      const from = scene.lines.length
      send(query('select 1'), user)
      const [line] = statementsFrom(from)
      expect(FIELDS.parse(line?.['fields']).user).toBe(user === '' ? undefined : user)
    }
    send(query('select 1'))
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
    expect(statementsFrom(from)).toHaveLength(1000)
    expect(scene.lines[from]).toMatchObject({
      msg: 'statements counted, not listed',
      fields: { count: 500, kinds: ['SELECT'], user: 'alice' },
    })
    const statements = scene.recorded.slice(counted).filter(({ id }) => id === 0)
    expect(statements.reduce((sum, { value }) => sum + value, 0)).toBe(1500)
  })

  test('a long statement is cut between two letters, and its length told', async () => {
    const own = await beginAudit({ statementBytesMax: 20 })
    own.run(query(`select ${'ä'.repeat(50)} from t`))
    const { statement, statementBytes } = FIELDS.parse(own.statements()[0])
    expect(statement).toBe(`select ${'ä'.repeat(6)}`)
    expect(statementBytes).toBe(114)
  })

  test('a hostile text takes time by its length, and 10 MB are no reason to fail', async () => {
    const own = await beginAudit({})
    const size = 1_000_000
    own.run(query("select '".padEnd(10_000_000, 'x')))
    const texts = [
      'with a (',
      'with x as (',
      '(',
      'from (',
      'with ',
      '$a',
      "E'",
      '/*',
      'explain (',
      ';',
    ]
    for (const text of texts) {
      const bytes = query(text.repeat(size / text.length))
      const startedAt = performance.now()
      own.run(bytes)
      // Some milliseconds; quadratic time would be minutes.
      expect(performance.now() - startedAt).toBeLessThan(2000)
    }
    for (const tag of 'QPBDECHS') {
      for (const body of ['', '\0', '\xff', 'x'.repeat(70_000)]) own.run(message(tag, body))
    }
    for (const tag of 'CEZ123ntIsGTD') {
      for (const body of ['', '\0', '\xff\0\xff']) own.talk.reply(own.of, message(tag, body))
    }
    const whole = concat(parse({ sql: 'select 1' }), bind({ values: ['x'] }), execute(), sync())
    for (let end = 0; end < whole.length; end++) own.run(whole.subarray(0, end))
    expect(own.talk.plugin.status()).toMatchObject({ state: 'ready', failures: 0 })
  })

  test('many connections and statements take no more memory than some', async () => {
    const own = await beginAudit({})
    const round = (): void => {
      for (let at = 0; at < 3000; at++) {
        const of = makeSession({ id: String(at), user: `u${at}` })
        own.talk.opened(of)
        own.talk.reply(of, says.ready())
        own.talk.send(of, query(`select c${at % 300} from t; select 2`))
        own.talk.send(of, parse({ sql: 'select 1' }), bind(), execute())
        own.talk.closed(of)
      }
    }
    round()
    const before = own.talk.plugin.sandbox?.memoryBytes
    round()
    round()
    expect(own.talk.plugin.sandbox?.memoryBytes).toBe(before)
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
  talk.send(session, parse({ sql: 'select $1' }), bind({ values: [secret] }), execute(), sync())
  talk.reply(session, says.parsed(), says.bound(), says.error('22P02', `invalid: "${secret}"`))
  talk.reply(session, says.ready())
  expect(scene.lines.length).toBeGreaterThan(from)
  const text = JSON.stringify(scene.lines.slice(from).map((line) => line['fields']))
  expect(text).not.toContain(secret)
  expect(text).not.toContain('7734')
})
