/** The SDK reads what drivers and PostgreSQL say to each other, and writes the same. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import pg from 'pg'
import postgres from 'postgres'
import { z } from 'zod'
import { type Asked, startAsked } from '../../fixtures/wasm/sdk.ts'
import { type BackendMessage, decode, messageLength } from '../../kit/backend.ts'
import * as frontend from '../../kit/frontend.ts'
import { seeded } from '../../kit/pipelines.ts'
import { type PostgresServer, startPostgres } from '../../kit/postgres.ts'

const TOLD = z.array(
  z.looseObject({ type: z.number(), length: z.number(), unread: z.boolean().optional() }),
)

let asked: Asked
let server: PostgresServer
beforeAll(async () => {
  asked = await startAsked('sdk-messages')
  server = await startPostgres()
})
afterAll(() => server.stop())

function told(question: 'f' | 'b', bytes: Uint8Array) {
  const answer = asked.ask(Buffer.concat([Buffer.from(question), bytes]))
  return TOLD.parse(JSON.parse(Buffer.from(answer ?? []).toString()))
}

/** A list of messages cut out of a stream. */
function cut(stream: Uint8Array): readonly BackendMessage[] {
  const messages: BackendMessage[] = []
  for (let at = 0; at < stream.length; ) {
    const length = messageLength(stream.subarray(at)) ?? stream.length - at
    messages.push(decode(stream.subarray(at, at + length)))
    at += length
  }
  return messages
}

/** A plain relay in front of the server that remembers what goes by. */
interface Tap {
  readonly port: number
  readonly fromClient: Buffer[]
  readonly fromServer: Buffer[]
  stop(): Promise<void>
}

async function startTap(): Promise<Tap> {
  const fromClient: Buffer[] = []
  const fromServer: Buffer[] = []
  const relay: Server = createServer((client) => {
    const upstream = connect(server.port, server.host)
    client.on('data', (chunk: Buffer) => {
      fromClient.push(chunk)
      upstream.write(chunk)
    })
    upstream.on('data', (chunk: Buffer) => {
      fromServer.push(chunk)
      client.write(chunk)
    })
    client.on('error', () => upstream.destroy())
    upstream.on('error', () => client.destroy())
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
  })
  relay.listen(0, '127.0.0.1')
  await once(relay, 'listening')
  const { port } = z.custom<AddressInfo>().parse(relay.address())
  const stop = async (): Promise<void> => {
    relay.close()
    await once(relay, 'close')
  }
  return { port, fromClient, fromServer, stop }
}

describe('real traffic', () => {
  let clientBytes: Buffer
  let serverBytes: Buffer
  beforeAll(async () => {
    const tap = await startTap()
    const { user, database } = server
    const client = new pg.Client({ host: '127.0.0.1', port: tap.port, user, database })
    await client.connect()
    await client.query(`set standard_conforming_strings = off; create temp table t (a int, b text);
      listen channel; notify channel, 'payload'`)
    await client.query('insert into t select x, $2 from generate_series(1, $1) x', [3, 'é'])
    await client.query({ name: 'named', text: 'select a, b from t where a > $1', values: [1] })
    await client.query('select $1::text as nothing', [null])
    await client.query('selec').catch(() => undefined)
    await client.query(`do $$ begin raise warning 'careful'; end $$`)
    await client.end()
    const sql = postgres({ host: '127.0.0.1', port: tap.port, user, database, max: 1 })
    await sql`select ${42}::int as answer, ${'text'} as word`
    await sql.unsafe('select 1; select 2')
    await sql.end()
    await tap.stop()
    clientBytes = Buffer.concat(tap.fromClient)
    serverBytes = Buffer.concat(tap.fromServer)
  })

  test('of servers is read message by message, with its columns, rows and fields', () => {
    const expected = cut(serverBytes)
    const read = told('b', serverBytes)
    expect(read).toHaveLength(expected.length)
    for (const [index, message] of expected.entries()) {
      const one = read[index]
      expect(one?.type).toBe(message.type.charCodeAt(0))
      expect(one?.length).toBe(message.bytes.length)
      if (message.name === 'CommandComplete') expect(one).toMatchObject({ tag: message.tag })
      if (message.name === 'DataRow') expect(one).toMatchObject({ values: [...message.values] })
      if (message.name === 'RowDescription') {
        const names = z.array(z.tuple([z.string()], z.number())).parse(one?.['columns'])
        expect(names.map(([name]) => name)).toEqual(message.columns.map(({ name }) => name))
      }
    }
    expect(read).toContainEqual(
      expect.objectContaining({ tag: 'INSERT 0 3', verb: 'INSERT', rows: 3 }),
    )
    expect(read).toContainEqual(
      expect.objectContaining({ tag: 'CREATE TABLE', verb: 'CREATE', rows: -1 }),
    )
    expect(read).toContainEqual(expect.objectContaining({ severity: 'ERROR', code: '42601' }))
    expect(read).toContainEqual(
      expect.objectContaining({ severity: 'WARNING', message: 'careful', detail: null }),
    )
    expect(read).toContainEqual(
      expect.objectContaining({ name: 'standard_conforming_strings', value: 'off' }),
    )
    expect(read).toContainEqual(expect.objectContaining({ channel: 'channel', payload: 'payload' }))
  })

  test('of clients is read message by message, with its statements and values', () => {
    const read = told('f', clientBytes)
    expect(read.reduce((sum, { length }) => sum + length, 0)).toBe(clientBytes.length)
    expect(read[0]).toMatchObject({ code: frontend.PROTOCOL_3_0, user: server.user })
    expect(read).toContainEqual(expect.objectContaining({ sql: 'select 1; select 2' }))
    expect(read).toContainEqual(
      expect.objectContaining({ name: 'named', sql: 'select a, b from t where a > $1' }),
    )
    expect(read).toContainEqual(
      expect.objectContaining({
        statement: '',
        values: [
          ['3', false],
          ['é', false],
        ],
      }),
    )
    expect(read).toContainEqual(expect.objectContaining({ values: [[null, false]] }))
    expect(read).toContainEqual(expect.objectContaining({ portal: '', rowsMax: 0 }))
  })

  test('cut anywhere, and with any byte changed, is no reason to trap', () => {
    const random = seeded(3)
    for (const [question, stream] of [
      ['f', clientBytes],
      ['b', serverBytes],
    ] as const) {
      for (let at = 0; at < stream.length; at += 1 + Math.floor(stream.length / 700)) {
        told(question, stream.subarray(0, at))
        told(question, stream.subarray(at))
        const changed = Buffer.from(stream)
        changed[at] = random.below(256)
        told(question, changed)
      }
    }
  })
})

test('messages of clients that drivers seldom send are read', () => {
  const stream = Buffer.concat([
    frontend.startup({ user: 'u', database: 'd', params: { options: '-c x=1' } }),
    frontend.sslRequest(),
    frontend.cancelRequest(1, new Uint8Array(4)),
    frontend.parse({ sql: 'select $1', name: 'p', types: [23, 25] }),
    frontend.copyData('a\tb\n'),
    frontend.copyFail('why'),
    frontend.close('portal', 'x'),
    frontend.describe('statement', 'y'),
    frontend.sync(),
  ])
  expect(told('f', stream).map(({ type: _type, length: _length, ...rest }) => rest)).toEqual([
    {
      code: frontend.PROTOCOL_3_0,
      user: 'u',
      parameters: expect.arrayContaining(['user', 'u', 'database', 'd', 'options', '-c x=1']),
    },
    { code: 80877103, user: null, parameters: [] },
    { code: 80877102, user: null, parameters: [] },
    { name: 'p', sql: 'select $1', types: [23, 25] },
    { bytes: 'a\tb\n' },
    { reason: 'why' },
    { name: 'x', isStatement: false },
    { name: 'y', isStatement: true },
    { unread: true },
  ])
})

test('what is written is what it should be', () => {
  const answer = Buffer.from(asked.ask(Buffer.from('w')) ?? [])
  const clients = Buffer.concat([
    frontend.query('select 1'),
    frontend.parse({ sql: 'select $1' }),
    frontend.bind({ values: [null, 'é'], resultFormats: [1] }),
    frontend.describe('portal'),
    frontend.execute('', 7),
    frontend.close('statement'),
    frontend.sync(),
    frontend.flush(),
    frontend.copyFail('no'),
    frontend.copyData('a\tb\n'),
    frontend.copyDone(),
    frontend.terminate(),
  ])
  expect(answer.subarray(0, clients.length).toString('hex')).toBe(clients.toString('hex'))
  const servers = cut(answer.subarray(clients.length))
  expect(servers.map(({ name }) => name)).toEqual([
    'ParseComplete',
    'BindComplete',
    'CloseComplete',
    'NoData',
    'PortalSuspended',
    'RowDescription',
    'DataRow',
    'CommandComplete',
    'CommandComplete',
    'EmptyQueryResponse',
    'ErrorResponse',
    'NoticeResponse',
    'ParameterStatus',
    'ReadyForQuery',
  ])
  const read = told('b', answer.subarray(clients.length))
  expect(read[5]?.['columns']).toEqual([
    ['id', 0, 0, 23, 4, -1, 0],
    ['näme', 0, 0, 25, -1, -1, 0],
  ])
  expect(read[6]?.['values']).toEqual(['1', null])
  expect(read[7]).toMatchObject({ tag: 'SELECT 1', rows: 1 })
  expect(read[10]).toMatchObject({ code: '42501', message: 'no', detail: 'why', hint: 'how' })
  expect(read[11]).toMatchObject({ severity: 'WARNING', message: 'mind', hint: null })
})
