/** What refusing or answering a message takes, in every state of a session. */
import { describe, expect, test } from 'bun:test'
import {
  bind,
  copyData,
  copyDone,
  describe as describing,
  execute,
  extendedQuery,
  flush,
  message,
  parse,
  query,
  sync,
} from '../../kit/frontend.ts'
import { DENIAL, type Decision, Stage, server } from './stage.ts'

const NO = 'deny me'
const ANSWER = 'answer me'

function says(unit: Uint8Array, word: string): boolean {
  return Buffer.from(unit).includes(word)
}

/** A stage where messages that say NO are refused. */
function refusing(clientCut: 'message' | 'batch' = 'message'): Stage {
  return Stage.loggedIn({
    clientCut,
    fromClient: (unit) => (says(unit, NO) ? { deny: DENIAL } : 'forward'),
  })
}

/** A stage where messages that say ANSWER are answered with these bytes. */
function answering(respond: Uint8Array, clientCut: 'message' | 'batch' = 'message'): Stage {
  return Stage.loggedIn({
    clientCut,
    fromClient: (unit): Decision => (says(unit, ANSWER) ? { respond } : 'forward'),
  })
}

/** What the server says to the message that fails in the place of a refused one. */
function failureOf(sent: Uint8Array): Uint8Array {
  const marker = /postern_denied_[0-9a-f]{16}/.exec(Buffer.from(sent).toString('latin1'))?.[0]
  if (marker === undefined) throw new Error('the server has read no message that fails')
  return server.error('42601', `syntax error at or near "${marker}"`)
}

describe('a refused message, with nothing owed', () => {
  test('is answered at once: Query and FunctionCall with ReadyForQuery', () => {
    for (const refused of [query(NO), message('F', new TextEncoder().encode(NO))]) {
      const stage = refusing()
      stage.client(refused)
      expect(stage.clientReadShort()).toEqual(['ErrorResponse 42501', 'ReadyForQuery I'])
      expect(stage.serverReadTypes()).toBe('')
    }
  })

  test('of the extended protocol takes all up to Sync with it, and no further', () => {
    const stage = refusing()
    stage.client(extendedQuery(NO), query('select 2'))
    expect(stage.clientReadShort()).toEqual(['ErrorResponse 42501', 'ReadyForQuery I'])
    expect(stage.serverReadTypes()).toBe('Q')
  })

  test('swallows to a Sync that comes later, in pieces, without telling the server', () => {
    const stage = refusing()
    stage.client(parse({ sql: NO }))
    const rest = Buffer.concat([bind(), flush(), query('select 1'), sync()])
    for (const byte of rest) stage.client(new Uint8Array([byte]))
    expect(stage.clientReadShort()).toEqual(['ErrorResponse 42501', 'ReadyForQuery I'])
    expect(stage.serverReadTypes()).toBe('')
    stage.client(query('select 2'))
    expect(stage.serverReadTypes()).toBe('Q')
  })

  test('refused as a batch with its Sync is one refusal', () => {
    const stage = refusing('batch')
    stage.client(extendedQuery(NO), query(NO))
    expect(stage.clientReadShort()).toEqual([
      'ErrorResponse 42501',
      'ReadyForQuery I',
      'ErrorResponse 42501',
      'ReadyForQuery I',
    ])
  })
})

describe('a refused message, with replies owed', () => {
  test('is replaced by one that fails, and its error rewritten where it stands', () => {
    const stage = refusing()
    stage.client(query('select 1'), query(NO), query('select 3'))
    const sent = stage.serverRead()
    expect(says(sent, NO)).toBe(false)
    stage.server(server.complete('SELECT 1'), server.ready())
    stage.server(failureOf(sent), server.ready('E'))
    stage.server(server.complete('SELECT 3'), server.ready())
    expect(stage.clientReadShort()).toEqual([
      'CommandComplete SELECT 1',
      'ReadyForQuery I',
      'ErrorResponse 42501',
      'ReadyForQuery E',
      'CommandComplete SELECT 3',
      'ReadyForQuery I',
    ])
  })

  test('is rewritten though the error comes in pieces, and others are left as they are', () => {
    const stage = refusing()
    stage.client(query('select 1/0'), query(NO))
    const failure = failureOf(stage.serverRead())
    stage.server(server.error('22012', 'division by zero'), server.ready())
    for (const byte of failure) stage.server(new Uint8Array([byte]))
    stage.server(server.ready())
    expect(stage.clientReadShort()).toEqual([
      'ErrorResponse 22012',
      'ReadyForQuery I',
      'ErrorResponse 42501',
      'ReadyForQuery I',
    ])
  })

  test('in a transaction reaches the server, so that the transaction fails there', () => {
    const stage = refusing()
    stage.client(query('begin'))
    stage.server(server.complete('BEGIN'), server.ready('T'))
    stage.clientRead()
    stage.serverRead()
    stage.client(query(NO))
    const sent = stage.serverRead()
    expect(Buffer.from(sent).toString('latin1', 0, 1)).toBe('Q')
    stage.server(failureOf(sent), server.ready('E'))
    expect(stage.clientReadShort()).toEqual(['ErrorResponse 42501', 'ReadyForQuery E'])
  })

  test('of a pipeline fails as a Parse, and the rest up to Sync is not sent', () => {
    const stage = refusing()
    stage.client(parse({ sql: 'select 1' }), bind(), parse({ sql: NO }), bind(), execute(), sync())
    const sent = stage.serverRead()
    stage.server(server.parsed(), server.bound(), failureOf(sent), server.ready())
    expect(stage.clientReadShort()).toEqual([
      'ParseComplete',
      'BindComplete',
      'ErrorResponse 42501',
      'ReadyForQuery I',
    ])
  })

  test('that is a Sync fails, and is synchronised all the same', () => {
    const stage = Stage.loggedIn({
      fromClient: (unit) => (unit[0] === 0x53 ? { deny: DENIAL } : 'forward'),
    })
    stage.client(parse({ sql: 'select 1' }), sync())
    expect(stage.serverReadTypes()).toBe('PfPS')
  })

  test('of copied data fails the copy', () => {
    const stage = refusing()
    stage.client(query('copy t from stdin'))
    stage.server(server.copyIn())
    stage.serverRead()
    stage.client(copyData('1\n'), copyData(NO))
    const sent = stage.serverRead()
    expect(sent[sent.length - 1]).toBe(0)
    stage.client(copyData('2\n'), copyDone())
    stage.server(failureOf(sent), server.ready())
    expect(stage.clientReadShort()).toEqual([
      'CopyInResponse',
      'ErrorResponse 42501',
      'ReadyForQuery I',
    ])
  })

  test('that is polite to a copy ends the copy: a Flush or a Sync', () => {
    for (const [type, asked] of [
      ['H', query('copy t from stdin')],
      ['S', extendedQuery('copy t from stdin').slice(0, -5)],
    ] as const) {
      const stage = Stage.loggedIn({
        fromClient: (unit) =>
          String.fromCharCode(unit[0]!) === type ? { deny: DENIAL } : 'forward',
      })
      stage.client(asked)
      if (type === 'S') stage.server(server.parsed(), server.bound(), server.noColumns())
      stage.server(server.copyIn())
      stage.serverRead()
      stage.client(type === 'H' ? flush() : sync())
      expect(stage.serverReadTypes()).toBe('f')
    }
  })

  test('that the server skips leaves nothing behind, however often', () => {
    const stage = refusing()
    for (let round = 0; round < 50; round++) {
      stage.client(parse({ sql: 'bad' }), parse({ sql: NO }), sync(), query('select 1'))
      stage.server(server.error('42601', 'bad'), server.ready())
      stage.server(server.complete('SELECT 1'), server.ready())
    }
    const answers = stage.clientReadShort()
    expect(answers.filter((answer) => answer === 'ErrorResponse 42501')).toEqual([])
    expect(answers).toHaveLength(200)
    expect(stage.conversation.idle).toBe(true)
    // An error is looked at, and so held back until it is whole, only while a refusal is owed one.
    const error = server.error('42601', 'bad')
    stage.client(query('bad'), query('bad'))
    stage.server(error.slice(0, 9))
    expect(stage.clientReadRaw()).toEqual(error.slice(0, 9))
  })
})

describe('an answered message', () => {
  const rows = Buffer.concat([server.columns(), server.row('7'), server.complete('SELECT 1')])

  test('gets the true status, added where it is missing and corrected where it lies', () => {
    for (const answer of [rows, Buffer.concat([rows, server.ready('E')])]) {
      const stage = answering(answer)
      stage.client(query(ANSWER))
      expect(stage.clientReadShort().slice(-2)).toEqual([
        'CommandComplete SELECT 1',
        'ReadyForQuery I',
      ])
      expect(stage.serverReadTypes()).toBe('')
    }
  })

  test('is answered behind the replies owed, with the status of its place', () => {
    const stage = answering(server.empty())
    stage.client(query('begin'), query(ANSWER), query('commit'))
    expect(stage.clientReadShort()).toEqual([])
    stage.server(server.complete('BEGIN'), server.ready('T'))
    stage.server(server.complete('COMMIT'), server.ready())
    expect(stage.clientReadShort()).toEqual([
      'CommandComplete BEGIN',
      'ReadyForQuery T',
      'EmptyQueryResponse',
      'ReadyForQuery T',
      'CommandComplete COMMIT',
      'ReadyForQuery I',
    ])
  })

  test('keeps its place though another is answered while ReadyForQuery comes in pieces', () => {
    for (const fromServer of [undefined, () => 'forward' as const]) {
      const stage = Stage.loggedIn({
        fromClient: (unit): Decision =>
          says(unit, ANSWER)
            ? { respond: server.complete(says(unit, 'second') ? 'second' : 'first') }
            : 'forward',
        ...(fromServer === undefined ? {} : { fromServer }),
      })
      stage.client(query('begin'), query(`${ANSWER} first`))
      const ready = server.ready('T')
      stage.server(server.complete('BEGIN'), ready.slice(0, 5))
      stage.client(query(`${ANSWER} second`))
      stage.server(ready.slice(5))
      expect(stage.clientReadShort()).toEqual([
        'CommandComplete BEGIN',
        'ReadyForQuery T',
        'CommandComplete first',
        'ReadyForQuery T',
        'CommandComplete second',
        'ReadyForQuery T',
      ])
    }
  })

  test('of the extended protocol is answered in its place, without ReadyForQuery', () => {
    const stage = answering(server.parsed())
    stage.client(parse({ sql: ANSWER }), describing('statement'), sync())
    expect(stage.serverReadTypes()).toBe('DS')
    expect(stage.clientReadShort()).toEqual(['ParseComplete'])
  })

  test('with an error swallows through the next Sync, and nothing was sent', () => {
    const error = server.error('42501', 'no')
    for (const answer of [error, Buffer.concat([error, server.ready()])]) {
      const stage = answering(answer)
      stage.client(extendedQuery(ANSWER), query('select 1'))
      expect(stage.clientReadShort()).toEqual(['ErrorResponse 42501', 'ReadyForQuery I'])
      expect(stage.serverReadTypes()).toBe('Q')
    }
  })

  test('with an error in a pipeline keeps what went before from being committed', () => {
    const stage = answering(server.error('42501', 'no'))
    stage.client(parse({ sql: 'delete' }), bind(), execute(), parse({ sql: ANSWER }), sync())
    const sent = stage.serverRead()
    stage.server(server.parsed(), server.bound(), server.complete('DELETE 1'))
    stage.server(failureOf(sent), server.ready())
    expect(stage.clientReadShort()).toEqual([
      'ParseComplete',
      'BindComplete',
      'CommandComplete DELETE 1',
      'ErrorResponse 42501',
      'ReadyForQuery I',
    ])
  })

  test('that ends a copy ends it at the server too, and is answered in its place', () => {
    const stage = answering(server.complete('COPY 7'))
    stage.client(query('copy t from stdin'))
    stage.server(server.copyIn())
    stage.clientRead()
    stage.serverRead()
    stage.client(message('f', new TextEncoder().encode(ANSWER)))
    const sent = stage.serverRead()
    expect(sent[0]).toBe(0x66)
    stage.server(failureOf(sent), server.ready())
    expect(stage.clientReadShort()).toEqual(['CommandComplete COPY 7', 'ReadyForQuery I'])
    stage.client(copyDone())
    expect(stage.serverReadTypes()).toBe('c')
  })

  test('of copied data loses that row, and the copy goes on', () => {
    const stage = answering(new Uint8Array(0))
    stage.client(query('copy t from stdin'))
    stage.server(server.copyIn())
    stage.serverRead()
    stage.client(copyData('1\n'), copyData(ANSWER), copyData('3\n'), copyDone())
    expect(stage.serverReadTypes()).toBe('ddc')
    stage.server(server.complete('COPY 2'), server.ready())
    expect(stage.clientReadShort()).toEqual([
      'CopyInResponse',
      'CommandComplete COPY 2',
      'ReadyForQuery I',
    ])
  })

  test('may be a whole batch with its Sync', () => {
    const stage = answering(Buffer.concat([server.parsed(), server.bound(), rows]), 'batch')
    stage.client(extendedQuery(ANSWER))
    expect(stage.clientReadShort()).toEqual([
      'ParseComplete',
      'BindComplete',
      'RowDescription',
      'DataRow 7',
      'CommandComplete SELECT 1',
      'ReadyForQuery I',
    ])
    expect(stage.serverReadTypes()).toBe('')
    expect(stage.conversation.idle).toBe(true)
  })

  test('must be answered with whole messages and one ReadyForQuery at most, at the end', () => {
    const { fromClient } = Stage.loggedIn().conversation
    expect(fromClient.answerFlaw(rows)).toBeNull()
    expect(fromClient.answerFlaw(Buffer.concat([rows, server.ready()]))).toBeNull()
    expect(fromClient.answerFlaw(Buffer.concat([server.ready(), server.ready()]))).toBe(
      '2 ReadyForQuery messages in one answer',
    )
    expect(fromClient.answerFlaw(Buffer.concat([server.ready(), rows]))).toBe(
      'messages follow ReadyForQuery',
    )
    expect(fromClient.answerFlaw(rows.subarray(0, -1))).toContain('is cut')
    expect(fromClient.answerFlaw(query('x'))).toContain('is no message type')
  })
})
