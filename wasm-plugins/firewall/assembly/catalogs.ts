/** Names of PostgreSQL's and other databases' catalogs that injections ask. */
import { beginsWith, isText, lengthOf, Slice } from '../../sdk/assembly/slice'

export function isCatalog(name: Slice): bool {
  const length = lengthOf(name)
  if (length < 7) return false
  if (beginsWith(name, 'pg_')) {
    return isText(name, 'pg_catalog') || isText(name, 'pg_shadow') || isText(name, 'pg_authid')
      || isText(name, 'pg_user') || isText(name, 'pg_database') || isText(name, 'pg_tables')
      || isText(name, 'pg_class') || isText(name, 'pg_attribute') || isText(name, 'pg_namespace')
      || isText(name, 'pg_roles') || isText(name, 'pg_proc') || isText(name, 'pg_stat_activity')
      || isText(name, 'pg_settings') || isText(name, 'pg_views')
  }
  return isText(name, 'information_schema')
    || isText(name, 'all_tables') || isText(name, 'all_users')
    || isText(name, 'sysobjects') || isText(name, 'syscolumns') || isText(name, 'sysusers')
    || isText(name, 'sqlite_master') || isText(name, 'sysibm') || isText(name, 'sysmaster')
    || isText(name, 'msysaccessobjects') || isText(name, 'domain.domains')
}
