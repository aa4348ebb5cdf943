/** Known ways around a firewall, each of which is one no more; and texts made to break it. */
import { beforeAll, describe, expect, test } from 'bun:test'
import { makeSession, message, query } from '../../fixtures/wasm/kit.ts'
import { type Firewall, startFirewall } from './firewall-scene.ts'
import { EVASIONS, READING } from './firewall-statements.ts'

describe('a read-only gateway', () => {
  let firewall: Firewall
  beforeAll(async () => {
    firewall = await startFirewall({ readOnly: true, writingFunctions: ['book_order'] })
  })

  for (const sql of EVASIONS) {
    test(`refuses ${JSON.stringify(sql.slice(0, 60))}`, () => {
      expect(firewall.query(sql)).toMatch(/^(25006 read-only|42601 unreadable)$/)
      expect(firewall.parse(sql, 'delete')).toMatch(/^(25006 read-only|42601 unreadable)$/)
    })
  }
  for (const sql of READING) {
    test(`lets pass ${JSON.stringify(sql.slice(0, 60))}`, () => {
      expect(firewall.query(sql)).toBe('pass')
      expect(firewall.parse(sql)).toBe('pass')
    })
  }

  test('refuses functions that its operator names, and all by number', () => {
    expect(firewall.query('select shop.book_order(1)')).toBe('25006 read-only')
    expect(firewall.send(message('F', new Uint8Array(10)))).toBe('25006 read-only')
  })

  test('refuses a session that begins by asking to write', () => {
    const startup = (...pairs: string[]): Uint8Array => {
      const body = new TextEncoder().encode(`${pairs.join('\0')}\0\0`)
      const bytes = new Uint8Array(8 + body.length)
      new DataView(bytes.buffer).setUint32(0, bytes.length)
      new DataView(bytes.buffer).setUint32(4, 196608)
      bytes.set(body, 8)
      return bytes
    }
    expect(firewall.send(startup('user', 'a', 'database', 'b'))).toBe('pass')
    const options = '-c default-transaction-READ-only=off'
    expect(firewall.send(startup('user', 'a', 'options', options))).toBe('25006 read-only')
    expect(firewall.send(startup('default_transaction_read_only', 'off'))).toBe('25006 read-only')
    expect(firewall.send(startup('default_transaction_read_only', 'on'))).toBe('pass')
  })
})

describe('how a session reads texts', () => {
  const HIDDEN = "select '\\'; delete from t; --'"
  const HIDDEN_OTHERWISE = "select '\\'' ; delete from t; --'"

  test('is what the server has told', async () => {
    const firewall = await startFirewall({ readOnly: true })
    const session = makeSession()
    expect(firewall.query(HIDDEN, session)).toBe('25006 read-only')
    expect(firewall.query("select 'C:\\'", session)).toBe('pass')
    firewall.status('standard_conforming_strings', 'off', session)
    expect(firewall.query(HIDDEN, session)).toBe('pass')
    expect(firewall.query(HIDDEN_OTHERWISE, session)).toBe('25006 read-only')
    firewall.status('standard_conforming_strings', 'on', session)
    expect(firewall.query(HIDDEN, session)).toBe('25006 read-only')
  })

  test('is both ways where a client is ahead of the server', async () => {
    for (const ahead of [
      'set standard_conforming_strings = off',
      'SET SESSION "standard_conforming_strings" TO off',
    ]) {
      const firewall = await startFirewall({ readOnly: true })
      const session = makeSession()
      expect(firewall.query(HIDDEN_OTHERWISE, session)).toBe('pass')
      expect(firewall.query("select '\\' , 1 --'", session)).toBe('pass')
      expect(firewall.query(ahead, session)).toBe('pass')
      expect(firewall.query(HIDDEN, session)).toBe('25006 read-only')
      expect(firewall.query(HIDDEN_OTHERWISE, session)).not.toBe('pass')
    }
  })

  test('is doubted where a letter may hide a backslash', async () => {
    const firewall = await startFirewall({ readOnly: true })
    const session = makeSession()
    const text = new Uint8Array([
      ...new TextEncoder().encode("select E'"),
      0x95,
      0x5c,
      0x27,
      0x27,
      0,
    ])
    expect(firewall.send(message('Q', text), session)).toBe('pass')
    firewall.status('client_encoding', 'SJIS', session)
    expect(firewall.send(message('Q', text), session)).toBe('42601 unreadable')
    expect(firewall.query("select 'x'", session)).toBe('pass')
  })
})

describe('hostile messages', () => {
  let firewall: Firewall
  beforeAll(async () => {
    firewall = await startFirewall({ readOnly: true, learn: false })
  })

  test('behind a zero byte nothing is hidden', () => {
    expect(firewall.query('select 1\0; delete from t')).toBe('08P01 unreadable')
    expect(firewall.send(message('P', 'x\0select 1\0delete from t'))).toBe('08P01 unreadable')
  })

  test('cut anywhere are refused or mean what is left of them', () => {
    const whole = message('P', 'n\0delete from t where a = 1\0\0\0')
    for (let length = 1; length < whole.length; length++) {
      expect(firewall.send(whole.slice(0, length))).toBe('08P01 unreadable')
      const cut = whole.slice(5, length)
      expect(firewall.send(message('P', cut))).toBe('08P01 unreadable')
      expect(firewall.send(message('Q', cut))).not.toBe('pass')
    }
  })

  test('of any bytes end in a verdict', () => {
    let seed = 7
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
      return (seed >>> 8) % below
    }
    const pieces = [
      "'",
      '"',
      '$$',
      '$a$',
      '/*',
      '*/',
      '--',
      '\n',
      '\\',
      "E'",
      "U&'",
      'U&"',
      ';',
      '(',
      ')',
    ]
    const words = [
      'select',
      'delete from t',
      'or',
      '1=1',
      'union',
      'uescape',
      ',',
      '.',
      '@',
      ' ',
      'x',
    ]
    const all = [...pieces, ...words]
    for (let round = 0; round < 3000; round++) {
      let text = ''
      for (let at = random(40); at > 0; at--) text += all[random(all.length)] ?? ''
      expect(firewall.query(text)).toMatch(/^(pass|25006 read-only|42601 unreadable)$/)
      const bytes = Uint8Array.from({ length: random(60) }, () => random(256))
      firewall.send(message(random(2) === 0 ? 'Q' : 'P', bytes))
    }
  })

  test('longer than it reads are refused where anything would be, else told', async () => {
    const long = query(`select '${'x'.repeat(2_000_000)}'`)
    expect(firewall.send(long)).toBe('54000 statement-too-long')
    const open = await startFirewall()
    expect(open.send(long)).toBe('pass')
    expect(open.observed()).toEqual(['statement-too-long'])
  })

  test('of 10 MB are read where the operator wants it, in time by their length', async () => {
    const statementBytesMax = 16 * 2 ** 20
    const rules = [{ name: 'star', action: 'deny', patterns: ['*a*a*a*a*b*'] }]
    const wide = await startFirewall({ readOnly: true, statementBytesMax, rules })
    const size = 10_000_000
    const startedAt = performance.now()
    expect(wide.query(`select '${'x'.repeat(size)}'`)).toBe('pass')
    expect(wide.query(`select '${'x'.repeat(size)}'; delete from t`)).toBe('25006 read-only')
    expect(wide.query(`${'/*'.repeat(size / 4)}${'*/'.repeat(size / 4)}select 1`)).toBe('pass')
    // A normal form that is too long for patterns is what any of them may mean.
    expect(wide.query(`select ${'xyz, '.repeat(size / 5)} 1`)).toBe('42501 star')
    expect(wide.query(`select ${'('.repeat(size / 2)}`)).not.toBe('pass')
    // Seconds at the most; in square time it would be hours.
    expect(performance.now() - startedAt).toBeLessThan(30_000)
  }, 60_000)

  test('take no more memory however many there are', () => {
    for (let at = 0; at < 20_000; at++)
      firewall.query(`select a${at % 100} from t where b = '${at}'`)
    expect(firewall.query('select 1')).toBe('pass')
  })
})
