import { expect, test } from 'bun:test'
import { isSuspicious } from '../../../../src/protocols/postgres/sharing/suspicion.ts'

function looksAgain(sql: string): boolean {
  const bytes = new TextEncoder().encode(sql)
  return isSuspicious(bytes, 0, bytes.length)
}

test.each([
  'select abalance from pgbench_accounts where aid = 1',
  'UPDATE t SET a = 1 WHERE b = 2',
  'insert into t (like_it, left_over, texts) values (1, 2, 3)',
  'select pg_backend_pid(), pg_typeof(1), price from products',
  'select listens, loading, prepares, temps, holds from t',
  'begin',
  'copy t from stdin',
])('%s is let go at the first look', (sql) => {
  expect(looksAgain(sql)).toBeFalse()
})

test.each([
  'listen a',
  'LoAd x',
  'select 1;PREPARE p',
  'execute p',
  'deallocate p',
  'declare c cursor with hold for',
  'create temp table',
  'create temporary table',
  'set a = 1',
  ' \n SET a = 1',
  'select 1; set a = 1',
  '/**/set a = 1',
  '-- x\nset a = 1',
  'do $$begin set a = 1; end$$',
  'reset all',
  'select set_config($1)',
  'select pg_advisory_lock_shared(1)',
  'select PG_TRY_ADVISORY_LOCK(1)',
  'pg_temp.t',
  'pg_temp_3.t',
])('%s is looked at again', (sql) => {
  expect(looksAgain(sql)).toBeTrue()
})

test('nothing before or behind is looked at', () => {
  const bytes = new TextEncoder().encode('listen select 1 listen')
  expect(isSuspicious(bytes, 7, 15)).toBeFalse()
})
