/** The cache plugin: which sessions share results, and what prepared statements stand for. */
import { beforeAll, describe, expect, test } from 'bun:test'
import {
  bound,
  type CacheScene,
  Client,
  complete,
  described,
  done,
  error,
  freshSelect,
  fullResult,
  parsed,
  ready,
  replyOf,
  result,
  row,
  startCache,
  survives,
} from '../../fixtures/wasm/cache-scene.ts'
import {
  bind,
  close,
  concat,
  describe as describes,
  execute,
  extendedQuery,
  flush,
  message,
  parse,
  query,
  sync,
} from '../../kit/frontend.ts'

let scene: CacheScene
beforeAll(async () => {
  scene = await startCache()
})

describe('a session', () => {
  test('is not answered in a transaction, nor before what it sent has been answered', () => {
    const client = scene.client()
    const one = query(freshSelect())
    client.ask(one, replyOf())
    client.ask(query('begin'), done('BEGIN', 'T'))
    expect(client.ask(one, concat(result('x'), ready('T')))).toBe(false)
    client.ask(query('commit'), done('COMMIT'))
    expect(client.ask(one, replyOf())).toBe(true)
    expect(client.send(query('select now()'))).toBeNull()
    expect(client.send(one)).toBeNull()
    client.hear(concat(replyOf(), replyOf()))
    expect(client.ask(one, replyOf())).toBe(true)
  })

  test('shares results with those that have the same settings only', () => {
    const [one, two] = [scene.client(), scene.client()]
    const unit = query(freshSelect())
    one.ask(unit, replyOf())
    one.ask(query('set search_path to s'), done('SET'))
    expect(one.ask(unit, replyOf())).toBe(false)
    expect(one.ask(unit, replyOf())).toBe(true)
    expect(two.ask(unit, replyOf())).toBe(true)
    two.ask(query('set search_path to s'), done('SET'))
    expect(two.ask(unit, replyOf())).toBe(true)
    two.ask(query('set role bob'), done('SET'))
    expect(two.ask(unit, replyOf())).toBe(false)
  })

  const settings = [
    'set role bob',
    'set session authorization bob',
    "set datestyle = 'german'",
    "set time zone 'UTC'",
    'set client_encoding = latin1',
    'set extra_float_digits = 3',
    'set bytea_output = escape',
    'set intervalstyle = iso_8601',
    'set session characteristics as transaction isolation level serializable',
    'reset all',
    'discard all',
    "select set_config('search_path', 's', false)",
  ]
  for (const sql of settings) {
    test(`has others behind ${sql}`, () => {
      expect(survives(sql, scene.client())).toBe(false)
      const failing = scene.client()
      const unit = query(freshSelect())
      failing.ask(unit, replyOf())
      failing.ask(query(sql), concat(error(), ready()))
      expect(failing.ask(unit, replyOf())).toBe(true)
    })
  }

  test('has its own behind what no key can tell, until all is discarded', () => {
    for (const [sql, status] of [
      ['create temp table t (a int)', 'I'],
      ['create table pg_temp.t (a int)', 'I'],
      ['do $$ begin end $$', 'I'],
      ['begin; set search_path to s; commit', 'I'],
    ]) {
      const client = scene.client()
      const unit = query(freshSelect())
      client.ask(query(sql!), done('X', status))
      expect([client.ask(unit, replyOf()), client.ask(unit, replyOf())]).toEqual([false, false])
      client.ask(query('discard all'), done('DISCARD ALL'))
      expect([client.ask(unit, replyOf()), client.ask(unit, replyOf())]).toEqual([false, true])
    }
  })

  test('has others where the server tells so', () => {
    const client = scene.client()
    const unit = query(freshSelect())
    client.ask(unit, replyOf())
    client.hear(message('S', new TextEncoder().encode('TimeZone\0UTC\0')))
    expect(client.send(unit)).toBeNull()
  })

  test('is a stranger to the next instance: it gets nothing, and may write anything', async () => {
    const before = scene.client()
    before.ask(query('begin'), done('BEGIN', 'T'))
    before.ask(query('delete from t'), done('DELETE 1', 'T'))
    const next = await startCache()
    const stranger = new Client(next.plugin, before.session)
    const reader = next.client()
    const one = query(freshSelect())
    reader.ask(one, replyOf())
    expect(stranger.ask(one, concat(result('x'), ready('T')))).toBe(false)
    expect(reader.ask(one, replyOf())).toBe(true)
    stranger.ask(query('commit'), done('COMMIT'))
    expect(reader.ask(one, replyOf())).toBe(false)
    expect(stranger.ask(one, replyOf())).toBe(false)
    expect(stranger.ask(one, replyOf())).toBe(false)
  })
})

describe('a prepared statement', () => {
  const prepare = (name: string, sql: string): Uint8Array =>
    concat(parse({ name, sql }), describes('statement', name), sync())
  const run = (statement: string, values: readonly string[] = []): Uint8Array =>
    concat(bind({ statement, values }), execute(), sync())
  const reply = (value: string): Uint8Array =>
    concat(bound(), row(value), complete('SELECT 1'), ready())

  test('with a name goes to the server, and is answered by what it says', () => {
    const [one, two] = [scene.client(), scene.client()]
    const [sql, other] = [freshSelect(), freshSelect()]
    expect(one.ask(prepare('a', sql), concat(parsed(), described(), ready()))).toBe(false)
    expect(two.ask(prepare('a', other), concat(parsed(), described(), ready()))).toBe(false)
    expect(two.ask(prepare('b', sql), concat(parsed(), described(), ready()))).toBe(false)
    expect(one.ask(run('a'), reply('one'))).toBe(false)
    expect(one.ask(run('a'), reply('one'))).toBe(true)
    expect(two.ask(run('a'), reply('two'))).toBe(false)
    expect(two.send(run('b'))).toEqual(concat(bound(), row('one'), complete('SELECT 1')))
  })

  test('is not answered where its name may mean another by now', () => {
    const changes = [
      concat(close('statement', 'a'), sync()),
      query('deallocate a'),
      query('deallocate all'),
      query('discard all'),
      prepare('a', 'select 2'),
    ]
    for (const change of changes) {
      const client = scene.client()
      client.ask(prepare('a', freshSelect()), concat(parsed(), described(), ready()))
      client.ask(run('a'), reply('x'))
      expect(client.ask(run('a'), reply('x'))).toBe(true)
      client.ask(change, done('X'))
      expect(client.ask(run('a'), reply('x'))).toBe(false)
      expect(client.ask(run('a'), reply('x'))).toBe(false)
    }
  })

  test('without a name that only memory knows is refused, not run as another', () => {
    const client = scene.client()
    const unit = extendedQuery(freshSelect())
    client.ask(unit, concat(fullResult('x'), ready()))
    const later = concat(bind(), execute(), sync())
    expect(client.send(later)).toBeNull()
    client.hear(reply('x'))
    expect(client.ask(unit, concat(fullResult('x'), ready()))).toBe(true)
    expect(client.send(later)).toBe('refused')
    expect(client.send(concat(describes('statement'), sync()))).toBe('refused')
    expect(client.send(concat(parse({ sql: freshSelect() }), bind(), execute(), sync()))).toBeNull()
  })

  test('in other shapes is not kept', () => {
    const client = scene.client()
    const sql = freshSelect()
    client.ask(prepare('a', sql), concat(parsed(), described(), ready()))
    for (const unit of [
      concat(bind({ statement: 'a', portal: 'p' }), execute('p'), sync()),
      concat(bind({ statement: 'a' }), execute('', 1), sync()),
      concat(bind({ statement: 'a' }), execute(), flush(), sync()),
      concat(bind({ statement: 'a' }), execute(), bind({ statement: 'a' }), execute(), sync()),
      concat(parse({ sql }), bind({ statement: 'a' }), execute(), sync()),
    ]) {
      expect([client.ask(unit, reply('x')), client.ask(unit, reply('x'))]).toEqual([false, false])
    }
  })

  test('that copies in takes one Sync for its data, and all goes on in step', () => {
    const client = scene.client()
    expect(client.send(extendedQuery('copy t from stdin'))).toBeNull()
    client.hear(concat(parsed(), bound(), message('n'), message('G', new Uint8Array(3))))
    expect(client.send(sync())).toBeNull()
    client.hear(done('COPY 1'))
    const one = query(freshSelect())
    expect([client.ask(one, replyOf()), client.ask(one, replyOf())]).toEqual([false, true])
  })
})
