/** The five plugins on one list of hostile input: none traps, and none lets anything by for it. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { makeSession } from '../../fixtures/wasm/kit.ts'
import { type Config, PluginTalk, type Session, says } from '../../fixtures/wasm/talk.ts'
import {
  bind,
  close,
  concat,
  copyData,
  copyDone,
  copyFail,
  describe as describes,
  execute,
  flush,
  message,
  parse,
  query,
  startup,
  sync,
} from '../../kit/frontend.ts'

const TEN_MB = 10_000_000
/** What the firewall and the rate limit refuse, and what audit must name, wherever it stands. */
const DROP = 'drop table victim'

const CONFIGS: Readonly<Record<string, Config>> = {
  audit: {},
  cache: { ttlMs: 60_000 },
  firewall: { rules: [{ name: 'no-drops', action: 'deny', kinds: ['DROP'] }] },
  mask: {},
  'rate-limit': { rules: [{ name: 'drops', kinds: ['DROP'], rate: 0.0001, burst: 1 }] },
}
const NAMES = Object.keys(CONFIGS)

/** Texts before a DROP that would hide it from who reads badly. */
const HIDING: readonly (readonly [string, string])[] = [
  ['a string of 10 MB', `select '${'x'.repeat(TEN_MB)}'; ${DROP}`],
  ['a comment of 10 MB', `/*${'x'.repeat(TEN_MB)}*/ ${DROP}`],
  ['a line comment of 10 MB', `--${'x'.repeat(TEN_MB)}\n${DROP}`],
  ['a name of 10 MB', `select "${'x'.repeat(TEN_MB)}"; ${DROP}`],
  ['blanks of 10 MB', `${' '.repeat(TEN_MB)}${DROP}`],
  ['comments nested 10,000 deep', `${'/*'.repeat(10_000)}${'*/'.repeat(10_000)} ${DROP}`],
  ['parentheses nested 10,000 deep', `select ${'('.repeat(1e4)}1${')'.repeat(1e4)}; ${DROP}`],
  ['two thousand statements', `${'select 1;'.repeat(2000)}${DROP}`],
  ['a quote in a comment', `/* ' */ ${DROP} /* ' */`],
  ['a comment in a string', `select '/*'; ${DROP} --*/`],
  ['a nested comment that ends once', `/* /* */ ' */ ${DROP}; --'`],
  ['dollar quotes', `select $a$ $b$ ' $a$; ${DROP}; --$b$'`],
  ['quotes in names', `select 1 as "a""'"; ${DROP}; --'`],
  ['a string that goes on', `select 'a'\n'b'';'; ${DROP}; --'`],
  ['a backslash at the end of a string', `select '\\'; ${DROP}; --'`],
  ['an escaped quote', `select E'\\'', 1; ${DROP}; --'`],
  ['a number against a name', `select 1from"t"; ${DROP}`],
]

/** 10 MB that no plugin need read to the end, but that none may fail on. */
const LARGE: readonly (readonly [string, string])[] = [
  ['operators', '+'.repeat(TEN_MB)],
  ['a list', `select 1 in (${'1,'.repeat(TEN_MB / 2)}1)`],
  ['words', 'ab '.repeat(TEN_MB / 3)],
  ['semicolons', ';'.repeat(TEN_MB)],
  ['statements', 'select 1;'.repeat(TEN_MB / 9)],
  ['open comments', '/*'.repeat(TEN_MB / 2)],
  ['open parentheses', '('.repeat(TEN_MB)],
]

/** A table in every quoting, and its name as it is told. */
const QUOTINGS: readonly (readonly [string, string])[] = [
  ['victim', 'victim'],
  ['VICTIM', 'victim'],
  ['"victim"', 'victim'],
  ['"Victim"', '"Victim"'],
  ['"vic""tim"', '"vic""tim"'],
  ['U&"vic\\0074im"', 'victim'],
  ['U&"vic!0074im" uescape \'!\'', 'victim'],
  ['public.victim', 'public.victim'],
  ['"public"."victim"', 'public.victim'],
  ['public /* */ . -- x\n victim', 'public.victim'],
  ['"víctim"', 'víctim'],
]

const NOT_UTF8 = new Uint8Array([0xff, 0xfe, 0xc3, 0x41, 0xed, 0xa0, 0x80, 0x80, 0xf5, 0xc0, 0xaf])

function statementOf(bytes: Uint8Array): Uint8Array {
  return concat(new TextEncoder().encode('select '), bytes, new TextEncoder().encode(`; ${DROP}`))
}

const asQuery = (sql: Uint8Array): Uint8Array => message('Q', sql, new Uint8Array(1))
const SECRET = 'ann.lee@example.com'
const READ = query('select email from victim')
const ROWS = [says.columns(['email', 25]), says.cells(SECRET), says.complete('SELECT 1')]

describe.each(NAMES)('%s', (name) => {
  let talk: PluginTalk
  let session: Session
  beforeAll(async () => {
    talk = await PluginTalk.start(name, CONFIGS[name])
    fresh()
  })

  function fresh(): void {
    session = makeSession()
    talk.opened(session)
    if (name === 'cache') talk.asked(session, startup({ user: 'alice', database: 'shop' }))
    talk.told(session, says.ready())
  }

  /** A DROP stands in it: this plugin must do what it is there for. */
  function ask(bytes: Uint8Array): void {
    if (name === 'cache') remember()
    const from = talk.scene.lines.length
    const verdict = talk.asked(session, bytes)
    if (name === 'firewall' || name === 'rate-limit') {
      expect(verdict?.kind).toBe('deny')
      return
    }
    expect(verdict?.kind ?? 'continue').toBe('continue')
    talk.forward(session, bytes)
    talk.told(session, says.ready())
    if (name === 'cache') {
      expect(talk.asked(session, READ)?.kind).toBe('continue')
      talk.forward(session, READ)
      talk.told(session, ...ROWS, says.ready())
    }
    if (name === 'mask') {
      talk.asked(session, READ)
      expect(Buffer.from(talk.told(session, ...ROWS, says.ready())).includes(SECRET)).toBe(false)
    }
    if (name !== 'audit') return
    const told = talk.scene.lines.slice(from).map(({ fields }) => JSON.stringify(fields))
    expect(told.filter((line) => line.includes('"DROP"'))).toHaveLength(1)
  }

  /** The cache has rows that a DROP must take from it. */
  function remember(): void {
    // Another client, for whoever has sent what cannot be read is answered by the server alone.
    fresh()
    for (let times = 0; talk.asked(session, READ)?.kind !== 'respond'; times++) {
      if (times === 2) throw new Error('it keeps nothing')
      talk.forward(session, READ)
      talk.told(session, ...ROWS, says.ready())
    }
  }

  function mustBeSound(): void {
    const { state, failures, lastError } = talk.plugin.status()
    expect({ state, failures, lastError }).toEqual({ state: 'ready', failures: 0, lastError: '' })
  }

  test('sees what stands behind what would hide it', () => {
    // The one token that the rate limit has.
    if (name === 'rate-limit') expect(talk.asked(session, query(DROP))?.kind).toBe('continue')
    for (const [, sql] of HIDING) {
      ask(query(sql))
      mustBeSound()
    }
    ask(asQuery(statementOf(concat(new TextEncoder().encode("'"), NOT_UTF8, Buffer.from("'")))))
    ask(asQuery(statementOf(concat(new TextEncoder().encode('"'), NOT_UTF8, Buffer.from('"')))))
    ask(asQuery(statementOf(NOT_UTF8)))
    mustBeSound()
  })

  test('knows a table in every quoting of its name', () => {
    if (name === 'audit') {
      for (const [written, told] of QUOTINGS) {
        ask(query(`drop table ${written}`))
        const [line] = talk.scene.lines.slice(-1)
        expect(line?.['fields']).toMatchObject({ kind: 'DROP', tables: [told] })
      }
    } else for (const [written] of QUOTINGS) ask(query(`drop table ${written}`))
    mustBeSound()
  })

  test('reads 10 MB of anything without a trap', () => {
    for (const [, sql] of LARGE) {
      for (const bytes of [query(sql), parse({ sql })]) {
        if (talk.asked(session, bytes)?.kind === 'continue') talk.forward(session, bytes)
        mustBeSound()
      }
      talk.told(session, says.ready())
    }
    talk.closed(session)
    fresh()
  })

  test('takes every truncation of every message of a client', () => {
    const sql = `select "a" from U&"t" where b = E'x' and c = $1; ${DROP}`
    const all = [
      startup({ user: 'ann', database: 'x', params: { options: '-c a=b' } }),
      query(sql),
      parse({ name: 's', sql, types: [23, 25] }),
      bind({ statement: 's', portal: 'p', values: ['1', null], formats: [0, 1] }),
      describes('statement', 's'),
      execute('p', 5),
      close('portal', 'p'),
      flush(),
      sync(),
      message('F', new Uint8Array(10)),
      copyData('x'),
      copyDone(),
      copyFail('no'),
    ]
    for (const bytes of all) {
      for (let length = 0; length <= bytes.length; length++) {
        const cut = bytes.slice(0, length)
        talk.asked(session, cut)
        talk.forward(session, cut)
        // The same with a length that is true, so that only the body is cut.
        if (length > 5 && bytes[0] !== 0) {
          new DataView(cut.buffer).setInt32(1, length - 1)
          talk.asked(session, cut)
          talk.forward(session, cut)
        }
        talk.told(session, says.ready())
      }
    }
    mustBeSound()
  })

  test('takes every truncation of every message of a server', () => {
    const all = [
      says.columns(['email', 25], ['id', 23, 1]),
      says.cells('ann@example.com', new Uint8Array(4)),
      says.complete('SELECT 1'),
      says.error('42601', 'no'),
      says.parsed(),
      says.bound(),
      says.parameters(),
      says.ready(),
      says.parameter('standard_conforming_strings', 'off'),
      says.copyIn(),
      says.copyOut(),
    ]
    for (const bytes of all) {
      for (let length = 0; length <= bytes.length; length++) {
        const cut = bytes.slice(0, length)
        if (length > 5) new DataView(cut.buffer).setInt32(1, length - 1)
        talk.forward(session, query('select email, id from t'))
        talk.asked(session, query('select email, id from t'))
        talk.told(session, cut)
        talk.told(session, says.ready())
      }
    }
    mustBeSound()
    fresh()
    ask(query(DROP))
  })
})
