/** The mask plugin: whose rows are which, and what happens where it cannot know. */
import { beforeEach, describe, expect, test } from 'bun:test'
import { makeSession } from '../../fixtures/wasm/kit.ts'
import { PluginTalk, says } from '../../fixtures/wasm/talk.ts'
import {
  bind,
  close,
  concat,
  copyDone,
  describe as describes,
  execute,
  int16,
  int32,
  parse,
  query,
  sync,
} from '../../kit/frontend.ts'
import {
  bytes,
  type Columns,
  cellShown,
  encoder,
  INT4,
  rowsIn,
  session,
  shown,
  startMask,
  TEXT,
  talk,
  talkTo,
} from './mask-scene.ts'

beforeEach(startMask)

describe('the extended protocol', () => {
  const columns: Columns = [
    ['id', INT4],
    ['email', TEXT],
    ['pin', INT4],
  ]
  const row = says.cells('1', 'ann@b.cd', '1234')
  const binaryRow = says.cells(int32(1), 'ann@b.cd', int32(1234))
  const masked = [['1', 'a**@b.cd', null]]
  const unknown = ['42501']

  function run(requests: readonly Uint8Array[], replies: readonly Uint8Array[]): unknown[] {
    talk.send(session, ...requests)
    return rowsIn(talk.reply(session, ...replies))
  }

  test('a portal that is described', () => {
    const requests = [parse({ sql: 's' }), bind(), describes(), execute(), sync()]
    const replies = [says.parsed(), says.bound(), says.columns(...columns), row]
    expect(run(requests, [...replies, says.complete('SELECT 1'), says.ready()])).toEqual(masked)
  })

  test('a statement that is described before, and bound with formats of its own', () => {
    run(
      [parse({ name: 's', sql: 's' }), describes('statement', 's'), sync()],
      [says.parsed(), says.parameters(), says.columns(...columns), says.ready()],
    )
    for (const formats of [[], [0], [0, 0, 0]]) {
      const requests = [bind({ statement: 's', resultFormats: formats }), execute(), sync()]
      const replies = [says.bound(), row, says.complete('SELECT 1'), says.ready()]
      expect(run(requests, replies)).toEqual(masked)
    }
    for (const formats of [[1], [1, 0, 1], [1, 1, 1]]) {
      talk.send(session, bind({ statement: 's', resultFormats: formats }), execute(), sync())
      const got = talk.messages(session, says.bound(), binaryRow, says.complete('SELECT 1'))
      const found = got.find((each) => each.name === 'DataRow')
      expect(found?.name === 'DataRow' ? found.cells : []).toEqual([
        int32(1),
        encoder.encode('a**@b.cd'),
        null,
      ])
      talk.reply(session, says.ready())
    }
  })

  test('a statement that is described after it was bound', () => {
    const requests = [
      parse({ name: 's', sql: 's' }),
      bind({ statement: 's' }),
      describes('statement', 's'),
      execute(),
      sync(),
    ]
    const replies = [says.parsed(), says.bound(), says.parameters(), says.columns(...columns), row]
    expect(run(requests, [...replies, says.complete('SELECT 1'), says.ready()])).toEqual(masked)
  })

  test('rows in several pieces, and portals that are fetched on', () => {
    const first = [parse({ sql: 's' }), bind({ portal: 'p' }), describes('portal', 'p')]
    talk.send(session, ...first, execute('p', 1), execute('p', 1), sync())
    expect(rowsIn(talk.reply(session, says.parsed(), says.bound()))).toEqual([])
    expect(rowsIn(talk.reply(session, says.columns(...columns)))).toEqual([])
    expect(rowsIn(talk.reply(session, row, says.suspended(), row))).toEqual([...masked, ...masked])
    expect(rowsIn(talk.reply(session, row, says.complete('SELECT 2')))).toEqual(masked)
  })

  test('a pipeline: each row is told by its own columns', () => {
    const requests = (name: string) => [
      parse({ sql: name }),
      bind({ portal: name }),
      describes('portal', name),
      execute(name),
    ]
    const replies = (...of: Columns) => [says.parsed(), says.bound(), says.columns(...of)]
    talk.send(session, ...requests('a'), ...requests('b'), sync(), ...requests('c'), sync())
    const one: Columns = [
      ['x', TEXT],
      ['y', TEXT],
      ['z', INT4],
    ]
    const got = talk.reply(
      session,
      ...[...replies(...columns), row, says.complete('SELECT 1')],
      ...[...replies(...one), row, says.complete('SELECT 1'), says.ready()],
      ...[...replies(...columns), row, says.complete('SELECT 1'), says.ready()],
    )
    // Of `x`, only the address is known for what it is.
    expect(rowsIn(got)).toEqual([...masked, ['1', 'a**@b.cd', '1234'], ...masked])
  })

  test('an error ends what was sent up to the Sync, and nothing behind it', () => {
    talk.send(session, parse({ sql: 'bad' }), bind(), describes(), execute(), sync())
    talk.send(session, parse({ sql: 's' }), bind(), describes(), execute(), sync())
    const failed = [says.error('42601', 'no'), says.ready()]
    const fine = [says.parsed(), says.bound(), says.columns(...columns), row, says.ready()]
    expect(rowsIn(talk.reply(session, ...failed, ...fine))).toEqual(['42601', ...masked])
  })

  test('rows of a statement that nobody described are refused, and what follows is not', () => {
    const requests = [parse({ sql: 's' }), bind(), execute(), sync()]
    const replies = [says.parsed(), says.bound(), row, row, says.complete('SELECT 2'), says.ready()]
    talk.send(session, ...requests)
    const got = talk.messages(session, ...replies).map(({ name }) => name)
    expect(got).toEqual(['ParseComplete', 'BindComplete', 'ErrorResponse', 'ReadyForQuery'])
    expect(shown([['id', INT4]], ['1'])).toEqual(['1'])
  })

  test('or become NULL where that is asked for', async () => {
    talkTo(await PluginTalk.start('mask', { unknown: 'null' }))
    const requests = [parse({ sql: 's' }), bind(), execute(), sync()]
    const replies = [says.parsed(), says.bound(), row, says.complete('SELECT 1'), says.ready()]
    expect(run(requests, replies)).toEqual([[null, null, null]])
  })

  test('a name that was given to another statement brings no columns along', () => {
    const harmless: Columns = [
      ['a', INT4],
      ['b', TEXT],
      ['c', INT4],
    ]
    const prepare = (...of: Columns) =>
      run(
        [parse({ name: 's', sql: 's' }), describes('statement', 's'), sync()],
        [says.parsed(), says.parameters(), says.columns(...of), says.ready()],
      )
    const executed = () =>
      run(
        [bind({ statement: 's' }), execute(), sync()],
        [says.bound(), row, says.complete('SELECT 1'), says.ready()],
      )
    prepare(...harmless)
    // Closed and parsed anew, without being described.
    run(
      [close('statement', 's'), parse({ name: 's', sql: 't' }), sync()],
      [says.closed(), says.parsed(), says.ready()],
    )
    expect(executed()).toEqual(unknown)
    prepare(...harmless)
    // Given by SQL to another.
    run([query('deallocate s; prepare s as t')], [says.complete('PREPARE'), says.ready()])
    expect(executed()).toEqual(unknown)
  })

  test('the columns of a Query are never taken for those of a statement', () => {
    run([parse({ name: 's', sql: 's' }), sync()], [says.parsed(), says.ready()])
    const harmless = says.columns(['a', INT4], ['b', TEXT], ['c', INT4])
    // A message that nobody told us of was answered before: the Query seems to be over.
    talk.send(session, query('x'), describes('statement', 's'), sync())
    talk.reply(session, says.ready(), harmless, says.complete('SELECT 0'))
    talk.reply(session, says.ready())
    const got = run([bind({ statement: 's' }), execute(), sync()], [says.bound(), row])
    expect(got).toEqual(unknown)
  })

  test('Syncs that are eaten by a copy do not part requests from answers', () => {
    talk.send(session, parse({ sql: 'copy t from stdin' }), bind(), execute(), sync())
    talk.reply(session, says.parsed(), says.bound(), says.copyIn())
    talk.send(session, sync(), copyDone(), sync())
    talk.reply(session, says.complete('COPY 0'), says.ready())
    expect(shown([['email', TEXT]], ['ann@b.cd'])).toEqual(['a**@b.cd'])
    const requests = [parse({ sql: 's' }), bind(), describes(), execute(), sync()]
    const replies = [says.parsed(), says.bound(), says.columns(...columns), row]
    expect(run(requests, [...replies, says.complete('SELECT 1'), says.ready()])).toEqual(masked)
  })

  test('more requests under way than are kept are refused, and then all is well', () => {
    const each = [bind({ statement: 's' }), execute()]
    run(
      [parse({ name: 's', sql: 's' }), describes('statement', 's'), sync()],
      [says.parsed(), says.parameters(), says.columns(...columns), says.ready()],
    )
    const many = 6000
    talk.send(session, ...Array.from({ length: many }, () => each).flat(), sync())
    const answer = concat(says.bound(), row, says.complete('SELECT 1'))
    let seen = 0
    for (let at = 0; at < many; at++) {
      for (const found of rowsIn(talk.reply(session, answer))) {
        seen++
        expect(found).toEqual(seen <= 4096 ? masked[0] : '42501')
      }
    }
    expect(seen).toBe(4097)
    talk.reply(session, says.ready())
    expect(run([...each, sync()], [answer, says.ready()])).toEqual(masked)
  })
})

describe('COPY … TO STDOUT', () => {
  const reply = [
    says.copyOut(),
    says.copyData('1\tann@b.cd\n'),
    says.copyDone(),
    says.complete('COPY 1'),
    says.ready(),
  ]

  test('is refused for those for whom something is masked', () => {
    talk.send(session, query('copy t to stdout'))
    const names = talk.messages(session, ...reply).map(({ name }) => name)
    expect(names).toEqual(['ErrorResponse', 'ReadyForQuery'])
    expect(shown([['id', INT4]], ['1'])).toEqual(['1'])
  })

  test('passes for others, and where it is allowed', async () => {
    const allowed = await PluginTalk.start('mask', { copy: 'allow' })
    const except = await PluginTalk.start('mask', { exceptUsers: ['alice'] })
    for (const own of [allowed, except]) {
      own.send(session, query('copy t to stdout'))
      expect(own.messages(session, ...reply)).toHaveLength(reply.length)
    }
  })
})

describe('whatever bytes come', () => {
  test('nothing traps and nothing of a broken row is shown', () => {
    const whole = says.cells('1', 'ann@b.cd', 'x'.repeat(50))
    const columns = says.columns(['id', INT4], ['email', TEXT], ['t', TEXT])
    for (let cut = 5; cut < whole.length; cut++) {
      const broken = whole.slice(0, cut)
      broken.set(int32(cut - 1), 1)
      talk.send(session, query('select'))
      const got = rowsIn(talk.reply(session, columns, broken, says.ready()))
      expect(got).toEqual(['42501'])
    }
    const lying = whole.slice()
    for (const length of [-2, -2_147_483_648, 2_147_483_647, 1000]) {
      lying.set(int32(length), 12)
      talk.send(session, query('select'))
      expect(rowsIn(talk.reply(session, columns, lying, says.ready()))).toEqual(['42501'])
    }
    for (let cut = 5; cut < columns.length; cut++) {
      const broken = columns.slice(0, cut)
      broken.set(int32(cut - 1), 1)
      talk.send(session, query('select'))
      talk.reply(session, broken, says.ready())
    }
    for (const tag of 'TDCENZ123ntIsGHdc') {
      for (const body of [bytes(), bytes(0), bytes(255, 255, 255, 255), bytes(0, 1, 0, 0)]) {
        talk.reply(session, concat(encoder.encode(tag), int32(body.length + 4), body))
      }
    }
    for (const tag of 'QPBDECS') {
      const body = concat(int16(-1), int16(-1), int32(-1))
      talk.send(session, concat(encoder.encode(tag), int32(body.length + 4), body))
    }
    expect(talk.plugin.status()).toMatchObject({ state: 'ready', failures: 0 })
  })

  test('values of 10 MB and of no encoding are read in time, and masked', () => {
    const large = 'x1 '.repeat(3_500_000)
    const value = `${large}ann@b.cd`
    expect(shown([['note', TEXT]], [value])).toEqual([`${large}a**@b.cd`])
    expect(shown([['secret', TEXT]], [value])).toEqual(['****'])
    const invalid = concat(bytes(0xff, 0xfe, 0xc3), encoder.encode('@b.cd'), bytes(0x80, 0))
    expect(cellShown(['email', TEXT], invalid)?.length).toBe(invalid.length)
    for (const hostile of ['@'.repeat(1e6), 'a'.repeat(1e6), '1-'.repeat(5e5), 'a@'.repeat(5e5)]) {
      const startedAt = performance.now()
      shown(
        [
          ['note', TEXT],
          ['email', TEXT],
        ],
        [hostile, hostile],
      )
      expect(performance.now() - startedAt).toBeLessThan(2000)
    }
    expect(talk.plugin.status()).toMatchObject({ state: 'ready', failures: 0 })
  })

  test('many sessions and statements take no more memory than some', () => {
    const round = (): void => {
      for (let at = 0; at < 3000; at++) {
        const of = makeSession({ id: String(at) })
        talk.send(of, parse({ sql: 's' }), bind({ resultFormats: [1, 0] }), describes(), sync())
        talk.reply(of, says.parsed(), says.bound(), says.columns([`c${at % 500}`, TEXT], ['b', 1]))
        talk.closed(of)
      }
    }
    round()
    const before = talk.plugin.sandbox?.memoryBytes
    round()
    round()
    expect(talk.plugin.sandbox?.memoryBytes).toBe(before)
  })

  test('sessions that have more and less under way take turns in the same memory', () => {
    const unit = concat(parse({ sql: 's' }), bind(), describes(), execute(), sync())
    const round = (): void => {
      for (let at = 0; at < 3000; at++) {
        const of = makeSession({ id: String(at) })
        for (let units = 1 << (at % 5); units > 0; units--) talk.send(of, unit)
        talk.closed(of)
      }
    }
    round()
    const before = talk.plugin.sandbox?.memoryBytes
    round()
    round()
    expect(talk.plugin.sandbox?.memoryBytes).toBe(before)
  })
})
