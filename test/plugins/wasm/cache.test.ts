/** The cache plugin: what it answers from memory, and what it never keeps. */
import { beforeAll, describe, expect, test } from 'bun:test'
import {
  bound,
  type CacheScene,
  complete,
  described,
  done,
  error,
  freshSelect,
  fullResult,
  isKept,
  parsed,
  ready,
  replyOf,
  result,
  row,
  startCache,
} from '../../fixtures/wasm/cache-scene.ts'
import {
  bind,
  concat,
  describe as describes,
  execute,
  extendedQuery,
  message,
  parse,
  query,
  sync,
} from '../../kit/frontend.ts'

let scene: CacheScene
beforeAll(async () => {
  scene = await startCache()
})

describe('a reading statement', () => {
  test('is answered with the very bytes of its reply, but for ReadyForQuery', () => {
    const client = scene.client()
    const sql = freshSelect()
    expect(client.ask(query(sql), replyOf('first'))).toBe(false)
    expect(client.send(query(sql))).toEqual(result('first'))
    expect(scene.client().send(query(sql))).toEqual(result('first'))
  })

  test('is answered in the extended protocol as it was asked there', () => {
    const client = scene.client()
    const sql = freshSelect()
    const unit = extendedQuery(sql, ['1'])
    expect(client.ask(unit, concat(fullResult('x'), ready()))).toBe(false)
    expect(client.send(unit)).toEqual(fullResult('x'))
    const bare = concat(parse({ sql }), bind(), execute(), sync())
    const reply = concat(parsed(), bound(), row('x'), complete('SELECT 1'))
    expect(client.ask(bare, concat(reply, ready()))).toBe(false)
    expect(client.send(bare)).toEqual(reply)
  })

  test('is another with other values, formats or types', () => {
    const client = scene.client()
    const sql = `${freshSelect()} and b = $1`
    const units = [
      extendedQuery(sql, ['1']),
      extendedQuery(sql, ['2']),
      extendedQuery(sql, [null]),
      concat(parse({ sql, types: [23] }), bind({ values: ['1'] }), describes(), execute(), sync()),
      concat(
        parse({ sql }),
        bind({ values: ['1'], resultFormats: [1] }),
        describes(),
        execute(),
        sync(),
      ),
    ]
    for (const [at, unit] of units.entries()) {
      expect(client.ask(unit, concat(fullResult(`${at}`), ready()))).toBe(false)
    }
    for (const [at, unit] of units.entries()) expect(client.send(unit)).toEqual(fullResult(`${at}`))
  })

  test('is another for other users, databases, groups, blocks and settings of the login', () => {
    const sql = freshSelect()
    scene.client().ask(query(sql), replyOf())
    for (const facts of [
      { user: 'bob' },
      { database: 'other' },
      { group: 'second' },
      { block: 'reads' },
    ]) {
      expect(scene.client(facts).ask(query(sql), replyOf())).toBe(false)
    }
    const params = { options: '-c search_path=s' }
    expect(scene.client({}, params).ask(query(sql), replyOf())).toBe(false)
    expect(scene.client({}, params).ask(query(sql), replyOf())).toBe(true)
    expect(scene.client({}, { application_name: 'x' }).ask(query(sql), replyOf())).toBe(true)
  })

  test('is not answered before its client is let in', () => {
    const sql = freshSelect()
    scene.client().ask(query(sql), replyOf())
    expect(scene.stranger().send(query(sql))).toBeNull()
  })

  const kept = [
    'SELECT 1',
    'values (1)',
    'table t',
    "select count(*), lower(b), coalesce(c, 'x') from t where a in (1, 2) group by b, c",
    'with x as (select a from t) select * from x',
    'with recursive n(i) as (select 1 union all select i + 1 from n where i < 9) select * from n',
    'select pg_catalog.upper(a)::varchar(10) from t',
    "select a from t where known = 'I know' and c = 'nowhere'",
    'select row_number() over (partition by a order by b) from t',
    'select extract(year from d), substring(e from 2 for 3) from t -- for update',
    'select t.current_date from t',
    'select "user" from t;',
    "select a from t where a ~ '\\d+\\\\' and b like 'x'",
  ]
  for (const sql of kept)
    test(`is kept: ${sql}`, () => expect(isKept(scene.client(), sql)).toBe(true))

  const unkept = [
    'select now()',
    'select random()',
    'select NOW ( )',
    'select pg_catalog.now()',
    'select current_user',
    'select CURRENT_TIMESTAMP, a from t',
    'select a from t where d = current_date',
    'select localtime',
    'select user',
    "select nextval('s')",
    "select 'today'::date",
    "select a from t where d > ' NOW '",
    "select timestamp 'tomorrow 10:00'",
    "select e'n\\\\157w'::timestamp",
    'select a from t for update',
    'select a from t for no key update',
    'select a from t for share skip locked',
    'select a from t for key share',
    'select a into u from t',
    'with d as (delete from t returning *) select * from d',
    'select * from t tablesample bernoulli (5)',
    'select * from pg_stat_activity',
    'select * from pg_catalog.pg_class',
    'select * from information_schema.tables',
    'select mine(a) from t',
    'select "now"()',
    'select s.lower(a) from t',
    'select txid_current()',
    "select current_setting('x')",
    'select pg_sleep(1)',
    'explain select 1',
    'explain analyze select 1',
    'show all',
    'fetch all from c',
    'copy t to stdout',
    'select 1; select 2',
    "select 'a",
    "select 'a\\' from t",
    '',
  ]
  for (const sql of unkept)
    test(`is not kept: ${sql}`, () => expect(isKept(scene.client(), sql)).toBe(false))

  test('is not kept where a value means the present', () => {
    const client = scene.client()
    const unit = extendedQuery(`${freshSelect()} and d = $1`, ['today'])
    const reply = concat(fullResult('x'), ready())
    expect([client.ask(unit, reply), client.ask(unit, reply)]).toEqual([false, false])
  })
})

describe('a reply', () => {
  const cases: readonly [string, Uint8Array][] = [
    ['with an error', concat(error(), ready())],
    ['with an error behind rows', concat(described(), row('x'), error(), ready())],
    ['with a notice', concat(message('N', new Uint8Array(1)), replyOf())],
    ['in which a row is missing', concat(described(), complete('SELECT 1'), ready())],
    ['in a transaction', concat(result('x'), ready('T'))],
    ['that is none', ready()],
    ['larger than resultBytesMax', replyOf('x'.repeat(70_000))],
  ]
  for (const [what, reply] of cases) {
    test(`${what} is not kept`, () => {
      const client = scene.client()
      const sql = freshSelect()
      client.ask(query(sql), reply)
      expect(client.send(query(sql))).toBeNull()
    })
  }

  test('is kept however it is cut', () => {
    const client = scene.client()
    const sql = freshSelect()
    expect(client.send(query(sql))).toBeNull()
    for (const part of [described(), row('x'), complete('SELECT 1'), ready()]) client.hear(part)
    expect(client.send(query(sql))).toEqual(result('x'))
  })

  test('that nobody is known to have asked for empties the database', () => {
    const client = scene.client()
    const sql = freshSelect()
    client.ask(query(sql), replyOf())
    scene.client().hear(ready())
    expect(client.send(query(sql))).toBeNull()
  })

  test('is not kept for longer than its time', async () => {
    const { client } = await startCache({ ttlMs: 1 })
    const one = client()
    one.ask(query('select 1'), replyOf())
    const until = performance.now() + 3
    while (performance.now() < until);
    expect(one.send(query('select 1'))).toBeNull()
  })
})

describe('memory', () => {
  test('is bounded: what was used least lately makes room', async () => {
    const { client } = await startCache({ ttlMs: 60_000, entriesMax: 3 })
    const one = client()
    for (const sql of ['select 1', 'select 2', 'select 3']) one.ask(query(sql), replyOf())
    expect(one.ask(query('select 1'), replyOf())).toBe(true)
    one.ask(query('select 4'), replyOf())
    const asked = ['select 1', 'select 3', 'select 4', 'select 2']
    expect(asked.map((sql) => one.send(query(sql)) !== null)).toEqual([true, true, true, false])
  })

  test('holds no more bytes than it may, by its own bound and by that of the store', async () => {
    for (const [config, limits] of [
      [{ ttlMs: 60_000, bytesMax: 4000 }, {}],
      [{ ttlMs: 60_000 }, { kvBytesMax: 4000 }],
    ] as const) {
      const { client } = await startCache(config, limits)
      const one = client()
      const last = query('select 49')
      for (let at = 0; at < 50; at++) one.ask(query(`select ${at}`), replyOf('x'.repeat(500)))
      expect(one.ask(last, replyOf())).toBe(true)
      expect(one.ask(query('select 40'), replyOf())).toBe(false)
    }
  })

  test('of clients that come and go does not grow', () => {
    const bytes = (): number => scene.plugin.sandbox?.memoryBytes ?? 0
    const visit = (): void => {
      const client = scene.client()
      for (const name of ['a', 'b']) {
        client.ask(concat(parse({ name, sql: freshSelect() }), sync()), concat(parsed(), ready()))
      }
      client.ask(query(freshSelect()), replyOf())
      client.leave()
    }
    for (let at = 0; at < 11_000; at++) visit()
    const before = bytes()
    for (let at = 0; at < 5000; at++) visit()
    expect(bytes()).toBe(before)
  })
})

test('functions that the configuration vouches for are read as any other', async () => {
  const { client } = await startCache({ ttlMs: 60_000, functions: ['shop.Price'] })
  const one = client()
  expect(isKept(one, 'select price(a), shop.price(b) from t')).toBe(true)
  expect(isKept(one, 'select other(a) from t')).toBe(false)
})

test('everything is counted', async () => {
  const { client, scene: counted } = await startCache()
  const one = client()
  for (let at = 0; at < 3; at++) one.ask(query('select 1'), replyOf())
  one.ask(query('select now()'), replyOf())
  one.ask(query('delete from t'), done('DELETE 1'))
  one.leave()
  const names = counted.declared[0]!.specs.map(({ name }) => name)
  const values = Object.fromEntries(
    counted.recorded.map(({ id, value, labels }) => [[names[id], ...labels].join(' '), value]),
  )
  expect(values).toMatchObject({
    cache_hits_total: 2,
    cache_misses_total: 1,
    cache_kept_total: 1,
    'cache_bypasses_total volatile': 1,
    'cache_bypasses_total write': 1,
    cache_invalidations_total: 2,
    cache_entries: 1,
    cache_bytes: result('x').length + 64,
  })
})

test('texts of any size are judged within their deadline', async () => {
  const { client, plugin } = await startCache({}, { callDeadlineMs: 500 })
  const one = client()
  const size = 4_000_000
  const texts = [
    `insert into t values ('${'x'.repeat(size)}')`,
    `select '${'now'.repeat(size / 3)}'`,
    'select 1;'.repeat(size / 9),
    `select ${'f('.repeat(size / 2)}`,
    `/*${'/*'.repeat(size / 2)}`,
    `select ${'"a".'.repeat(size / 4)}`,
    ';'.repeat(size),
  ]
  for (const sql of texts) {
    one.ask(query(sql), concat(error(), ready()))
    one.ask(extendedQuery('select $1', [sql]), concat(error(), ready()))
  }
  expect(plugin.status().failures).toBe(0)
})

test('messages that are cut or broken do no harm', () => {
  const whole = concat(extendedQuery('select $1', ['x']), query('select 1'))
  for (let length = 0; length < whole.length; length++) {
    const client = scene.client()
    const verdict = client.send(whole.slice(0, length))
    expect(verdict === null || verdict === 'refused').toBe(true)
    client.hear(replyOf().slice(0, length))
    client.leave()
  }
})
