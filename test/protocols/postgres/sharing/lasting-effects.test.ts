import { describe, expect, test } from 'bun:test'
import {
  deallocated,
  lastingEffect,
  type Reading,
} from '../../../../src/protocols/postgres/sharing/lasting-effects.ts'

const REPORTED = ['timezone', 'application_name', 'client_encoding', 'datestyle', 'search_path']
const reading: Reading = {
  reports: (name) => REPORTED.includes(name),
  escapes: false,
  hasUnreported: false,
}

function effect(sql: string, more: Partial<Reading> = {}) {
  // Somewhere in a chunk, as on the wire.
  const bytes = new TextEncoder().encode(`listen; ${sql}; listen`)
  return lastingEffect(bytes, 8, bytes.length - 8, { ...reading, ...more })
}

/** Statements by what they leave behind. */
const LEAVING = {
  listen: ['listen a', 'LISTEN "a"', 'select 1; Listen a', '/* x */ listen a', '-- x\nlisten a'],
  load: ["load 'x'", "LOAD 'x'"],
  lock: [
    'select pg_advisory_lock(1)',
    'select PG_TRY_ADVISORY_LOCK (1, 2)',
    'select pg_advisory_lock_shared(1)',
    'select pg_catalog.pg_try_advisory_lock_shared(1)',
    'select "pg_advisory_lock"(1)',
    'with a as (select pg_advisory_lock(1)) select 1',
    'do $$ begin perform pg_advisory_lock(1); end $$',
    'update t set a = 1 where pg_try_advisory_lock(a)',
  ],
  temporary: [
    'create temp table t (a int)',
    'CREATE TEMPORARY TABLE t (a int)',
    'create local temporary table t (a int)',
    'create global temp sequence s',
    'create or replace temp view v as select 1',
    'create temp table t as select 1',
    'select 1 into temp t',
    'select 1 as a into local temporary table t',
    'create table pg_temp.t (a int)',
    'do $$ begin create temp table t (a int); end $$',
  ],
  cursor: [
    'declare c cursor with hold for select 1',
    'DECLARE c BINARY INSENSITIVE SCROLL CURSOR WITH HOLD FOR SELECT 1',
    'begin; declare c cursor with\nhold for select 1; commit',
  ],
  prepare: [
    'prepare p as select 1',
    'execute p',
    'EXECUTE p(1)',
    'deallocate p',
    'deallocate prepare p',
    'explain analyze execute p',
    'create table t as execute p',
  ],
  setting: [
    "set statement_timeout = '1s'",
    'set session work_mem to 1',
    'SET work_mem=1',
    'set a.b = 1',
    '; set work_mem = 1',
    '-- x\nset work_mem = 1',
    '/* x */set work_mem = 1',
    'select 1;set work_mem = 1',
    'set role x',
    'set session authorization x',
    'set session characteristics as transaction read only',
    'set xml option document',
    'set seed to 0.5',
    "select set_config('work_mem', '1', false)",
    "select set_config($1, '1', false)",
    "select set_config('work_mem', '1', $1)",
    "select set_config('work_mem', f(1, 2), false)",
    'reset session authorization',
    'do $$ begin set work_mem = 1; end $$',
    'do $$ begin if true then set work_mem = 1; end if; end $$',
    'do $$ begin\n  set work_mem = 1; end $$',
  ],
  unread: ["do $$ begin execute 'listen a'; end $$"],
} as const

describe.each(Object.entries(LEAVING))('%s is left by', (reason, statements) => {
  test.each([...statements])('%s', (sql) => {
    expect(effect(sql)).toBe(reason as never)
  })
})

/** Statements that leave nothing behind, though they look like others that do. */
const HARMLESS = [
  '',
  'select 1',
  'update t set a = 1',
  'update t\nset a = 1',
  'update t -- x\n set a = 1',
  'insert into t values (1) on conflict (a) do update set a = 2',
  'select * from listen',
  'select load, temp, hold, prepare from t',
  "select 'listen a; set work_mem = 1'",
  'select "set_config" from t',
  'grant execute on function f() to x',
  'prepare transaction $$x$$',
  'set local work_mem = 1',
  'set transaction isolation level serializable',
  'set constraints all deferred',
  "set timezone = 'UTC'",
  "set TimeZone to 'UTC'",
  "set time zone 'UTC'",
  "set session time zone 'UTC'",
  "set names 'utf8'",
  "set schema 'x'",
  'set search_path = a, b',
  'set "search_path" to a',
  "select set_config('search_path', '', false)",
  "select set_config('work_mem', '1', true), set_config($1, $2, 't')",
  'select pg_advisory_xact_lock(1)',
  'select pg_try_advisory_xact_lock(1)',
  'select pg_advisory_unlock(1)',
  'select pg_table_size($$pg_temp$$)',
  'declare c cursor for select hold from t',
  'declare c cursor without hold for select 1',
  'create table temp (a int)',
  'create table template (temp int, temporary int)',
  'create function f() returns int language sql as $$ listen a $$',
  'deallocate all',
  'deallocate prepare all',
  'discard all',
  'discard temp',
  'reset all',
  'reset work_mem',
  'unlisten *',
  'notify a',
  'alter role x set work_mem = 1',
  'alter database x set work_mem = 1',
  "do $$ begin perform set_config('work_mem', '1', true); end $$",
  "do $$ begin update t set a = 1; execute 'select 1'; end $$",
  'copy t from stdin',
  'listening',
  'a_set b',
]

describe('nothing is left by', () => {
  test.each(HARMLESS)('%s', (sql) => {
    const bytes = new TextEncoder().encode(sql)
    expect(lastingEffect(bytes, 0, bytes.length, reading)).toBeNull()
  })
})

test('search_path ties a client to its connection where the server does not report it', () => {
  const older = { reports: (name: string) => name !== 'search_path' && reading.reports(name) }
  for (const sql of [
    'set search_path = a',
    "set schema 'a'",
    "select set_config('search_path', '', false)",
  ]) {
    expect(effect(sql, older)).toBe('setting')
  }
})

test('RESET takes away what a client has asked for at its login', () => {
  const more = { hasUnreported: true }
  expect(effect('reset all', more)).toBe('setting')
  expect(effect('reset work_mem', more)).toBe('setting')
  expect(effect('reset timezone', more)).toBeNull()
})

test('a backslash hides nothing where it is no escape, and where it is one', () => {
  expect(effect("select 'a\\'; listen a")).toBe('listen')
  expect(effect("select 'a\\'; listen a'", { escapes: true })).toBeNull()
  expect(effect("select 'a\\''; listen a", { escapes: true })).toBe('listen')
})

test('the statement that is deallocated is known where that is all', () => {
  expect(deallocated('deallocate a')).toBe('a')
  expect(deallocated('DEALLOCATE PREPARE "A";')).toBe('A')
  for (const sql of ['deallocate all', 'deallocate a; select 1', 'deallocate', 'select 1']) {
    expect(deallocated(sql)).toBeNull()
  }
})
