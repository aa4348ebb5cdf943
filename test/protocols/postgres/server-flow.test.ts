import { describe, expect, test } from 'bun:test'
import { concat, extendedQuery, query, startup, sync } from '../../kit/frontend.ts'
import { DENIAL, type Decision, Stage, type StageOptions, server } from './stage.ts'

/** A stage on which the client has asked something and the server has read it. */
function asked(question: Uint8Array, options: StageOptions): Stage {
  const stage = Stage.loggedIn(options)
  stage.client(question)
  stage.serverRead()
  return stage
}

/** Refuses units with a message of this type. */
function refusing(type: string): (unit: Uint8Array) => Decision {
  return (unit) => (String.fromCharCode(unit[0]!) === type ? { deny: DENIAL } : 'forward')
}

const SELECT = [server.columns(), server.row('1'), server.row('2'), server.complete('SELECT 2')]

describe('a refused reply', () => {
  test('to a simple query ends in an error, the rest is dropped, and the session goes on', () => {
    const stage = asked(query('select'), { fromServer: refusing('D') })
    stage.server(...SELECT, server.ready())
    expect(stage.clientReadShort()).toEqual([
      'RowDescription',
      'ErrorResponse 42501',
      'ReadyForQuery I',
    ])
    expect(stage.conversation.idle).toBe(true)
    stage.client(query('insert'))
    stage.server(server.complete('INSERT 1'), server.ready('T'))
    expect(stage.clientReadShort()).toEqual(['CommandComplete INSERT 1', 'ReadyForQuery T'])
  })

  test('is dropped to its end however it is cut', () => {
    const stage = asked(query('select'), { fromServer: refusing('D') })
    for (const byte of concat(...SELECT, server.ready('T'))) stage.server(new Uint8Array([byte]))
    expect(stage.clientReadShort()).toEqual([
      'RowDescription',
      'ErrorResponse 42501',
      'ReadyForQuery T',
    ])
  })

  test('given whole is refused whole, with its own ReadyForQuery', () => {
    const stage = asked(query('select'), {
      fromServer: () => ({ deny: DENIAL }),
      serverCut: 'reply',
    })
    stage.server(...SELECT)
    stage.server(server.ready('T'))
    expect(stage.clientReadShort()).toEqual(['ErrorResponse 42501', 'ReadyForQuery T'])
    expect(stage.units.server).toHaveLength(1)
  })

  test('keeps parameters and notifications, and loses notices and errors', () => {
    const stage = asked(query('select'), { fromServer: refusing('D') })
    const others = [server.parameter('a', 'b'), server.notify('c'), server.notice('d')]
    stage.server(...SELECT.slice(0, 2), ...others, server.error('22012', 'x'), server.ready())
    expect(stage.clientReadShort()).toEqual([
      'RowDescription',
      'ErrorResponse 42501',
      'ParameterStatus',
      'NotificationResponse',
      'ReadyForQuery I',
    ])
  })

  test('of the extended protocol ends in an error, up to its ReadyForQuery', () => {
    const stage = asked(concat(extendedQuery('a'), extendedQuery('b')), {
      fromServer: (unit) => (Buffer.from(unit).includes('secret') ? { deny: DENIAL } : 'forward'),
    })
    const reply = (value: string) =>
      concat(
        server.parsed(),
        server.bound(),
        server.columns(),
        server.row(value),
        server.complete(value),
      )
    stage.server(reply('secret'), server.ready(), reply('open'), server.ready())
    expect(stage.clientReadShort()).toEqual([
      'ParseComplete',
      'BindComplete',
      'RowDescription',
      'ErrorResponse 42501',
      'ReadyForQuery I',
      'ParseComplete',
      'BindComplete',
      'RowDescription',
      'DataRow open',
      'CommandComplete open',
      'ReadyForQuery I',
    ])
  })

  test('loses the answers of ours that stood in it, and keeps those behind it', () => {
    const stage = Stage.loggedIn({
      fromClient: (unit) => (unit[0] === 0x43 ? { respond: server.closed() } : 'forward'),
      fromServer: refusing('D'),
    })
    const closing = Buffer.from([0x43, 0, 0, 0, 6, 0x53, 0])
    stage.client(extendedQuery('a').slice(0, -5), closing, sync())
    stage.server(server.parsed(), server.bound(), ...SELECT, server.ready())
    expect(stage.clientReadShort().slice(-2)).toEqual(['ErrorResponse 42501', 'ReadyForQuery I'])
    stage.client(closing)
    expect(stage.clientReadShort()).toEqual(['CloseComplete'])
  })

  test('of copied-out data ends the copy', () => {
    const stage = asked(query('copy to'), { fromServer: refusing('d') })
    stage.server(server.copyOut(), server.copyData('1'), server.copyData('2'), server.copyDone())
    stage.server(server.complete('COPY 2'), server.ready())
    expect(stage.clientReadShort()).toEqual([
      'CopyOutResponse',
      'ErrorResponse 42501',
      'ReadyForQuery I',
    ])
  })

  test('that asks for copied data fails the copy at the server, whose error is not shown', () => {
    const stage = asked(query('copy from'), { fromServer: refusing('G') })
    stage.server(server.copyIn())
    expect(stage.clientReadShort()).toEqual(['ErrorResponse 42501'])
    const failed = stage.serverRead()
    expect(failed[0]).toBe(0x66)
    stage.server(server.error('57014', 'COPY from stdin failed'), server.ready())
    expect(stage.clientReadShort()).toEqual(['ReadyForQuery I'])
    expect(stage.conversation.idle).toBe(true)
  })

  test('that asks for copied data behind a Sync that was eaten sends the Sync again', () => {
    const stage = asked(extendedQuery('copy from'), { fromServer: refusing('G') })
    stage.server(server.parsed(), server.bound(), server.noColumns(), server.copyIn())
    expect(stage.serverReadTypes()).toBe('fS')
  })

  test('outside of a query is a warning, which ends no session', () => {
    const stage = Stage.loggedIn({ fromServer: refusing('A') })
    stage.server(server.notify('news'), server.notify('more'))
    expect(stage.clientReadShort()).toEqual(['NoticeResponse 42501', 'NoticeResponse 42501'])
    stage.client(query('select'))
    stage.server(server.complete('SELECT 0'), server.ready())
    expect(stage.clientReadShort()).toEqual(['CommandComplete SELECT 0', 'ReadyForQuery I'])
  })

  test('before the login has no words: the session must be closed', () => {
    const stage = new Stage({ fromServer: () => ({ deny: DENIAL }) })
    stage.client(startup({ user: 'ann' }))
    stage.server(server.authentication(3))
    expect(stage.events).toEqual(['no words'])
  })
})

describe('units', () => {
  function unitsOf(question: Uint8Array, ...said: readonly Uint8Array[]): number[] {
    const stage = asked(question, { fromServer: () => 'forward', serverCut: 'reply' })
    stage.server(...said)
    stage.clientRead()
    return stage.units.server.map(countOf)
  }

  test('are whole replies, and a notification alone', () => {
    const reply = [...SELECT, server.ready()]
    expect(
      unitsOf(concat(query('a'), query('b')), ...reply, server.ready(), server.notify('c')),
    ).toEqual([5, 1, 1])
  })

  test('end where the client must speak: copied data, or the password', () => {
    expect(unitsOf(query('copy'), server.notice('x'), server.copyIn())).toEqual([2])
    const stage = new Stage({ fromServer: () => 'forward', serverCut: 'reply' })
    stage.client(startup({ user: 'ann' }))
    stage.server(server.authentication(3))
    expect(stage.units.server).toHaveLength(1)
    stage.server(server.authentication(0), server.parameter('a', 'b'), server.key(1, 2))
    expect(stage.units.server).toHaveLength(1)
    stage.server(server.ready())
    expect(stage.units.server.map(countOf)).toEqual([1, 4])
  })

  test('are single messages for a step that wants those', () => {
    const stage = asked(query('a'), { fromServer: () => 'forward' })
    stage.server(...SELECT, server.ready())
    expect(stage.units.server).toHaveLength(5)
    const { fromServer } = stage.conversation
    expect(fromServer.parts(concat(...SELECT), 'message', null)).toHaveLength(4)
    expect(fromServer.parts(concat(...SELECT), 'reply', null)).toHaveLength(1)
    expect([fromServer.flaw(concat(...SELECT)), fromServer.flaw(query('x'))?.[0]]).toEqual([
      null,
      'b',
    ])
  })
})

describe('the login', () => {
  test('is known by the first ReadyForQuery, the key by BackendKeyData in whatever pieces', () => {
    const stage = new Stage()
    stage.client(startup({ user: 'ann' }))
    for (const byte of concat(server.authentication(0), server.key(7, 9))) {
      stage.server(new Uint8Array([byte]))
    }
    expect(stage.conversation).toMatchObject({ loggedIn: false, cancelKey: '0000000700000009' })
    stage.server(server.ready())
    expect(stage.conversation).toMatchObject({ loggedIn: true, idle: true, owes: false })
  })

  test('gives no key to who says BackendKeyData again later', () => {
    const stage = Stage.loggedIn()
    stage.server(server.key(1, 1))
    expect(stage.conversation.cancelKey).toBe('0000000700000009')
  })
})

describe('last words', () => {
  test('are said between messages only, and not behind an error of the server itself', () => {
    const stage = asked(query('a'), {})
    const row = server.row('1')
    expect(stage.conversation.farewell(DENIAL)).not.toBeNull()
    stage.server(row.slice(0, 6))
    expect(stage.conversation.farewell(DENIAL)).toBeNull()
    stage.server(row.slice(6))
    expect(stage.conversation.farewell(DENIAL)).not.toBeNull()
    stage.server(server.error('57P01', 'going down'))
    expect(stage.conversation.farewell(DENIAL)).toBeNull()
  })
})

test('bytes that no server sends are a violation', () => {
  const stage = asked(query('a'), {})
  stage.server(server.columns(), query('select'))
  expect(stage.events).toEqual(['violation'])
  expect(stage.conversation.fromServer.violation).toContain('0x51')
})

function countOf(bytes: Uint8Array): number {
  let count = 0
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  for (let at = 0; at < bytes.length; at += 1 + view.getInt32(at + 1)) count += 1
  return count
}

describe('a write that the server does not take', () => {
  const readOnly = server.error('25006', 'cannot execute INSERT in a read-only transaction')
  const reply = concat(readOnly, server.ready())
  const WAYS: Readonly<Record<string, StageOptions>> = {
    'that nobody looks at': {},
    'that a step looks at': { fromServer: () => 'forward' },
  }

  for (const [way, options] of Object.entries(WAYS)) {
    test(`is told in a reply ${way}, however it is cut, and goes to the client as it is`, () => {
      let told = 0
      const writeRefused = (): void => {
        told += 1
      }
      const stage = asked(query('insert'), { ...options, writeRefused })
      stage.server(reply)
      expect(told).toBe(1)
      expect(stage.clientReadShort()).toEqual(['ErrorResponse 25006', 'ReadyForQuery I'])
      for (const byte of reply) stage.server(new Uint8Array([byte]))
      expect(told).toBe(2)
      stage.server(server.error('42501', 'the code 25006 in a text is none'), server.ready())
      expect(told).toBe(2)
    })
  }
})
