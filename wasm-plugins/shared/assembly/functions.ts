/**
 * What may stand before a parenthesis in a statement that only reads: functions of PostgreSQL whose
 * result depends on nothing but their arguments, the data and settings; keywords and types. Of the
 * rest some are known to change no rows, and of these some belong to the session or the server.
 */
import { lower } from '../../sdk/assembly/slice'

/** Keywords and types: no function is called. */
const WORDS =
  'in and or not exists any some all values select from where on using join by having when then ' +
  'else case as union intersect except distinct limit offset filter over within like ilike ' +
  'similar to between is row array lateral only returning interval materialized with recursive ' +
  'group order sets grouping cube rollup end set into collate escape fetch first next partition ' +
  'rows range groups symmetric return window operator ' +
  'int int2 int4 int8 integer bigint smallint float float4 float8 real double precision numeric ' +
  'decimal text varchar char character varying bpchar name bool boolean bytea bit varbit uuid ' +
  'date time timestamp timestamptz timetz json jsonb xml money point inet cidr oid '

/** Functions, aggregates and window functions. */
const FUNCTIONS =
  'coalesce nullif greatest least cast extract overlay position substring trim treat xmlelement ' +
  'count sum avg min max bool_and bool_or every array_agg string_agg json_agg jsonb_agg ' +
  'json_object_agg jsonb_object_agg bit_and bit_or bit_xor stddev stddev_pop stddev_samp ' +
  'variance var_pop var_samp corr covar_pop covar_samp regr_avgx regr_avgy regr_count ' +
  'regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy mode percentile_cont ' +
  'percentile_disc rank dense_rank percent_rank cume_dist row_number ntile lag lead first_value ' +
  'last_value nth_value any_value range_agg range_intersect_agg xmlagg ' +
  'abs cbrt ceil ceiling degrees div exp factorial floor gcd lcm ln log log10 min_scale mod pi ' +
  'power pow radians round scale sign sqrt trim_scale trunc width_bucket acos acosd asin asind ' +
  'atan atand atan2 atan2d cos cosd cot cotd sin sind tan tand sinh cosh tanh asinh acosh atanh ' +
  'erf erfc ' +
  'ascii btrim bit_length char_length character_length chr concat concat_ws format initcap left ' +
  'length lower lpad ltrim md5 normalize octet_length parse_ident quote_ident quote_literal ' +
  'quote_nullable regexp_count regexp_instr regexp_like regexp_match regexp_matches ' +
  'regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat replace ' +
  'reverse right rpad rtrim split_part starts_with string_to_array string_to_table strpos substr ' +
  'to_ascii to_hex to_bin to_oct translate unistr upper casefold ' +
  'bit_count get_bit get_byte set_bit set_byte sha224 sha256 sha384 sha512 convert convert_from ' +
  'convert_to encode decode crc32 crc32c ' +
  'to_char to_date to_number to_timestamp date_add date_bin date_part date_subtract date_trunc ' +
  'isfinite justify_days justify_hours justify_interval make_date make_interval make_time ' +
  'make_timestamp make_timestamptz timezone overlaps ' +
  'enum_first enum_last enum_range ' +
  'area center diagonal diameter height isclosed isopen npoints pclose popen radius slope width ' +
  'box circle line lseg path polygon ' +
  'abbrev broadcast family host hostmask inet_merge inet_same_family masklen netmask network ' +
  'set_masklen macaddr8_set7bit ' +
  'array_to_tsvector get_current_ts_config numnode plainto_tsquery phraseto_tsquery ' +
  'websearch_to_tsquery querytree setweight strip to_tsquery to_tsvector json_to_tsvector ' +
  'jsonb_to_tsvector ts_delete ts_filter ts_headline ts_rank ts_rank_cd ' +
  'tsquery_phrase tsvector_to_array ' +
  'to_json to_jsonb array_to_json row_to_json json_build_array jsonb_build_array ' +
  'json_build_object jsonb_build_object json_object jsonb_object json_array json_scalar ' +
  'json_serialize json_query json_value json_exists json_table json_array_elements ' +
  'jsonb_array_elements json_array_elements_text jsonb_array_elements_text json_array_length ' +
  'jsonb_array_length json_each jsonb_each json_each_text jsonb_each_text json_extract_path ' +
  'jsonb_extract_path json_extract_path_text jsonb_extract_path_text json_object_keys ' +
  'jsonb_object_keys json_populate_record jsonb_populate_record json_populate_recordset ' +
  'jsonb_populate_recordset json_to_record jsonb_to_record json_to_recordset ' +
  'jsonb_to_recordset jsonb_set jsonb_set_lax jsonb_insert json_strip_nulls jsonb_strip_nulls ' +
  'jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array ' +
  'jsonb_path_query_first jsonb_pretty json_typeof jsonb_typeof ' +
  'array_append array_cat array_dims array_fill array_length array_lower array_ndims ' +
  'array_position array_positions array_prepend array_remove array_replace array_reverse ' +
  'array_sort array_to_string array_upper cardinality trim_array unnest generate_series ' +
  'generate_subscripts ' +
  'isempty lower_inc upper_inc lower_inf upper_inf range_merge multirange int4range int8range ' +
  'numrange tsrange tstzrange daterange ' +
  'num_nulls num_nonnulls hashtext md5 similarity word_similarity unaccent '

/** These answer otherwise at once, or of the session, but write no rows. */
const VOLATILE =
  'now random random_normal clock_timestamp statement_timestamp transaction_timestamp timeofday ' +
  'age gen_random_uuid uuidv4 uuidv7 uuid_generate_v1 ' +
  'uuid_generate_v1mc uuid_generate_v4 pg_sleep pg_sleep_for pg_sleep_until version ' +
  'current_setting current_database current_schema current_schemas current_query ' +
  'pg_postmaster_start_time pg_conf_load_time pg_typeof ' +
  'pg_column_size pg_total_relation_size pg_relation_size pg_table_size pg_indexes_size ' +
  'pg_database_size pg_size_pretty pg_get_userbyid pg_get_expr pg_get_constraintdef ' +
  'pg_get_indexdef pg_get_viewdef pg_get_functiondef pg_get_serial_sequence ' +
  'pg_get_function_result pg_get_function_arguments pg_get_function_identity_arguments ' +
  'pg_table_is_visible pg_type_is_visible pg_function_is_visible pg_encoding_to_char ' +
  'has_table_privilege has_schema_privilege has_database_privilege ' +
  'has_column_privilege has_function_privilege has_sequence_privilege pg_has_role to_regclass ' +
  'to_regtype to_regproc to_regnamespace to_regrole format_type obj_description ' +
  'col_description shobj_description '

/** Likewise, but what they tell or do belongs to this session, or to this server. */
const BOUND =
  'currval lastval pg_backend_pid pg_is_in_recovery ' +
  'pg_advisory_unlock pg_advisory_unlock_shared pg_advisory_unlock_all pg_advisory_xact_lock ' +
  'pg_advisory_xact_lock_shared pg_try_advisory_xact_lock ' +
  'pg_try_advisory_xact_lock_shared pg_notify pg_cancel_backend pg_terminate_backend ' +
  'pg_stat_get_activity pg_current_xact_id pg_current_snapshot pg_current_wal_lsn ' +
  'txid_current txid_current_snapshot inet_client_addr inet_client_port inet_server_addr ' +
  'inet_server_port '

/** Likewise, and the session has it until it ends. */
const HELD =
  'setseed pg_advisory_lock pg_advisory_lock_shared pg_try_advisory_lock ' +
  'pg_try_advisory_lock_shared '

/** What a name before a parenthesis is. */
export const enum Call {
  Unknown,
  /** No function, or one that is as good as its arguments. */
  Stable,
  Volatile,
  /** As Volatile, and not the same elsewhere. */
  Bound,
  Held,
  /** set_config. */
  Setting,
  /** One that the configuration names. */
  Own,
}

const SLOTS = 4096
const hashes = new StaticArray<u64>(SLOTS)
const calls = new StaticArray<u8>(SLOTS)
let filled = 0

function place(hash: u64): i32 {
  let slot = <i32>(hash % SLOTS)
  while (hashes[slot] != 0 && hashes[slot] != hash) slot = (slot + 1) % SLOTS
  return slot
}

// @ts-ignore: decorator
@inline
function mixed(hash: u64, byte: u8): u64 {
  return (hash ^ byte) * 0x100_0000_01b3
}

const START: u64 = 0xcbf2_9ce4_8422_2325

function add(names: string, call: Call): void {
  let hash = START
  for (let at = 0; at < names.length; at++) {
    const byte = <u8>names.charCodeAt(at)
    if (byte != 0x20) {
      hash = mixed(hash, byte)
      continue
    }
    note(hash, call)
    hash = START
  }
}

function note(hash: u64, call: Call): void {
  if (hash == START || filled > SLOTS - 1024) return
  const slot = place(hash)
  if (hashes[slot] == 0) filled++
  hashes[slot] = hash
  calls[slot] = <u8>call
}

/** Names of the configuration, without their schemas, in any case. */
export function addOwn(names: string[]): void {
  for (let at = 0; at < names.length; at++) {
    const name = names[at]
    const dot = name.lastIndexOf('.')
    add(name.substring(dot + 1).toLowerCase() + ' ', Call.Own)
  }
}

/** What the name is; `isForeign`: it has a schema that is not pg_catalog. */
export function callOf(ptr: usize, length: i32, isForeign: bool): Call {
  let hash = START
  for (let at = 0; at < length; at++) hash = mixed(hash, lower(load<u8>(ptr + at)))
  const slot = place(hash)
  if (hashes[slot] == 0) return Call.Unknown
  const call = <Call>calls[slot]
  return isForeign && call != Call.Own ? Call.Unknown : call
}

add(WORDS, Call.Stable)
add(FUNCTIONS, Call.Stable)
add(VOLATILE, Call.Volatile)
add(BOUND, Call.Bound)
add(HELD, Call.Held)
add('set_config ', Call.Setting)
