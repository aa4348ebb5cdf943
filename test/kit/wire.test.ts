import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createServer, type Server } from 'node:net'
import type { BackendMessage } from './backend.ts'
import {
  bind,
  cancelRequest,
  close,
  concat,
  copyData,
  copyDone,
  copyFail,
  describe as describeTarget,
  execute,
  extendedQuery,
  flush,
  int32,
  message,
  PROTOCOL_3_2,
  parse,
  query,
  sslRequest,
  sync,
} from './frontend.ts'
import { type PostgresServer, startPostgres } from './postgres.ts'
import { connectWire, openSession } from './wire.ts'

const names = (messages: readonly BackendMessage[]): string[] => messages.map(({ name }) => name)

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

describe('against PostgreSQL', () => {
  test('a login gives the cancel key and the parameters', async () => {
    const wire = await connectWire(server)
    const { pid, secret, parameters } = await wire.login({
      user: server.user,
      database: server.database,
      params: { application_name: 'kit' },
    })
    expect(pid).toBeGreaterThan(0)
    expect(secret.length).toBe(4)
    expect(parameters.get('application_name')).toBe('kit')
    await wire.terminate()
  })

  test('protocol 3.2 gives a longer cancel key', async () => {
    const wire = await connectWire(server)
    const { secret } = await wire.login({ ...server, protocol: PROTOCOL_3_2 })
    expect(secret.length).toBe(32)
    await wire.terminate()
  })

  test('a refused login throws what the server said', async () => {
    const opened = openSession({ ...server, database: 'nowhere' })
    await expect(opened).rejects.toThrow('FATAL 3D000: database "nowhere" does not exist')
  })

  test('a simple query is read message by message', async () => {
    using wire = await openSession(server)
    wire.send(query("select 1 as one, null as none, 'ä' as text"))
    const description = await wire.expect('RowDescription')
    expect(description.columns.map(({ name }) => name)).toEqual(['one', 'none', 'text'])
    expect((await wire.expect('DataRow')).values).toEqual(['1', null, 'ä'])
    expect((await wire.expect('CommandComplete')).tag).toBe('SELECT 1')
    expect((await wire.expect('ReadyForQuery')).status).toBe('I')
  })

  test('an error has its fields, and the session stays usable', async () => {
    using wire = await openSession(server)
    wire.send(query('select 1/0'))
    const error = await wire.expect('ErrorResponse')
    expect(error.severity).toBe('ERROR')
    expect(error.code).toBe('22012')
    expect(error.message).toBe('division by zero')
    expect(error.detail).toBeNull()
    await wire.expect('ReadyForQuery')
    expect(await wire.rows('select 2')).toEqual([['2']])
  })

  test('named statements and portals, with rows in two parts', async () => {
    using wire = await openSession(server)
    wire.send(
      parse({ name: 's', sql: 'select generate_series(1, $1::int)', types: [23] }),
      describeTarget('statement', 's'),
      bind({ statement: 's', portal: 'p', values: [int32(3)], formats: [1] }),
      execute('p', 2),
      execute('p'),
      close('portal', 'p'),
      close('statement', 's'),
      sync(),
    )
    const replies = await wire.readUntil('ReadyForQuery')
    expect(names(replies)).toEqual([
      'ParseComplete',
      'ParameterDescription',
      'RowDescription',
      'BindComplete',
      'DataRow',
      'DataRow',
      'PortalSuspended',
      'DataRow',
      'CommandComplete',
      'CloseComplete',
      'CloseComplete',
      'ReadyForQuery',
    ])
  })

  test('pipelined statements are answered in order, also when cut at every byte', async () => {
    using wire = await openSession(server)
    const pipeline = concat(
      extendedQuery('select $1::text', ['first']),
      query('select 2'),
      extendedQuery('select $1::int', [null]),
    )
    for (const byte of pipeline) wire.send(Uint8Array.of(byte))
    const values: (string | null | undefined)[] = []
    for (let turn = 0; turn < 3; turn++) {
      for (const reply of await wire.readUntil('ReadyForQuery')) {
        if (reply.name === 'DataRow') values.push(reply.values[0])
      }
    }
    expect(values).toEqual(['first', '2', null])
  })

  test('flush brings replies without a Sync', async () => {
    using wire = await openSession(server)
    wire.send(parse({ sql: 'select 1' }), flush())
    await wire.expect('ParseComplete')
    wire.send(sync())
    await wire.expect('ReadyForQuery')
  })

  test('copy goes in, is refused halfway, and comes out', async () => {
    using wire = await openSession(server)
    await wire.query('create temp table lines (line text)')
    wire.send(query('copy lines from stdin'))
    expect((await wire.expect('CopyInResponse')).columnFormats).toEqual([0])
    wire.send(copyData('one\ntwo\n'), copyDone())
    expect((await wire.expect('CommandComplete')).tag).toBe('COPY 2')
    await wire.expect('ReadyForQuery')

    wire.send(query('copy lines from stdin'))
    await wire.expect('CopyInResponse')
    wire.send(copyFail('changed my mind'))
    expect((await wire.expect('ErrorResponse')).message).toContain('changed my mind')
    await wire.expect('ReadyForQuery')

    expect(names(await wire.query('copy lines to stdout'))).toEqual([
      'CopyOutResponse',
      'CopyData',
      'CopyData',
      'CopyDone',
      'CommandComplete',
      'ReadyForQuery',
    ])
  })

  test('a large value arrives whole', async () => {
    using wire = await openSession(server)
    const [row] = await wire.rows("select repeat('x', 20000000)")
    expect(row?.[0]?.length).toBe(20_000_000)
  })

  test('a cancel request ends the statement of the session whose key it carries', async () => {
    const wire = await connectWire(server)
    const { pid, secret } = await wire.login(server)
    wire.send(query('select pg_sleep(60)'))
    using witness = await openSession(server)
    // A cancel request that comes before its statement would do nothing.
    const asleep = `select from pg_stat_activity where pid = ${pid} and wait_event = 'PgSleep'`
    while ((await witness.rows(asleep)).length === 0);
    const canceller = await connectWire(server)
    canceller.send(cancelRequest(pid, secret))
    await canceller.closed()
    await wire.expect('RowDescription')
    const error = await wire.expect('ErrorResponse')
    expect(error.code).toBe('57014')
    await wire.expect('ReadyForQuery')
    await wire.terminate()
  })

  test('an SSLRequest is answered by a single byte without framing', async () => {
    const wire = await connectWire(server)
    wire.send(sslRequest())
    expect(await wire.readBytes(1)).toEqual(new TextEncoder().encode('N'))
    await wire.login(server)
    await wire.terminate()
  })

  test('notices and notifications are read like any other message', async () => {
    using wire = await openSession(server)
    const replies = await wire.query("listen news; notify news, 'hello'")
    const notification = replies.find(({ name }) => name === 'NotificationResponse')
    expect(notification).toMatchObject({ channel: 'news', payload: 'hello' })
    const notices = await wire.query("do $$ begin raise notice 'by the way'; end $$")
    expect(notices[0]).toMatchObject({ name: 'NoticeResponse', message: 'by the way' })
  })
})

describe('against a server that lies', () => {
  let liar: Server
  let lie: Uint8Array = new Uint8Array(0)
  beforeAll(async () => {
    liar = createServer((socket) => socket.end(lie))
    await new Promise<void>((resolve) => {
      liar.listen(0, '127.0.0.1', resolve)
    })
  })
  afterAll(() => {
    liar.close()
  })

  async function readOf(bytes: Uint8Array): Promise<BackendMessage> {
    lie = bytes
    const address = liar.address()
    if (address === null || typeof address === 'string') throw new Error('the liar is not there')
    const wire = await connectWire({ host: '127.0.0.1', port: address.port })
    try {
      return await wire.read()
    } finally {
      wire.destroy()
    }
  }

  test('a good message is read', async () => {
    expect(await readOf(message('Z', Uint8Array.of(0x49)))).toMatchObject({ status: 'I' })
  })

  test('an unknown type is an error', async () => {
    await expect(readOf(message('?'))).rejects.toThrow('unknown type "?"')
  })

  test('a length under four is an error', async () => {
    await expect(readOf(concat(Uint8Array.of(0x5a), int32(3)))).rejects.toThrow(
      'impossible length 3',
    )
  })

  test('a payload with bytes left over is an error', async () => {
    await expect(readOf(message('Z', Uint8Array.of(0x49, 0)))).rejects.toThrow('1 bytes left over')
  })

  test('a payload that is too short is an error', async () => {
    await expect(readOf(message('K', Uint8Array.of(1)))).rejects.toThrow(
      'a field of 4 bytes where 1',
    )
  })

  test('an end in the midst of a message is an error', async () => {
    const half = message('C', new Uint8Array(10)).subarray(0, 8)
    await expect(readOf(half)).rejects.toThrow('the connection was closed with 8 bytes of it read')
  })
})

test('a read that nothing answers ends in time and says what was waited for', async () => {
  const silent = createServer(() => {})
  await new Promise<void>((resolve) => {
    silent.listen(0, '127.0.0.1', resolve)
  })
  const address = silent.address()
  if (address === null || typeof address === 'string') throw new Error('no address')
  const wire = await connectWire({ host: '127.0.0.1', port: address.port }, { timeoutMs: 30 })
  await expect(wire.read()).rejects.toThrow('waited 30 ms in vain for a message')
  silent.close()
})
