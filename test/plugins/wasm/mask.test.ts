/** The mask plugin: what is hidden, how, and for whom. */
import { beforeEach, describe, expect, test } from 'bun:test'
import { makeSession } from '../../fixtures/wasm/kit.ts'
import { messagesIn, PluginTalk, says } from '../../fixtures/wasm/talk.ts'
import { concat, int32 } from '../../kit/frontend.ts'
import {
  bytes,
  type Columns,
  cellShown,
  encoder,
  INT4,
  session,
  shown,
  startMask,
  TEXT,
  talk,
} from './mask-scene.ts'

beforeEach(startMask)

describe('without configuration', () => {
  test('columns of usual names are masked, and nothing else', () => {
    expect(
      shown(
        [
          ['id', INT4],
          ['name', TEXT],
          ['Email', TEXT],
          ['password_hash', TEXT],
          ['phone', TEXT],
          ['note', TEXT],
        ],
        ['7', 'Ann', 'ann.lee@example.com', '$2b$10$abc', '+49 30 1234567', null],
      ),
    ).toEqual(['7', 'Ann', 'a******@example.com', '****', '+** ** *****67', null])
  })

  test('e-mail addresses and card numbers are masked wherever text has them', () => {
    const cases: readonly (readonly [string, string])[] = [
      ['write to bob@example.org, please.', 'write to b**@example.org, please.'],
      ['<a@b.de>;c.d@e.co.uk', '<*@b.de>;c**@e.co.uk'],
      ['"x.y"@z', '"x.y"@z'],
      ['a@b and @c.de and d@', 'a@b and @c.de and d@'],
      ['jürgen@müller.de', 'j******@müller.de'],
      ['4111 1111 1111 1111', '**** **** **** 1111'],
      ['no 17, 5500-0055-5555-5559 ok', 'no 17, ****-****-****-5559 ok'],
      ['order 17 4111111111111111', 'order 17 ************1111'],
      ['4111111111111112', '4111111111111112'],
      ['378282246310005', '***********0005'],
      ['12345678901234567890123456', '12345678901234567890123456'],
      ['2026-11-26 10:11:12.123456', '2026-11-26 10:11:12.123456'],
    ]
    for (const [value, masked] of cases) {
      expect([value, shown([['note', TEXT]], [value])]).toEqual([value, [masked]])
      expect([value, shown([['note', 1043, 1]], [value])]).toEqual([value, [masked]])
    }
  })

  test('JSON stays JSON', () => {
    const value = '{"to":"bob@example.org","card":4111111111111111,"n":[1.5e3]}'
    const [masked] = [shown([['doc', 114]], [value])].flat()
    expect(JSON.parse(String(masked))).toEqual({
      to: 'b**@example.org',
      card: Number('9999999999991111'),
      n: [1500],
    })
    const binary = concat(bytes(1), encoder.encode(value))
    expect(cellShown(['doc', 3802, 1], binary)?.length).toBe(binary.length)
  })

  test('errors and notices are searched too', () => {
    const detail = 'Key (email)=(bob@example.org) already exists.'
    const reply = talk.reply(session, says.error('23505', detail), says.notice(detail))
    expect(new TextDecoder().decode(reply)).not.toContain('bob@')
    expect(messagesIn(reply)).toHaveLength(2)
  })

  test('what is masked is counted', () => {
    shown(
      [
        ['email', TEXT],
        ['note', TEXT],
      ],
      ['a@b.cd', 'x@y.de 4111111111111111'],
    )
    expect(talk.scene.recorded.map(({ labels, value }) => [...labels, value])).toEqual([
      ['email', 1],
      ['card', 1],
      ['personal', 1],
    ])
  })
})

describe('a value of a masked column', () => {
  const start = (fields = {}) =>
    PluginTalk.start('mask', {
      rules: [{ name: 'r', columns: ['secret'], how: 'whole' }],
      ...fields,
    })

  test('of a type that is no text becomes NULL or a zero, in both formats', async () => {
    const zero = await start({ others: 'zero' })
    const uuid = '00000000-0000-0000-0000-000000000000'
    const zeros = (length: number) => new Uint8Array(length)
    const types: readonly (readonly [number, string, string, Uint8Array, Uint8Array])[] = [
      [INT4, '42', '0', int32(42), zeros(4)],
      [20, '42', '0', zeros(8).fill(1), zeros(8)],
      [701, '4.2', '0', zeros(8).fill(1), zeros(8)],
      [16, 't', 'f', bytes(1), bytes(0)],
      [1082, '2020-02-02', '2000-01-01', int32(1), zeros(4)],
      [1184, '2020-02-02 1:1:1+02', '2000-01-01 00:00:00+00', zeros(8).fill(1), zeros(8)],
      [1700, '12.34', '0', zeros(12).fill(1), zeros(8)],
      [2950, 'x', uuid, zeros(16).fill(1), zeros(16)],
      [17, '\\x0102', '\\x', bytes(1, 2), zeros(0)],
      [1007, '{1,2}', '{}', concat(int32(1), int32(0), int32(INT4), int32(2)), zeros(12)],
    ]
    const nulls = await start()
    for (const [type, text, zeroText, binary, zeroBinary] of types) {
      const inText: Columns[number] = ['secret', type]
      const inBinary: Columns[number] = ['secret', type, 1]
      expect(shown([inText], [text], nulls)).toEqual([null])
      expect(cellShown(inBinary, binary, nulls)).toBeNull()
      expect([type, shown([inText], [text], zero)]).toEqual([type, [zeroText]])
      const cell = cellShown(inBinary, binary, zero)
      if (type === 1007) zeroBinary.set(int32(INT4), 8)
      expect([type, Buffer.from(cell ?? [])]).toEqual([type, Buffer.from(zeroBinary)])
      expect(shown([inText], [null], zero)).toEqual([null])
    }
  })

  test('of text becomes the text that was set, whatever its length', async () => {
    const own = await start({ text: 'hidden' })
    for (const value of ['', 'x', 'secret', 'a long secret', 'ä']) {
      const columns: Columns = [
        ['a', TEXT],
        ['secret', TEXT],
        ['b', INT4],
      ]
      expect(shown(columns, ['1', value, '2'], own)).toEqual(['1', 'hidden', '2'])
    }
  })

  test('of JSON becomes a string of JSON, and of jsonb its binary form', async () => {
    const own = await start()
    expect(shown([['secret', 114]], ['{}'], own)).toEqual(['"****"'])
    expect(cellShown(['secret', 3802, 1], bytes(1, 0x7b, 0x7d), own)).toEqual(
      concat(bytes(1), encoder.encode('"****"')),
    )
  })

  test('of a type made by users becomes NULL, or text where that is asked for', async () => {
    const citext: Columns = [['secret', 16_500]]
    expect(shown(citext, ['x'], await start())).toEqual([null])
    expect(shown(citext, ['x'], await start({ userTypes: 'text' }))).toEqual(['****'])
  })

  test('masked partly leaves a letter, or the end of a number', async () => {
    const own = await PluginTalk.start('mask', { rules: [{ name: 'r', columns: ['s*'] }] })
    const cases: readonly (readonly [string, string])[] = [
      ['Ann', '***'],
      ['Annabel', 'A******'],
      ['Äpfel und', `Ä${'*'.repeat(8)}`],
      ['DE89 3704 0044 0532 0130 00', '**** **** **** **** **30 00'],
      ['123-45-6789', '***-**-**89'],
      ['', ''],
    ]
    for (const [value, masked] of cases)
      expect(shown([['s', TEXT]], [value], own)).toEqual([masked])
  })
})

describe('rules', () => {
  test('are for the users that they name, and not for those excepted', async () => {
    const own = await PluginTalk.start('mask', {
      rules: [
        { name: 'a', columns: ['x'], how: 'null', users: ['app_*'], exceptUsers: ['app_root'] },
        { name: 'b', columns: ['y'], how: 'whole' },
      ],
      exceptUsers: ['dba'],
    })
    const columns: Columns = [
      ['x', TEXT],
      ['y', TEXT],
      ['z', TEXT],
    ]
    const of = (user: string): unknown =>
      shown(columns, ['1', '2', 'a@b.cd'], own, makeSession({ user }))
    expect(of('app_1')).toEqual([null, '****', 'a@b.cd'])
    expect(of('app_root')).toEqual(['1', '****', 'a@b.cd'])
    expect(of('bob')).toEqual(['1', '****', 'a@b.cd'])
    expect(of('dba')).toEqual(['1', '2', 'a@b.cd'])
  })

  test('may look for telephone numbers, for which dates and hosts are not taken', async () => {
    const own = await PluginTalk.start('mask', {
      rules: [{ name: 'r', values: ['phone', 'email'], how: 'whole' }],
    })
    const is = (value: string): unknown => [shown([['t', TEXT]], [value], own)].flat()[0]
    expect(is('+49 (30) 123-4567')).toBe('+** (**) ***-****')
    expect(is('030/1234567')).toBe('***/*******')
    expect(is('mail a@b.cd!')).toBe('mail ******!')
    for (const value of ['2026-11-26', '10.0.200.101', '12345678', '12345678.5', '1234567']) {
      expect(is(value)).toBe(value)
    }
  })
})
