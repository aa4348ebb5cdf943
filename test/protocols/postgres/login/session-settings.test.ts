import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import {
  literal,
  SETTINGS_MAX,
  settingsFor,
} from '../../../../src/protocols/postgres/login/session-settings.ts'
import {
  type Parameter,
  readStartup,
} from '../../../../src/protocols/postgres/login/startup-parameters.ts'
import { cstring, PROTOCOL_3_0, startup, untyped } from '../../../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../../../kit/postgres.ts'
import { type Dialled, dial, loginOf } from './dial.ts'

setDefaultTimeout(30_000)

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(async () => {
  await server.stop()
})

const connect = (parameters: readonly Parameter[] = []): Promise<Dialled> =>
  dial({ port: server.port }, loginOf(server.user, '', { parameters }))

/** The SQL for the parameters on a connection that reported nothing. */
function sqlOf(parameters: readonly Parameter[], reported = new Map<string, string>()) {
  const step = settingsFor(parameters, reported)
  if (step.kind === 'refused') throw new Error(`${step.refused.code}: ${step.refused.message}`)
  return step.sql
}

describe('settings', () => {
  test('leave out what names the session, and what is so already', () => {
    const parameters: Parameter[] = [
      ['user', 'ann'],
      ['database', 'db'],
      ['replication', 'off'],
      ['_pq_.x', '1'],
      ['options', ''],
      ['client_encoding', 'utf-8'],
      ['TIMEZONE', 'UTC'],
    ]
    const reported = new Map([
      ['client_encoding', 'UTF8'],
      ['TimeZone', 'UTC'],
    ])
    expect(sqlOf(parameters, reported)).toBeNull()
    expect(sqlOf([['TimeZone', 'Asia/Tokyo']], reported)).toBe("SET TimeZone TO E'Asia/Tokyo'")
  })

  test('are one a name: the later wins, and options lose against a parameter', () => {
    const parameters: Parameter[] = [
      ['work_mem', '1MB'],
      ['options', '-c Work_Mem=9MB -c a.b=1'],
      ['WORK_MEM', '2MB'],
    ]
    expect(sqlOf(parameters)).toBe(
      "SELECT pg_catalog.set_config(E'a.b', E'1', false) IS NULL, " +
        "pg_catalog.set_config(E'WORK_MEM', E'2MB', false) IS NULL",
    )
  })

  test('of names that no setting has are refused, whatever the bytes', () => {
    const names = ['', 'a b', "a'b", 'a"b', 'a;b', '1a', 'a.', '.a', 'a..b', 'é', 'a\n', 'a\0']
    for (const name of names) {
      expect(() => sqlOf([[name, 'x']])).toThrow('42704: unrecognized configuration parameter')
    }
    expect(() => sqlOf([['a', 'b\0c']])).toThrow('22021')
    expect(() => sqlOf([['options', '-x']])).toThrow('is not supported; use -c name=value')
  })

  test('for replication are refused, and too many as well', () => {
    for (const value of ['true', 'database', '1', 'on', '']) {
      expect(() => sqlOf([['replication', value]])).toThrow('0A000: replication connections')
    }
    const many = (count: number) =>
      Array.from({ length: count }, (_, index): Parameter => [`a.b${index}`, ''])
    expect(sqlOf(many(SETTINGS_MAX))).toContain('a.b199')
    expect(() => sqlOf(many(SETTINGS_MAX + 1))).toThrow('54000')
  })

  test('on a connection of a pool are what they are on a connection of its own', async () => {
    const parameters: Parameter[] = [
      ['application_name', 'shop'],
      ['search_path', 'a, "B c", pg_catalog'],
      ['DateStyle', 'German'],
      ['extra_float_digits', '2'],
      ['client_encoding', "'LATIN1'"],
      ['options', '-c statement_timeout=5min --lock-timeout=3s -c TimeZone=Asia/Tokyo'],
      ['default_transaction_isolation', 'serializable'],
      ['session_replication_role', 'replica'],
    ]
    const names = ['application_name', 'search_path', 'DateStyle', 'extra_float_digits']
    names.push('client_encoding', 'statement_timeout', 'lock_timeout', 'TimeZone')
    names.push('default_transaction_isolation', 'session_replication_role')
    const shown = `select ${names.map((name) => `current_setting('${name}')`).join(', ')}`
    using own = await connect(parameters)
    using pooled = await connect()
    const before = await pooled.row(shown)
    await pooled.query(sqlOf(parameters, new Map(pooled.login.parameters))!)
    const after = await pooled.row(shown)
    expect(after).toEqual(await own.row(shown))
    expect(after[1]).toBe('a, "B c", pg_catalog')
    await pooled.query('discard all')
    expect(await pooled.row(shown)).toEqual(before)
  })

  test('that the server does not take fail in its own words, and none is set', async () => {
    using pooled = await connect()
    const bad: [Parameter, string][] = [
      [['work_mem', 'much'], '22023'],
      [['nonsense', '1'], '42704'],
      [['shared_buffers', '1MB'], '55P02'],
    ]
    for (const [setting, code] of bad) {
      await expect(pooled.row(sqlOf([['lock_timeout', '7s'], setting])!)).rejects.toThrow(code)
      expect(await pooled.row('show lock_timeout')).toEqual(['0'])
    }
  })
})

test('whatever bytes a startup packet has, only calls with literals come of it', () => {
  const params = { 'a.b': "'\\", TimeZone: "a'\\", options: '-c c.d=e\\ f --g-h=i' }
  const whole = startup({ user: 'ann', params })
  const quoted = String.raw`E'(?:[^'\\]|''|\\\\|\\U[0-9a-f]{8})*'`
  const call = String.raw`pg_catalog\.set_config\(${quoted}, ${quoted}, false\) IS NULL`
  const set = `SET [a-zA-Z_]+ TO ${quoted}`
  const safe = new RegExp(`^(?:${set}(?:; ${set})*(?:; |$))?(?:SELECT ${call}(?:, ${call})*)?$`)
  let applied = 0
  const look = (packet: Uint8Array): void => {
    const read = readStartup(packet)
    if (read.kind === 'malformed') return
    const step = settingsFor(read.parameters, new Map())
    if (step.kind === 'refused' || step.sql === null) return
    expect(step.sql).toMatch(safe)
    applied += 1
  }
  look(whole)
  expect(applied).toBe(1)
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const flipped = Uint8Array.from(whole)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    look(flipped)
    look(whole.subarray(0, bit >> 3))
  }
  const alphabet = 'ab.-c= \'"\\;$(),\0é'
  for (let count = 0; count < 10_000; count++) {
    const at = (): number => Math.floor(Math.random() * alphabet.length)
    const text = Array.from({ length: 1 + (count % 30) }, () => alphabet[at()]).join('')
    look(untyped(PROTOCOL_3_0, cstring(`options\0-c a.b=${text}`), new Uint8Array(1)))
    look(untyped(PROTOCOL_3_0, cstring(`a.b\0${text}`), new Uint8Array(1)))
  }
  expect(applied).toBeGreaterThan(1000)
})

describe('a literal', () => {
  const VALUES = [
    "'; drop table x; --",
    "\\'; select 1; --",
    '\\',
    "\\\\'",
    "''",
    '$$',
    'a\nb\tc\u0001\u007f',
    'é€😀',
    '\u8868\u304e', // in SJIS the last byte of the first is a backslash
    '\ufffd',
    "E'\\x27",
    '%s',
    '\ud800',
  ]

  test('is ASCII alone, and has no quote that could end it', () => {
    for (const value of VALUES) {
      expect(literal(value)).toMatch(/^E'(?:[\x20-\x26\x28-\x5b\x5d-\x7e]|''|\\[\\U])*'$/)
    }
  })

  test('is read back as it was, in every encoding and with every way of quoting', async () => {
    const random = Array.from({ length: 60 }, () => {
      const alphabet = '\'\\"$;-x\u00e9\u20ac\u8868\n'
      const at = () => Math.floor(Math.random() * alphabet.length)
      return Array.from({ length: 12 }, () => alphabet[at()]).join('')
    })
    const values = [...VALUES, ...random]
    const parameters = values.map((value, index): Parameter => [`postern.v${index}`, value])
    const columns = values.map(
      (_, index) => `encode(convert_to(current_setting('postern.v${index}'), 'UTF8'), 'hex')`,
    )
    const expected = values.map((value) => Buffer.from(value.toWellFormed()).toString('hex'))
    for (const encoding of ['UTF8', 'SJIS', 'GBK', 'BIG5', 'LATIN1']) {
      for (const conforming of ['on', 'off']) {
        using pooled = await connect([
          ['client_encoding', encoding],
          ['standard_conforming_strings', conforming],
          ['backslash_quote', conforming],
          ['escape_string_warning', 'off'],
        ])
        const applied = await pooled.query(sqlOf(parameters)!)
        const errors = applied.flatMap((reply) =>
          reply.name === 'ErrorResponse' ? [reply.message] : [],
        )
        expect(errors).toEqual([])
        expect(await pooled.row(`select ${columns.join(', ')}`)).toEqual(expected)
      }
    }
  })
})
