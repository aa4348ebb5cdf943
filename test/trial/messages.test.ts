/** Messages as test files write them: what they become, how they are shown, what is refused. */
import { describe, expect, test } from 'bun:test'
import { Flaw, type Readable } from '../../src/trial/bytes.ts'
import { messagesOf, readableMessages, type Side } from '../../src/trial/messages.ts'

function bytesOf(written: Readable, side: Side): Uint8Array {
  return new Uint8Array(Buffer.concat(messagesOf(written, side)))
}

/** Written, sent and shown; where it is shown otherwise, that stands behind it. */
const fromClient: readonly (readonly [Readable, Readable?])[] = [
  ['Sync'],
  ['Flush'],
  ['Terminate'],
  ['SSLRequest'],
  [{ Query: 'select 1' }],
  [{ Query: 'sélect' }],
  [{ Parse: 'select 1' }, { Parse: { name: '', query: 'select 1', types: [] } }],
  [{ Parse: { name: 's', query: 'select $1', types: ['int4', '99999'] } }],
  [
    { Bind: {} },
    { Bind: { portal: '', statement: '', formats: [], values: [], resultFormats: [] } },
  ],
  [
    {
      Bind: {
        portal: 'p',
        statement: 's',
        formats: ['text', 'binary'],
        values: ['a', null, { hex: '00ff' }],
        resultFormats: ['binary'],
      },
    },
  ],
  [{ Describe: { statement: 's' } }],
  [{ Close: { portal: '' } }],
  [{ Execute: '' }, { Execute: { portal: '', rows: '0' } }],
  [{ CopyData: 'a\tb\n' }],
  [{ CopyData: { hex: '00' } }],
  [{ CopyFail: 'no' }],
  [{ StartupMessage: { user: 'ann', database: 'shop' } }],
  [{ CancelRequest: { process: '7', secret: '-1' } }],
  [{ FunctionCall: { hex: '0001' } }, { FunctionCall: { hex: '0001' } }],
]

const fromServer: readonly (readonly [Readable, Readable?])[] = [
  ['AuthenticationOk'],
  ['ParseComplete'],
  [{ ReadyForQuery: 'T' }],
  [{ DataRow: ['a', null, ''] }],
  [{ CommandComplete: 'SELECT 1' }],
  [{ ParameterStatus: { name: 'server_version', value: '18' } }],
  [{ BackendKeyData: { process: '1', secret: '2' } }],
  [{ ParameterDescription: ['int4', 'text'] }],
  [{ NotificationResponse: { process: '1', channel: 'c', payload: 'p' } }],
  [{ CopyInResponse: { format: 'text', columns: ['text', 'binary'] } }],
  [
    { ErrorResponse: { code: '42501', message: 'no', hint: 'ask' } },
    { ErrorResponse: { severity: 'ERROR', code: '42501', message: 'no', hint: 'ask' } },
  ],
  [
    { RowDescription: ['id'] },
    {
      RowDescription: [
        {
          name: 'id',
          table: '0',
          column: '0',
          type: 'text',
          size: '-1',
          modifier: '-1',
          format: 'text',
        },
      ],
    },
  ],
]

describe('a message', () => {
  for (const [side, all] of [
    ['client', fromClient],
    ['server', fromServer],
  ] as const) {
    test.each(all.map((one) => [JSON.stringify(one[0]), one] as const))(
      `of a ${side} is sent and shown: %s`,
      (_title, [written, shown]) => {
        expect(readableMessages(bytesOf(written, side), side)).toEqual([shown ?? written])
      },
    )
  }

  test('is on the wire what PostgreSQL says', () => {
    expect(bytesOf({ Query: 'a' }, 'client')).toEqual(Uint8Array.of(0x51, 0, 0, 0, 6, 0x61, 0))
    expect(bytesOf({ DataRow: [null] }, 'server')).toEqual(
      Uint8Array.of(0x44, 0, 0, 0, 10, 0, 1, 255, 255, 255, 255),
    )
  })

  test('may be any bytes', () => {
    expect(bytesOf([{ hex: '51 00' }, { base64: 'AP8=' }, { text: 'x' }], 'client')).toEqual(
      Uint8Array.of(0x51, 0, 0, 255, 0x78),
    )
  })

  test('that is cut or unknown is shown as bytes behind those before it', () => {
    const bytes = Buffer.concat([bytesOf('Sync', 'client'), Uint8Array.of(0x51, 0, 0, 1)])
    expect(readableMessages(bytes, 'client')).toEqual(['Sync', { hex: '51000001' }])
    const short = bytesOf({ ReadyForQuery: { hex: '' } }, 'server')
    expect(readableMessages(short, 'server')).toEqual([{ ReadyForQuery: { hex: '' } }])
  })

  test('at every truncation is shown, and never throws', () => {
    const bytes = bytesOf([...fromServer.map(([written]) => written)], 'server')
    for (let length = 0; length <= bytes.length; length++) {
      for (const side of ['client', 'server'] as const) {
        readableMessages(bytes.subarray(0, length), side)
      }
    }
  })
})

const refused: readonly (readonly [Readable, Side, string, readonly string[]])[] = [
  ['Snyc', 'client', 'must be a message of a client (did you mean "Sync"?)', []],
  [{ DataRow: [] }, 'client', 'has "DataRow", which is no message of a client', []],
  [{ Query: 'a', Sync: null }, 'client', 'must be a message such as', []],
  [['Sync', { Query: null }], 'client', 'must be text, or bytes', ['1', 'Query']],
  [{ Parse: { qurey: 'a' } }, 'client', 'has no key "qurey" (did you mean "query"?)', ['Parse']],
  [{ Bind: { values: 'a' } }, 'client', 'must be a list', ['Bind', 'values']],
  [{ Execute: { rows: 'many' } }, 'client', 'whole number of 32 bits', ['Execute', 'rows']],
  [{ Query: { hex: '0' } }, 'client', 'must be pairs of hexadecimal digits', ['Query', 'hex']],
  [{ ReadyForQuery: 'X' }, 'server', 'must be one of I, T, E', ['ReadyForQuery']],
  [{ ErrorResponse: { code: '42' } }, 'server', 'must be a SQLSTATE', ['ErrorResponse', 'code']],
  [
    { RowDescription: [{ name: 'a', type: 'int5' }] },
    'server',
    '(did you mean "int8"?)',
    ['RowDescription', '0', 'type'],
  ],
]

test.each(refused)('%j of a %s is refused: %s', (written, side, sentence, path) => {
  try {
    messagesOf(written, side)
    expect.unreachable()
  } catch (thrown) {
    if (!(thrown instanceof Flaw)) throw thrown
    expect(thrown.message).toContain(sentence)
    expect(thrown.path).toEqual([...path])
  }
})
