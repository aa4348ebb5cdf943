/** The read-write-split plugin: which statements go where, and who stays where it is. */
import { describe, expect, test } from 'bun:test'
import type { Plugin } from '../../../src/plugins/plugin.ts'
import { createWasmPlugin } from '../../../src/plugins/wasm/plugin.ts'
import {
  carried,
  makeScene,
  makeSession,
  makeSpec,
  message,
  modulePath,
  query,
} from '../../fixtures/wasm/kit.ts'
import { bind, parse } from '../../kit/frontend.ts'

type Session = ReturnType<typeof makeSession>

interface Split {
  readonly plugin: Plugin
  /** Where a message goes: the block, or "" where the plugin says nothing. */
  send(bytes: Uint8Array | string, session?: Session): string
  /** The server has answered all, and is in this state. */
  ready(status?: string, session?: Session): void
}

async function start(config: Readonly<Record<string, unknown>> = {}): Promise<Split> {
  const { surroundings } = makeScene()
  const plugin = createWasmPlugin(
    makeSpec(modulePath('read-write-split'), { config }),
    surroundings,
  )
  await plugin.start()
  const own = makeSession()
  return {
    plugin,
    send(bytes, session = own) {
      const input = typeof bytes === 'string' ? query(bytes) : bytes
      const verdict = plugin.steps.onTrafficFromClient?.decide(session, input, carried())
      if (verdict === undefined || verdict instanceof Promise) return 'no answer'
      if (verdict.kind === 'continue') return ''
      return verdict.kind === 'route' ? verdict.block : JSON.stringify(verdict)
    },
    ready(status = 'I', session = own) {
      const told = message('Z', status)
      expect(plugin.steps.onTrafficFromServer?.decide(session, told, carried())).toMatchObject({
        kind: 'continue',
      })
    },
  }
}

/** Where a text goes that is the first of its session. */
async function placeOf(sql: string): Promise<string> {
  const { send } = await start()
  return send(sql)
}

const READS = [
  'select * from t',
  "SELECT a, count(*) FROM shop.t WHERE b = 'it''s' GROUP BY 1",
  'table t',
  'values (1)',
  'with x as (select 1) select * from x',
  'select now(), current_date, upper(a), pg_catalog.length(b) from t',
  'select 1; select 2',
  '/* for update */ select 1 -- for update',
  'select \'for update\', "for" from t',
  'begin read only',
  'start transaction isolation level serializable, read only, deferrable',
  'begin read only; select 1; commit',
]
const WRITES = [
  '',
  'insert into t values (1)',
  'update t set a = 1',
  'select * from t for update',
  'select * from t for no key update skip locked',
  'select * from t for share of t',
  'select * into u from t',
  'with d as (delete from t returning *) select * from d',
  "select nextval('s')",
  'select own(1)',
  'select public.upper(a) from t',
  'select pg_is_in_recovery()',
  "select currval('s')",
  'select pg_advisory_xact_lock(1)',
  'begin',
  'begin read write',
  'begin read only, read write',
  'begin read only; commit; insert into t values (1)',
  'commit',
  'select 1; insert into t values (1)',
  'explain analyze delete from t',
  'do $$ begin end $$',
  'call p()',
  'copy t to stdout',
  'vacuum',
  'set local search_path = x',
  "select 'it has no end",
  "select 'a\\'; insert into t values (1)",
]
const STAYS = [
  'set search_path = shop',
  "select set_config('a.b', 'c', false)",
  'reset all',
  'listen news',
  'prepare p as select 1',
  'create temp table t (a int)',
  'select * into temp u from t',
  'declare c cursor with hold for select 1',
  'select pg_advisory_lock(1)',
  "load 'x'",
]

describe('by its text', () => {
  test.each(READS)('%s: may run anywhere', async (sql) => {
    expect(await placeOf(sql)).toBe('reads')
  })

  test.each(WRITES)('%s: belongs to the writes, and what follows may be read', async (sql) => {
    const { send, ready } = await start()
    expect(send(sql)).toBe('writes')
    ready()
    expect(send('select 1')).toBe('reads')
  })

  test.each(STAYS)('%s: stays with the writes, as all that follows', async (sql) => {
    const { send, ready } = await start()
    expect(send(sql)).toBe('writes')
    ready()
    expect(send('select 1')).toBe('writes')
  })

  test.each(STAYS)('%s: stays also where it was arranged in a transaction', async (sql) => {
    const { send, ready } = await start()
    expect(send('begin')).toBe('writes')
    ready('T')
    expect(send(sql)).toBe('')
    ready('T')
    expect(send('commit')).toBe('')
    ready()
    expect(send('select 1')).toBe('writes')
  })

  test('what is too long to be read belongs to the writes', async () => {
    expect(await placeOf(`select '${'x'.repeat(1_100_000)}'`)).toBe('writes')
    expect(await placeOf(`select 1${'; select 1'.repeat(1500)}`)).toBe('writes')
  })
})

describe('a session', () => {
  test('is sent once a transaction, whatever is in it', async () => {
    const { send, ready } = await start()
    expect(send('begin')).toBe('writes')
    ready('T')
    expect(send('select 1')).toBe('')
    ready('E')
    expect(send('select 1')).toBe('')
    ready('T')
    expect(send('commit')).toBe('')
    ready()
    expect(send('select 1')).toBe('reads')
  })

  test('that does not wait is left where it may be, or sent to the writes', async () => {
    const { send } = await start()
    expect([send('select 1'), send('select 2'), send('delete from t')]).toEqual([
      'reads',
      '',
      'writes',
    ])
  })

  test('goes where its Parse goes, and stays where it has named a statement', async () => {
    const { send, ready } = await start()
    expect([send(parse({ sql: 'select $1' })), send(bind())]).toEqual(['reads', ''])
    ready()
    expect([send(parse({ sql: 'delete from t' })), send(bind())]).toEqual(['writes', ''])
    ready()
    expect(send(bind())).toBe('writes')
    ready()
    expect(send(parse({ name: 's', sql: 'select 1' }))).toBe('writes')
    ready()
    expect(send('select 1')).toBe('writes')
  })

  test('is nothing to another', async () => {
    const { send, ready } = await start()
    const [one, other] = [makeSession({ id: '1' }), makeSession({ id: '2' })]
    expect(send('set a.b = 1', one)).toBe('writes')
    ready('T', one)
    expect(send('select 1', other)).toBe('reads')
  })
})

test('blocks and functions have the names of the configuration', async () => {
  const config = { reads: 'near', writes: 'far', functions: ['shop.Price'], sessionState: 'follow' }
  const { send, ready } = await start(config)
  expect(send('select price(1), other.price(2)')).toBe('near')
  ready()
  expect(send('select cost(1)')).toBe('far')
  ready()
  expect(send(parse({ name: 's', sql: 'select 1' }))).toBe('near')
  ready()
  expect(send('set search_path = shop')).toBe('far')
  ready()
  expect(send('select 1')).toBe('near')
})

test('what is no message of the protocol belongs to the writes, and breaks nothing', async () => {
  const { send, ready, plugin } = await start()
  for (const bytes of [message('Q', ''), message('P', 'a'), message('B', ''), message('F', 'x')]) {
    expect(send(bytes)).toBe('writes')
    ready()
  }
  plugin.steps.onTrafficFromServer?.decide(makeSession(), message('Z', ''), carried())
  expect(plugin.status().state).toBe('ready')
})
