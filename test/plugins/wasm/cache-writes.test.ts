/** The cache plugin: what makes results stale, and when. */
import { beforeAll, describe, expect, test } from 'bun:test'
import {
  type CacheScene,
  done,
  freshSelect,
  ready,
  replyOf,
  result,
  startCache,
  survives,
} from '../../fixtures/wasm/cache-scene.ts'
import { bind, concat, execute, extendedQuery, message, query, sync } from '../../kit/frontend.ts'

let scene: CacheScene
beforeAll(async () => {
  scene = await startCache()
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
    const [one, two] = [query(freshSelect()), query(freshSelect())]
    reader.ask(one, replyOf())
    expect(writer.send(query('delete from t'))).toBeNull()
    for (const unit of [one, two, one, two]) expect(reader.ask(unit, replyOf())).toBe(false)
    writer.hear(done('DELETE 1'))
    expect(reader.ask(one, replyOf())).toBe(false)
    expect(reader.ask(two, replyOf())).toBe(false)
    expect(reader.ask(one, replyOf())).toBe(true)
  })

  test('in a transaction makes results stale when it is committed', () => {
    const [reader, writer] = [scene.client(), scene.client()]
    const one = query(freshSelect())
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
    const one = query(freshSelect())
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
      const one = query(freshSelect())
      reader.ask(one, replyOf())
      writer.ask(unit, done('DELETE 1'))
      expect(reader.ask(one, replyOf())).toBe(false)
    }
  })

  test('whose client leaves before it is acknowledged makes results stale', () => {
    const [reader, writer] = [scene.client(), scene.client()]
    const one = query(freshSelect())
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
