/**
 * What functions of PostgreSQL do beyond giving a value, by their names. Functions of one's own are
 * not in it: they may do anything, and their text is not in the statement that calls them.
 */
import { beginsWith, hashOf, isText, lengthOf, ptrOf, Slice } from '../../sdk/assembly/slice'

/** It changes rows, large objects, sequences, settings or the server. */
export const WRITES: i32 = 1
/** It reads or writes files of the server, runs programs, or opens connections from it. */
export const SERVER: i32 = 2
/** It waits as long as it is told. */
export const DELAYS: i32 = 4
/** It runs SQL that it is given as a text. */
export const HIDES: i32 = 8
/** It is a function of another kind of database, as probes try them all. */
export const FOREIGN: i32 = 16
/** It tells of the server and the session what attackers ask for first. */
export const TELLS: i32 = 32

const WRITING =
  'nextval setval lowrite set_config pg_notify pg_terminate_backend pg_cancel_backend ' +
  'pg_reload_conf pg_rotate_logfile pg_promote pg_switch_wal pg_switch_xlog ' +
  'pg_import_system_collations brin_summarize_new_values brin_summarize_range ' +
  'brin_desummarize_range gin_clean_pending_list pg_start_backup pg_stop_backup ' +
  'pg_log_backend_memory_contexts pg_restore_relation_stats pg_restore_attribute_stats ' +
  'pg_clear_relation_stats pg_clear_attribute_stats pg_copy_physical_replication_slot ' +
  'pg_copy_logical_replication_slot pg_logical_emit_message pg_truncate_visibility_map ' +
  'heap_force_kill heap_force_freeze pg_log_standby_snapshot pg_nextoid'
const WRITING_STARTS =
  'lo_ pg_stat_reset pg_drop_ pg_create_ pg_replication_ pg_logical_slot_get pg_wal_replay_ ' +
  'pg_backup_ pg_sync_ pg_xlog_replay_ dblink'
const SERVING =
  'lo_import lo_export pg_stat_file pg_current_logfile pg_logdir_ls pg_execute_server_program'
const SERVING_STARTS = 'pg_read_file pg_read_binary_file pg_ls_ pg_file_ dblink'
const DELAYING = 'pg_sleep pg_sleep_for pg_sleep_until'
const HIDING =
  'query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml ts_stat ts_rewrite ' +
  'crosstab crosstab2 crosstab3 crosstab4 crosstabn connectby database_to_xml schema_to_xml ' +
  'database_to_xml_and_xmlschema schema_to_xml_and_xmlschema xpath_table'
const TELLING =
  'version current_database current_user session_user user inet_server_addr inet_server_port ' +
  'current_setting pg_postmaster_start_time current_schema has_table_privilege getpgusername'
const FOREIGNERS =
  'sleep benchmark load_file extractvalue updatexml xp_cmdshell xp_dirtree xp_regread ' +
  'xp_fileexist sp_oacreate openrowset randomblob load_extension name_const gtid_subset ' +
  'sqlite_version xmltype get_host_address get_host_name receive_message is_srvrolemember ' +
  'sqlid_to_sqlhash fn_xe_file_target_read_file'

const SLOTS: i32 = 512
const hashes = new StaticArray<u64>(SLOTS)
const effects = new StaticArray<u8>(SLOTS)

function add(hash: u64, effect: i32): void {
  let slot = <i32>(hash % SLOTS)
  while (hashes[slot] != 0 && hashes[slot] != hash) slot = (slot + 1) % SLOTS
  hashes[slot] = hash
  effects[slot] |= <u8>effect
}

/** FNV-1a of the folded bytes, as `hashOf`. */
function hashOfText(text: string): u64 {
  let hash: u64 = 0xcbf2_9ce4_8422_2325
  for (let at = 0; at < text.length; at++) {
    hash = (hash ^ <u64>text.charCodeAt(at)) * 0x100_0000_01b3
  }
  return hash
}

function fill(list: string, effect: i32): void {
  const names = list.split(' ')
  for (let at = 0; at < names.length; at++) {
    if (names[at].length > 0) add(hashOfText(names[at]), effect)
  }
}
fill(WRITING, WRITES)
fill(SERVING, SERVER)
fill(DELAYING, DELAYS)
fill(HIDING, HIDES)
fill(TELLING, TELLS)
fill(FOREIGNERS, FOREIGN)

const writingStarts = WRITING_STARTS.split(' ')
const servingStarts = SERVING_STARTS.split(' ')

/** The most names that the configuration may add; the table has room for them and its own. */
export const OWN_MAX: i32 = 128

/** Names of the configuration whose functions write. */
export function addWriting(name: Slice): void {
  add(hashOf(name), WRITES)
}

function startsWithOne(name: Slice, starts: string[]): bool {
  for (let at = 0; at < starts.length; at++) if (beginsWith(name, starts[at])) return true
  return false
}

/** What a function does by its folded name, without its schema. */
export function effectsOf(name: Slice): i32 {
  const hash = hashOf(name)
  let found = 0
  let slot = <i32>(hash % SLOTS)
  while (hashes[slot] != 0) {
    if (hashes[slot] == hash) {
      found = effects[slot]
      break
    }
    slot = (slot + 1) % SLOTS
  }
  if (lengthOf(name) < 4) return found
  const first = load<u8>(ptrOf(name))
  if (first != 0x70 && first != 0x6c && first != 0x64) return found
  if (startsWithOne(name, writingStarts)) found |= WRITES
  if (startsWithOne(name, servingStarts)) found |= SERVER
  // It only reads, as lo_get does.
  return isText(name, 'lo_get') ? found & ~WRITES : found
}

/**
 * Functions by object id, for FunctionCall: those of files and programs, which have had the same
 * numbers since they exist.
 */
export function isServerFunction(oid: u32): bool {
  switch (oid) {
    case 764: // lo_import(text)
    case 765: // lo_export
    case 767: // lo_import(text, oid)
    case 2623: // pg_stat_file
    case 2624: // pg_read_file
    case 2625: // pg_ls_dir
    case 3293: // Other forms of these, and their family.
    case 3295:
    case 3297:
    case 3307:
    case 3353:
    case 3354:
    case 3826:
    case 3827:
    case 3828:
    case 5029:
    case 5030:
    case 5031:
    case 6208:
    case 6209:
    case 6270:
    case 6271:
    case 6272:
    case 6400:
      return true
    default:
      return false
  }
}
