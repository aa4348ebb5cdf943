/** The cache plugin: what it answers from memory, what it never does, and when it forgets. */
import { beforeAll, describe, expect, test } from 'bun:test'
import {
  bound,
  type CacheScene,
  Client,
  complete,
  described,
  done,
  error,
  fullResult,
  parsed,
  ready,
  result,
  row,
  startCache,
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

/** No two tests may share a statement. */
let numbers = 0
const fresh = (): string => `select a from t where id = ${++numbers}`
const replyOf = (value = 'x'): Uint8Array => concat(result(value), ready())

/** True where the statement is answered from memory the second time. */
function isKept(sql: string, client = scene.client()): boolean {
  const first = client.ask(query(sql), replyOf())
  return !first && client.ask(query(sql), replyOf())
}

/** Runs a statement between two readings of another; true: the other was still in memory. */
function survives(sql: string, client = scene.client(), other = client): boolean {
  const read = fresh()
  other.ask(query(read), replyOf())
  expect(other.ask(query(read), replyOf())).toBe(true)
  client.ask(query(sql), done('X'))
  return other.ask(query(read), replyOf())
}

describe('a reading statement', () => {
  test('is answered with the very bytes of its reply, but for ReadyForQuery', () => {
    const client = scene.client()
    const sql = fresh()
    expect(client.ask(query(sql), replyOf('first'))).toBe(false)
    expect(client.send(query(sql))).toEqual(result('first'))
    expect(scene.client().send(query(sql))).toEqual(result('first'))
  })

  test('is answered in the extended protocol as it was asked there', () => {
    const client = scene.client()
    const sql = fresh()
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
    const sql = `${fresh()} and b = $1`
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
    const sql = fresh()
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
    const sql = fresh()
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
  ]
  for (const sql of kept) test(`is kept: ${sql}`, () => expect(isKept(sql)).toBe(true))

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
    '',
  ]
  for (const sql of unkept) test(`is not kept: ${sql}`, () => expect(isKept(sql)).toBe(false))

  test('is not kept where a value means the present', () => {
    const client = scene.client()
    const unit = extendedQuery(`${fresh()} and d = $1`, ['today'])
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
      const sql = fresh()
      client.ask(query(sql), reply)
      expect(client.send(query(sql))).toBeNull()
    })
  }

  test('is kept however it is cut', () => {
    const client = scene.client()
    const sql = fresh()
    expect(client.send(query(sql))).toBeNull()
    for (const part of [described(), row('x'), complete('SELECT 1'), ready()]) client.hear(part)
    expect(client.send(query(sql))).toEqual(result('x'))
  })

  test('that nobody is known to have asked for empties the database', () => {
    const client = scene.client()
    const sql = fresh()
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

describe('a write', () => {
  const writing = [
    'insert into t values (1)',
    'update t set a = 1',
    'delete from t',
    'merge into t using u on true when matched then delete',
    'truncate t',
    'copy t from stdin',
    'create table u ()',
    'drop table u',
    'alter table t add b int',
    'grant select on t to bob',
    'refresh materialized view v',
    'select a into u from t',
    'with d as (delete from t returning *) select * from d',
    'explain analyze delete from t',
    'do $$ begin end $$',
    'call p()',
    'execute p',
    'select mine(a) from t',
    "select nextval('s')",
    'commit prepared $$x$$',
    'select 1; delete from t',
    'set a = 1; delete from t',
    'frobnicate',
    "select 'a\\'; delete from t --'",
  ]
  for (const sql of writing) {
    test(`makes what was read before stale: ${sql}`, () => {
      expect(survives(sql, scene.client(), scene.client())).toBe(false)
    })
  }

  const reading = [
    'select 1',
    'select now(), random()',
    'begin; commit',
    'show all',
    "set application_name = 'x'",
    'explain delete from t',
    'listen x',
    'copy t to stdout',
    'select a from t for update',
    'declare c cursor for select a from t',
    'deallocate all',
    'select * from x as y(a, b), lateral unnest(b) as z(c)',
  ]
  for (const sql of reading) {
    test(`is none: ${sql}`, () => {
      expect(survives(sql, scene.client(), scene.client())).toBe(true)
    })
  }

  test('of another database changes nothing', () => {
    const other = scene.client({ database: 'other' })
    expect(survives('delete from t', other, scene.client())).toBe(true)
  })

  test('of another user or another block of the database counts', () => {
    const other = scene.client({ user: 'bob', block: 'elsewhere' })
    expect(survives('delete from t', other, scene.client())).toBe(false)
  })

  test('that is on its way to its commit lets nothing be answered, nor kept', () => {
    const [reader, writer] = [scene.client(), scene.client()]
    const [one, two] = [query(fresh()), query(fresh())]
    reader.ask(one, replyOf())
    expect(writer.send(query('delete from t'))).toBeNull()
    expect(reader.ask(one, replyOf())).toBe(false)
    expect(reader.ask(two, replyOf())).toBe(false)
    writer.hear(done('DELETE 1'))
    expect(reader.ask(one, replyOf())).toBe(false)
    expect(reader.ask(two, replyOf())).toBe(false)
    expect(reader.ask(one, replyOf())).toBe(true)
  })

  test('in a transaction makes results stale when it is committed', () => {
    const [reader, writer] = [scene.client(), scene.client()]
    const one = query(fresh())
    reader.ask(one, replyOf())
    writer.ask(query('begin'), done('BEGIN', 'T'))
    writer.ask(query('delete from t'), done('DELETE 1', 'T'))
    expect(reader.ask(one, replyOf())).toBe(true)
    expect(writer.ask(one, concat(result('x'), ready('T')))).toBe(false)
    expect(writer.send(query('commit'))).toBeNull()
    expect(reader.ask(one, replyOf())).toBe(false)
    writer.hear(done('COMMIT'))
    expect(reader.ask(one, replyOf())).toBe(false)
    expect(reader.ask(one, replyOf())).toBe(true)
  })

  test('that began since a query was sent keeps its result out', () => {
    const [reader, writer] = [scene.client(), scene.client()]
    const one = query(fresh())
    writer.ask(query('begin'), done('BEGIN', 'T'))
    expect(reader.send(one)).toBeNull()
    writer.ask(query('delete from t'), done('DELETE 1', 'T'))
    reader.hear(replyOf())
    expect(reader.ask(one, replyOf())).toBe(false)
    expect(reader.ask(one, replyOf())).toBe(true)
  })

  test('in the extended protocol is one, also by its name and by a call of a function', () => {
    const writer = scene.client()
    const units = [
      extendedQuery('delete from t'),
      concat(bind({ statement: 'unknown' }), execute(), sync()),
      message('F', new Uint8Array(10)),
    ]
    for (const unit of units) {
      const reader = scene.client()
      const one = query(fresh())
      reader.ask(one, replyOf())
      writer.ask(unit, done('DELETE 1'))
      expect(reader.ask(one, replyOf())).toBe(false)
    }
  })

  test('whose client leaves before it is acknowledged makes results stale', () => {
    const [reader, writer] = [scene.client(), scene.client()]
    const one = query(fresh())
    reader.ask(one, replyOf())
    writer.send(query('delete from t'))
    writer.leave()
    expect(reader.ask(one, replyOf())).toBe(false)
    expect(reader.ask(one, replyOf())).toBe(true)
  })

  test('makes results of its own tables stale alone, where that is asked for', async () => {
    const { client } = await startCache({ ttlMs: 60_000, byTable: true })
    const [reader, writer] = [client(), client()]
    const [one, two] = [query('select * from one'), query('select * from s.two x join three y')]
    for (const [write, still] of [
      ['delete from public.one', [false, true]],
      ['update two set a = 1', [true, false]],
      ['insert into three select * from one', [true, false]],
      ['insert into four values (1)', [true, true]],
      ['insert into four values (mine())', [false, false]],
      ['create index on four (a)', [false, false]],
    ] as const) {
      for (const unit of [one, two]) reader.ask(unit, replyOf())
      writer.ask(query(write), done('X'))
      expect([reader.ask(one, replyOf()), reader.ask(two, replyOf())]).toEqual([...still])
    }
  })
})

describe('a session', () => {
  test('is not answered in a transaction, nor before what it sent has been answered', () => {
    const client = scene.client()
    const one = query(fresh())
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
    const unit = query(fresh())
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
      expect(survives(sql)).toBe(false)
      const failing = scene.client()
      const unit = query(fresh())
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
      const unit = query(fresh())
      client.ask(query(sql!), done('X', status))
      expect([client.ask(unit, replyOf()), client.ask(unit, replyOf())]).toEqual([false, false])
      client.ask(query('discard all'), done('DISCARD ALL'))
      expect([client.ask(unit, replyOf()), client.ask(unit, replyOf())]).toEqual([false, true])
    }
  })

  test('has others where the server tells so', () => {
    const client = scene.client()
    const unit = query(fresh())
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
    const one = query(fresh())
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
    const [sql, other] = [fresh(), fresh()]
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
      client.ask(prepare('a', fresh()), concat(parsed(), described(), ready()))
      client.ask(run('a'), reply('x'))
      expect(client.ask(run('a'), reply('x'))).toBe(true)
      client.ask(change, done('X'))
      expect(client.ask(run('a'), reply('x'))).toBe(false)
      expect(client.ask(run('a'), reply('x'))).toBe(false)
    }
  })

  test('without a name that only memory knows is refused, not run as another', () => {
    const client = scene.client()
    const unit = extendedQuery(fresh())
    client.ask(unit, concat(fullResult('x'), ready()))
    const later = concat(bind(), execute(), sync())
    expect(client.send(later)).toBeNull()
    client.hear(reply('x'))
    expect(client.ask(unit, concat(fullResult('x'), ready()))).toBe(false)
    expect(client.ask(unit, concat(fullResult('x'), ready()))).toBe(true)
    expect(client.send(later)).toBe('refused')
    expect(client.send(concat(describes('statement'), sync()))).toBe('refused')
    expect(client.send(concat(parse({ sql: fresh() }), bind(), execute(), sync()))).toBeNull()
  })

  test('in other shapes is not kept', () => {
    const client = scene.client()
    const sql = fresh()
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
    const one = query(fresh())
    expect([client.ask(one, replyOf()), client.ask(one, replyOf())]).toEqual([false, true])
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
        client.ask(concat(parse({ name, sql: fresh() }), sync()), concat(parsed(), ready()))
      }
      client.ask(query(fresh()), replyOf())
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
  expect(isKept('select price(a), shop.price(b) from t', one)).toBe(true)
  expect(isKept('select other(a) from t', one)).toBe(false)
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
