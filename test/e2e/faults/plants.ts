/**
 * Secrets that a session leaves wherever a server session can keep something, and the look for
 * them in another: whoever is given a used server connection must find it as if it were new.
 */
import type { Wire } from '../../kit/wire.ts'

/** What plants a secret; each statement stands for itself, as some may be mutated. */
export function planting(secret: string): readonly string[] {
  return [
    `set fuzz.secret = '${secret}'`,
    `create temp table ${secret} as select '${secret}'::text as secret`,
    `prepare ${secret} as select '${secret}'`,
    `declare ${secret} cursor with hold for select '${secret}'`,
    `listen ${secret}`,
    'select pg_try_advisory_lock(4711)',
    "set search_path = 'pg_temp'",
    `begin; select '${secret}'`,
  ]
}

/** What a fresh session gives: each must give this one value. */
const FRESH: readonly (readonly [sql: string, value: string])[] = [
  ["select coalesce(current_setting('fuzz.secret', true), '')", ''],
  ['select count(*) from pg_catalog.pg_class where relnamespace = pg_my_temp_schema()', '0'],
  ['select count(*) from pg_catalog.pg_prepared_statements', '0'],
  ['select count(*) from pg_catalog.pg_cursors where is_holdable', '0'],
  ['select count(*) from pg_listening_channels()', '0'],
  [
    `select count(*) from pg_catalog.pg_locks
     where locktype = 'advisory' and pid = pg_backend_pid()`,
    '0',
  ],
  ['show search_path', '"$user", public'],
  ['select current_user = session_user', 't'],
]

/** Throws where a session, just opened, finds anything that another has left. */
export async function mustBeFresh(wire: Wire): Promise<void> {
  for (const [sql, value] of FRESH) {
    const replies = await wire.query(sql)
    const row = replies.find(({ name }) => name === 'DataRow')
    const found = row?.name === 'DataRow' ? row.values[0] : null
    if (found !== value) throw new Error(`a used session: ${sql} gives ${JSON.stringify(found)}`)
    const last = replies.at(-1)
    if (last?.name === 'ReadyForQuery' && last.status !== 'I') {
      throw new Error(`a used session: it is in a transaction (${last.status})`)
    }
  }
}
