/**
 * What one call of a gRPC plugin is given: batches that begin with the only statement in them,
 * replies that are whole, limits that hold; and that observers are told before anything is asked.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  describe as ask,
  bind,
  close,
  concat,
  copyData,
  copyDone,
  cstring,
  execute,
  flush,
  int16,
  int32,
  message,
  parse,
  query,
  sync,
} from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import type { Wire } from '../kit/wire.ts'
import {
  buildPlugins,
  CallsFile,
  type Entry,
  entryOf,
  exchange,
  isUsable,
  login,
  scripted,
  startWith,
  stepFailures,
} from './plugins-scene.ts'

let postgres: PostgresServer
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
}, 120_000)
afterAll(() => postgres.stop())

/** The type letters of whole messages in a row; throws where a message is cut. */
function letters(bytes: string): string {
  const buffer = Buffer.from(bytes, 'latin1')
  let read = ''
  let at = 0
  while (at < buffer.length) {
    read += String.fromCharCode(buffer[at]!)
    at += 1 + buffer.readUInt32BE(at + 1)
  }
  if (at !== buffer.length) throw new Error(`the last of ${read} is cut`)
  return read
}

/** FunctionCall of `abs(int4)`, arguments and result as texts. */
const ABS_OF_INT4 = 1397
const functionCall = (value: string): Uint8Array =>
  message(
    'F',
    int32(ABS_OF_INT4),
    int16(0),
    int16(1),
    int32(value.length),
    cstring(value).slice(0, -1),
    int16(0),
  )

describe('units', () => {
  let gateway: RunningGateway
  let calls: CallsFile
  let wire: Wire
  beforeAll(async () => {
    calls = new CallsFile()
    gateway = await startWith(postgres, { plugins: [scripted({ RECORD_FILE: calls.file })] })
    wire = await login(gateway, postgres)
    // A session like this one says what it is in the first of its calls.
    await wire.query('select 1')
  }, 30_000)
  afterAll(async () => {
    await gateway.stop()
    calls[Symbol.dispose]()
  })

  /** The units of one direction that these messages, in one write, have led to. */
  async function units(
    messages: readonly Uint8Array[],
    replies: number,
  ): Promise<{ toServer: string[]; toClient: string[] }> {
    const before = calls.calls().length
    // In one piece: what is read together is what may stand together.
    await exchange(wire, [concat(...messages)], replies)
    const made = calls.calls().slice(before)
    const of = (method: string, key: 'request' | 'response'): string[] =>
      made.filter((call) => call.method === method).map((call) => letters(call[key]))
    return {
      toServer: of('OnTrafficFromClient', 'request'),
      toClient: of('OnTrafficFromServer', 'response'),
    }
  }

  const PARTS = [bind(), ask(), execute()]

  test('an extended query is one batch, and its reply one', async () => {
    expect(await units([parse({ sql: 'select 1' }), ...PARTS, sync()], 1)).toEqual({
      toServer: ['PBDES'],
      toClient: ['12TDCZ'],
    })
  })

  test('a batch begins before every Parse, and the reply goes on to ReadyForQuery', async () => {
    const one = [parse({ sql: 'select 1' }), ...PARTS]
    expect(await units([...one, ...one, sync()], 1)).toEqual({
      toServer: ['PBDE', 'PBDES'],
      toClient: ['12TDC12TDCZ'],
    })
  })

  test('a batch begins before and ends behind every Query', async () => {
    const messages = [query('select 1'), query('select 2'), parse({ sql: 'select 3' }), bind()]
    const all = [...messages, execute(), sync(), query('select 4')]
    const { toServer, toClient } = await units(all, 4)
    expect(toServer).toEqual(['Q', 'Q', 'PBES', 'Q'])
    expect(toClient).toEqual(['TDCZ', 'TDCZ', '12DCZ', 'TDCZ'])
  })

  test('a batch ends behind every Sync', async () => {
    const messages = [close('statement'), sync(), close('portal'), sync(), sync()]
    expect(await units(messages, 3)).toEqual({
      toServer: ['CS', 'CS', 'S'],
      toClient: ['3Z', '3Z', 'Z'],
    })
  })

  test('a FunctionCall stands alone', async () => {
    const call = functionCall('-5')
    const all = [close('portal'), call, call, parse({ sql: 'select 1' }), sync()]
    const { toServer } = await units(all, 3)
    expect(toServer).toEqual(['C', 'F', 'F', 'PS'])
  })

  test('a reply ends where the client must speak: at a Flush, and at a copy', async () => {
    const flushed = wire.readUntil('ParseComplete')
    const before = calls.calls().length
    wire.send(parse({ sql: 'select 1' }), flush())
    await flushed
    await exchange(wire, [sync()], 1)
    const replies = calls
      .calls()
      .slice(before)
      .filter(({ method }) => method === 'OnTrafficFromServer')
    expect(replies.map(({ response }) => letters(response))).toEqual(['1', 'Z'])
    await wire.query('create temp table copied (n int)')
    const asked = wire.readUntil('CopyInResponse')
    const copied = calls.calls().length
    wire.send(query('copy copied from stdin'))
    await asked
    await exchange(wire, [copyData('1\n'), copyDone()], 1)
    const ends = calls.calls().slice(copied)
    const told = ends.filter(({ method }) => method === 'OnTrafficFromServer')
    expect(told.map(({ response }) => letters(response))).toEqual(['G', 'CZ'])
  })

  test('a notification alone is a reply of its own', async () => {
    await wire.query('listen news')
    const before = calls.calls().length
    using other = await login(postgres, postgres)
    await other.query("notify news, 'fresh'")
    expect(await wire.expect('NotificationResponse')).toMatchObject({ payload: 'fresh' })
    await calls.saw('fresh')
    const [call] = calls.calls().slice(before)
    expect(letters(call?.response ?? '')).toBe('A')
    await wire.query('unlisten news')
  })

  test('a result of many reads is given whole, and the request with it', async () => {
    const sql = "select repeat('x', 1000) from generate_series(1, 2000)"
    const before = calls.calls().length
    await exchange(wire, [query(sql)], 1)
    const replies = calls
      .calls()
      .slice(before)
      .filter(({ method }) => method === 'OnTrafficFromServer')
    expect(replies).toHaveLength(1)
    expect(letters(replies[0]!.response)).toBe(`T${'D'.repeat(2000)}CZ`)
    expect(replies[0]!.request).toContain(sql)
  })
})

const LIMIT_BYTES = 65_536
const limited = (plugins: readonly Entry[]) =>
  startWith(postgres, { plugins, server: { messageBytesMax: LIMIT_BYTES } })
const ROWS = 300
const LARGE = `select repeat('x', 1000) from generate_series(1, ${ROWS})`

test('a reply larger than messageBytesMax streams past where the plugin fails open', async () => {
  await using gateway = await limited([scripted()])
  using wire = await login(gateway, postgres)
  const read = await exchange(wire, [query(LARGE)], 1)
  expect(read.filter((said) => said.startsWith('row x'))).toHaveLength(ROWS)
  expect(await stepFailures(gateway, 'scripted', 'onTrafficFromServer')).toBe(1)
  const rewritten = await exchange(wire, [query("select 'rewrite' || ' me'")], 1)
  expect(rewritten).toContain('row rewritten!')
  expect(await isUsable(wire)).toBeTrue()
})

test('a reply larger than messageBytesMax is refused where the plugin fails closed', async () => {
  await using gateway = await limited([scripted({}, { onFailure: 'closed' })])
  using wire = await login(gateway, postgres)
  for (const status of ['I', 'T']) {
    if (status === 'T') await wire.query('begin')
    const read = await exchange(wire, [query(LARGE)], 1)
    expect(read.filter((said) => said.startsWith('row'))).toEqual([])
    const [refusal] = read.filter((said) => said.startsWith('ERROR'))
    expect(refusal).toStartWith('ERROR 54000 too large for plugin "scripted"')
    expect(read.at(-1)).toBe(`ready ${status}`)
  }
  expect(await isUsable(wire)).toBeTrue()
})

test('a statement larger than messageBytesMax streams past, or is refused', async () => {
  const sql = `select length('${'x'.repeat(2 * LIMIT_BYTES)}')`
  for (const entry of [scripted, (_: object, more: Entry) => entryOf('verdicts.wasm', more)]) {
    await using open = await limited([entry({}, { name: 'judge' })])
    using wire = await login(open, postgres)
    expect(await exchange(wire, [query(sql)], 1)).toContain(`row ${2 * LIMIT_BYTES}`)
    expect(await stepFailures(open, 'judge')).toBe(1)
    await using closed = await limited([entry({}, { name: 'judge', onFailure: 'closed' })])
    using refused = await login(closed, postgres)
    const [said, ready] = await exchange(refused, [query(sql)], 1)
    expect(said).toStartWith('ERROR 54000 too large for plugin "judge"')
    expect(ready).toBe('ready I')
    expect(await isUsable(refused)).toBeTrue()
  }
})

test('a plugin is told of a session before it is first asked, however slow it is', async () => {
  using calls = new CallsFile()
  // OnOpened, OnClosing, OnClosed, OnTraffic, OnTrafficFromClient and OnTrafficFromServer.
  const env = { HOOKS: '12,13,14,15,16,18', OPENED_MS: '200', RECORD_FILE: calls.file }
  await using gateway = await startWith(postgres, { plugins: [scripted(env)] })
  const wire = await login(gateway, postgres)
  await wire.query('select 1')
  await wire.terminate()
  await gateway.stop()
  const methods = calls.calls().map(({ method }) => method)
  expect(methods.slice(1, 4)).toEqual(['OnOpened', 'OnTraffic', 'OnTrafficFromClient'])
  expect(methods.filter((method) => method === 'OnOpened' || method === 'OnTraffic')).toHaveLength(
    2,
  )
  expect(methods.slice(-2)).toEqual(['OnClosing', 'OnClosed'])
})
