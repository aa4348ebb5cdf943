import { describe, expect, test } from 'bun:test'
import type { Conversation } from '../../../../src/protocols/protocol.ts'
import {
  describe as ask,
  bind,
  close,
  concat,
  copyData,
  execute,
  flush,
  parse,
  query,
  sync,
} from '../../../kit/frontend.ts'
import { type Random, seeded } from '../../../kit/pipelines.ts'
import { DENIAL, type Stage, server as says } from '../stage.ts'
import { answersTo, connection, Lender } from './lender.ts'

/** Sends, has the server answer, and returns what it read and what the client reads. */
function exchange(stage: Stage, ...messages: readonly Uint8Array[]) {
  stage.client(...messages)
  const types = stage.serverReadTypes()
  stage.server(answersTo(types))
  return [types, stage.clientReadShort().join(', ')]
}

describe('a connection', () => {
  test('is taken with the first message that needs one, and free when all is answered', () => {
    const lender = new Lender()
    const stage = lender.enter()
    expect(lender.asked).toBe(0)
    stage.client(query('select 1'))
    expect(lender.asked).toBe(1)
    expect(lender.takeBack()).toBeFalse()
    stage.server(says.complete('SELECT 1'))
    expect(lender.takeBack()).toBeFalse()
    stage.server(says.ready())
    expect(lender.takeBack()).toBeTrue()
  })

  test('is kept in a transaction, in a pipeline and within a message', () => {
    const lender = new Lender()
    const stage = lender.enter()
    stage.client(query('begin'))
    stage.server(says.complete('BEGIN'), says.ready('T'))
    expect(lender.takeBack()).toBeFalse()
    stage.client(query('commit'))
    stage.server(says.complete('COMMIT'), says.ready())
    stage.client(parse({ sql: 'select 1' }), flush())
    stage.server(says.parsed())
    expect(lender.takeBack()).toBeFalse()
    stage.client(sync())
    stage.server(says.ready())
    expect(lender.takeBack()).toBeTrue()
  })

  test('that is not there is waited for, and nothing is lost or said twice', () => {
    const lender = new Lender()
    const stage = lender.enter()
    lender.free = null
    const sent = concat(parse({ name: 's', sql: 'select 1' }), bind({ statement: 's' }), execute())
    stage.client(sent.subarray(0, 7))
    stage.client(sent.subarray(7))
    expect(stage.events).toEqual(['serverless'])
    expect(stage.serverRead()).toHaveLength(0)
    lender.free = connection()
    stage.served()
    expect(stage.serverReadTypes()).toBe('PBE')
  })

  test('is not needed for what has no meaning between transactions', () => {
    const lender = new Lender()
    const stage = lender.enter()
    stage.client(sync(), flush(), copyData('x'), sync())
    expect(stage.clientReadShort()).toEqual(['ReadyForQuery I', 'ReadyForQuery I'])
    expect([lender.asked, stage.serverReadTypes()]).toEqual([0, ''])
  })

  test('is not needed for what a step refuses or answers', () => {
    const lender = new Lender()
    const refusing = lender.enter({ fromClient: () => ({ deny: DENIAL }) })
    refusing.client(query('select 1'))
    expect(refusing.clientReadShort()).toEqual(['ErrorResponse 42501', 'ReadyForQuery I'])
    const answer = concat(says.complete('SELECT 1'), says.ready())
    const answering = lender.enter({ fromClient: () => ({ respond: answer }) })
    answering.client(query('select 1'))
    expect(answering.clientReadShort()).toEqual(['CommandComplete SELECT 1', 'ReadyForQuery I'])
    expect(lender.asked).toBe(0)
  })
})

describe('a prepared statement', () => {
  test('is prepared where it is missing, and the client hears nothing of that', () => {
    const lender = new Lender()
    const stage = lender.enter()
    const ready = 'ReadyForQuery I'
    const prepare = parse({ name: 's', sql: 'select 1' })
    const run = [bind({ statement: 's' }), ask('statement', 's'), execute(), sync()]
    const ran = `BindComplete, NoData, CommandComplete SELECT 1, ${ready}`
    expect(exchange(stage, prepare, sync())).toEqual(['PS', `ParseComplete, ${ready}`])
    expect(exchange(stage, ...run)).toEqual(['BDES', ran])
    lender.takeBack()
    lender.free = connection()
    expect(exchange(stage, ...run)).toEqual(['PBDES', ran])
    expect(exchange(stage, ...run)).toEqual(['BDES', ran])
    expect(exchange(stage, close('statement', 's'), sync())).toEqual([
      '',
      `CloseComplete, ${ready}`,
    ])
    expect(exchange(stage, prepare, sync())).toEqual(['', `ParseComplete, ${ready}`])
    expect(lender.terms.account.prepares).toBe(1)
  })

  test('has one name for all clients, which is none of theirs', () => {
    const lender = new Lender()
    const names = ['one', 'two'].map((name) => {
      const stage = lender.enter()
      stage.client(parse({ name, sql: 'select 1' }), bind({ statement: name }), sync())
      const read = Buffer.from(stage.serverRead()).toString('latin1')
      expect(read).not.toContain(name)
      return /postern_\d+/.exec(read)![0]
    })
    expect(names[0]).toBe(names[1]!)
  })

  test('that was not heard of yet is not relied on behind a Sync', () => {
    const lender = new Lender()
    const stage = lender.enter()
    stage.client(parse({ sql: 'bad' }), parse({ name: 'a', sql: 'select 1' }), sync())
    stage.client(parse({ name: 'b', sql: 'select 1' }), bind({ statement: 'b' }), sync())
    // Whether the first was skipped is not known: it is closed, which harms nothing, and parsed.
    expect(stage.serverReadTypes()).toBe('PPSCPBS')
    stage.server(says.error('42601', 'bad'), says.ready())
    stage.server(says.closed(), says.parsed(), says.bound(), says.ready())
    expect(stage.clientReadShort()).toEqual([
      'ErrorResponse 42601',
      'ReadyForQuery I',
      'ParseComplete',
      'BindComplete',
      'ReadyForQuery I',
    ])
    expect(exchange(stage, bind({ statement: 'a' }), sync())[1]).toContain('26000')
  })

  test('that makes room before it was heard of is known to be gone', () => {
    const lender = new Lender({ serverStatementsMax: 1 })
    const stage = lender.enter()
    stage.client(parse({ name: 'a', sql: 'select 1' }), parse({ name: 'b', sql: 'select 2' }))
    stage.client(sync())
    expect(stage.serverReadTypes()).toBe('PCPS')
    stage.server(says.parsed(), says.closed(), says.parsed(), says.ready())
    stage.clientRead()
    const run = [bind({ statement: 'a' }), execute(), sync()]
    const ran = 'BindComplete, CommandComplete SELECT 1, ReadyForQuery I'
    expect(exchange(stage, ...run)).toEqual(['CPBES', ran])
    expect(exchange(stage, ...run)).toEqual(['BES', ran])
  })

  test('that was to make room and was not even prepared is there in no case', () => {
    const lender = new Lender({ serverStatementsMax: 1 })
    const stage = lender.enter()
    stage.client(parse({ sql: 'bad' }), parse({ name: 'a', sql: 'select 1' }))
    stage.client(parse({ name: 'b', sql: 'select 2' }), sync())
    expect(stage.serverReadTypes()).toBe('PPCPS')
    stage.server(says.error('42601', 'bad'), says.ready())
    stage.clientRead()
    stage.client(parse({ name: 'a', sql: 'select 1' }), sync())
    // There is nothing to make room for it, and it has a name that was never used.
    expect(stage.serverReadTypes()).toBe('PS')
  })

  test('that is known and was skipped means nothing, and may be prepared again', () => {
    const stage = new Lender().enter()
    const ready = 'ReadyForQuery I'
    exchange(stage, parse({ name: 'a', sql: 'select 1' }), sync())
    for (const next of [parse({ name: 'b', sql: 'select 1' }), bind({ statement: 'b' })]) {
      stage.client(parse({ sql: 'bad' }), parse({ name: 'b', sql: 'select 1' }), sync())
      expect(stage.serverReadTypes()).toBe('PS')
      stage.server(says.error('42601', 'bad'), says.ready())
      expect(stage.clientReadShort()).toEqual(['ErrorResponse 42601', ready])
      const said = next[0] === 0x50 ? 'ParseComplete' : 'ErrorResponse 26000'
      expect(exchange(stage, next, sync())).toEqual(['', `${said}, ${ready}`])
      exchange(stage, close('statement', 'b'), sync())
    }
  })

  test('that was to be closed, and that was skipped, is what it was', () => {
    const lender = new Lender()
    const stage = lender.enter()
    exchange(stage, parse({ name: 'a', sql: 'select 1' }), sync())
    const again = parse({ name: 'a', sql: 'select 2' })
    for (const more of [[], [again]]) {
      stage.client(parse({ sql: 'bad' }), close('statement', 'a'), ...more, sync())
      stage.serverRead()
      stage.server(says.error('42601', 'bad'), says.ready())
      stage.clientRead()
      stage.client(bind({ statement: 'a' }), execute(), sync())
      expect(Buffer.from(stage.serverRead()).toString('latin1')).not.toContain('select')
      stage.server(answersTo('BES'))
      expect(stage.clientReadShort()).toContain('BindComplete')
    }
    expect(exchange(stage, again, sync())[1]).toContain('ErrorResponse 42P05')
  })

  test('that failed in a failed transaction is not there, whoever else asks for it', () => {
    const lender = new Lender()
    const stage = lender.enter()
    exchange(stage, parse({ name: 'z', sql: 'select 1' }), sync())
    lender.takeBack()
    lender.free = connection()
    stage.client(query('begin'), query('bad'))
    stage.server(says.complete('BEGIN'), says.ready('T'), says.error('42601', 'bad'))
    stage.server(says.ready('E'))
    stage.client(parse({ name: 'a', sql: 'select 1' }), parse({ name: 'b', sql: 'select 1' }))
    stage.client(sync())
    stage.server(says.error('25P02', 'aborted'), says.ready('E'))
    stage.client(query('rollback'))
    stage.server(says.complete('ROLLBACK'), says.ready())
    stage.serverRead()
    stage.client(bind({ statement: 'z' }), execute(), sync())
    expect(stage.serverReadTypes()).toBe('CPBES')
  })

  test('is not given up by SQL in a failed transaction, which ties nobody either', () => {
    const lender = new Lender()
    const stage = lender.enter()
    exchange(stage, parse({ name: 'a', sql: 'select 1' }), sync())
    stage.client(query('begin'), query('bad'))
    stage.server(says.complete('BEGIN'), says.ready('T'), says.error('42601', 'bad'))
    stage.server(says.ready('E'))
    stage.serverRead()
    stage.client(query('deallocate a'))
    expect(stage.serverReadTypes()).toBe('Q')
    stage.server(says.error('25P02', 'aborted'), says.ready('E'))
    stage.client(query('rollback'))
    stage.server(says.complete('ROLLBACK'), says.ready())
    stage.serverRead()
    stage.client(bind({ statement: 'a' }), execute(), sync())
    expect(stage.serverReadTypes()).toBe('BES')
    expect(lender.terms.account.pinned).toBe(0)
  })

  test('behind a query that may fail is the server’s to take or refuse', () => {
    const stage = new Lender().enter()
    exchange(stage, parse({ name: 'a', sql: 'select 1' }), sync())
    stage.client(query('begin'), parse({ sql: 'select 2' }))
    stage.server(says.complete('BEGIN'), says.ready('T'), says.parsed())
    stage.client(query('bad'))
    stage.serverRead()
    stage.client(parse({ name: 'b', sql: 'select 1' }))
    expect(stage.serverReadTypes()).toBe('CP')
  })

  test('in a failed transaction is the server’s to refuse', () => {
    const lender = new Lender()
    const stage = lender.enter()
    exchange(stage, parse({ name: 'a', sql: 'select 1' }), sync())
    stage.client(query('begin; select 1/0'))
    stage.serverRead()
    stage.server(says.error('22012', 'zero'), says.ready('E'))
    stage.clientRead()
    stage.client(parse({ name: 'b', sql: 'select 1' }), sync())
    expect(stage.serverReadTypes()).toBe('CPS')
    stage.server(says.closed(), says.error('25P02', 'failed'), says.ready('E'))
    expect(stage.clientReadShort()).toEqual(['ErrorResponse 25P02', 'ReadyForQuery E'])
    stage.client(bind({ statement: 'b' }), sync())
    stage.server(says.error('42601', 'the failing message'), says.ready('E'))
    expect(stage.clientReadShort()).toEqual(['ErrorResponse 42601', 'ReadyForQuery E'])
  })
})

describe('the unnamed statement', () => {
  const run = [bind(), execute(), sync()]
  const ran = 'BindComplete, CommandComplete SELECT 1, ReadyForQuery I'

  test('is the last one, though one before turns out to be none', () => {
    const stage = new Lender().enter()
    stage.client(parse({ sql: 'bad' }), sync(), parse({ sql: 'select 1' }), flush())
    expect(stage.serverReadTypes()).toBe('PSPH')
    stage.server(says.error('42601', 'bad'), says.ready(), says.parsed())
    stage.clientRead()
    expect(exchange(stage, ...run)).toEqual(['BES', ran])
  })

  test('is none where the last one is none', () => {
    const stage = new Lender().enter()
    stage.client(parse({ sql: 'select 1' }), sync(), parse({ sql: 'bad' }), sync())
    stage.serverRead()
    stage.server(says.parsed(), says.ready(), says.error('42601', 'bad'), says.ready())
    stage.clientRead()
    expect(exchange(stage, ...run)).toEqual(['', 'ErrorResponse 26000, ReadyForQuery I'])
  })
})

test('a message too large to be held streams past with the name that the server knows', () => {
  const lender = new Lender()
  const stage = lender.enter({ limits: { messageBytesMax: 1024 } })
  exchange(stage, parse({ name: 'name', sql: 'select $1' }), sync())
  const large = concat(bind({ statement: 'name', values: ['x'.repeat(5000)] }), execute(), sync())
  for (let at = 0; at < large.length; at += 3) stage.client(large.subarray(at, at + 3))
  const read = stage.serverRead()
  expect(Buffer.from(read).toString('latin1')).toMatch(/^B\0\0..\0postern_\d+\0/)
  expect(read.length).toBe(1 + new DataView(read.buffer).getInt32(1) + execute().length + 5)
  stage.server(says.bound(), says.complete('SELECT 1'), says.ready())
  expect(lender.takeBack()).toBeTrue()
  // A statement that nobody has read to its end may leave anything behind.
  const unread = query(`select '${'y'.repeat(5000)}'`)
  for (let at = 0; at < unread.length; at += 3) stage.client(unread.subarray(at, at + 3))
  stage.server(answersTo(stage.serverReadTypes()))
  expect(lender.takeBack()).toBeFalse()
  expect(lender.terms.account.pins.unread).toBe(1)
})

test('one that is strict drops what nobody has read, and goes on', () => {
  const lender = new Lender({ strict: true })
  const stage = lender.enter({ limits: { messageBytesMax: 1024 } })
  const unread = query(`select '${'y'.repeat(5000)}'`)
  for (let at = 0; at < unread.length; at += 500) stage.client(unread.subarray(at, at + 500))
  expect(stage.serverReadTypes()).toBe('')
  expect(stage.clientReadShort()).toEqual(['ErrorResponse 0A000', 'ReadyForQuery I'])
  expect(exchange(stage, query('select 1'))[0]).toBe('Q')
})

function someMessages(random: Random): Uint8Array {
  const name = `s${random.below(4)}`
  const sql = `select ${random.below(3)}`
  const kinds = [
    () => query(random.pick([sql, 'begin', 'listen a', 'set timezone = 1', `deallocate ${name}`])),
    () => parse({ name, sql }),
    () => parse({ sql }),
    () => bind({ statement: random.pick([name, '']) }),
    () => ask('statement', name),
    () => ask('portal', name),
    () => execute(),
    () => close('statement', name),
    () => sync(),
    () => sync(),
    () => flush(),
    () => copyData('x'),
  ]
  const parts = Array.from({ length: 1 + random.below(6) }, () => random.pick(kinds)())
  return concat(...parts, sync())
}

/** By the short cut where it can be taken; as a pump does. */
function pump(conversation: Conversation, from: 'client' | 'server', chunk: Uint8Array): Buffer {
  const flow = from === 'client' ? conversation.fromClient : conversation.fromServer
  const passed = flow.pass(chunk)
  if (passed !== null && passed !== 'serverless') return Buffer.from(passed)
  const out: Uint8Array[] = []
  flow.push(chunk)
  while (flow.next() !== 'none') out.push(flow.bytes.slice())
  return Buffer.concat(out)
}

test('the short cut writes what the reader would, and leaves the same behind', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seeded(seed)
    const [slow, fast] = [new Lender(), new Lender()].map((lender) => ({
      lender,
      stage: lender.enter(),
    }))
    const names = (bytes: Uint8Array): string =>
      Buffer.from(bytes)
        .toString('latin1')
        .replace(/postern_\d+/g, 'name')
    for (let step = 0; step < 20; step++) {
      const chunk = someMessages(random)
      for (let at = 0; at < chunk.length; at += 9) slow!.stage.client(chunk.subarray(at, at + 9))
      const bytes = pump(fast!.stage.conversation, 'client', chunk)
      const expected = slow!.stage.serverRead()
      const types = typesOf(bytes)
      expect({ seed, step, types }).toEqual({ seed, step, types: typesOf(expected) })
      expect(names(bytes.subarray(5)).length).toBe(names(expected.subarray(5)).length)
      const replies = answersTo(types)
      for (let at = 0; at < replies.length; at += 7)
        slow!.stage.server(replies.subarray(at, at + 7))
      pump(fast!.stage.conversation, 'server', replies)
      const freed = [slow!, fast!].map(({ lender }) => lender.takeBack())
      expect({ seed, step, freed: freed[1] }).toEqual({ seed, step, freed: freed[0] })
      if (random.chance(0.3)) {
        slow!.lender.free = connection()
        fast!.lender.free = connection()
      }
    }
  }
})

function typesOf(bytes: Uint8Array): string {
  let types = ''
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at < bytes.length; at += 1 + view.getInt32(at + 1)) {
    types += String.fromCharCode(bytes[at]!)
  }
  return types
}
