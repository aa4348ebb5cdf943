/** The budgets of a WASM plugin: whatever a guest can make the host do has one of these limits. */

const KIB = 1024
const MIB = 1024 * KIB

/** Size of a module file. */
export const MODULE_BYTES_MAX = 64 * MIB
/** Types, imports, functions or exports of one module. */
export const MODULE_ITEMS_MAX = 100_000
/** Memory that a module may ask for at its start, in pages of 64 KiB. */
export const MEMORY_PAGES_MAX = 1024
/** Elements that a table of a module may have at its start. */
export const TABLE_ELEMENTS_MAX = 100_000

/** What one host function reads from or writes to the guest, but for `output` and the store. */
export const CALL_BYTES_MAX = 64 * KIB
/** The payload of one verdict. */
export const OUTPUT_BYTES_MAX = 16 * MIB
/** The manifest that `describe` outputs. */
export const MANIFEST_BYTES_MAX = 256 * KIB
/** Hooks, metrics, requirements, authors, tags or message names that a manifest may list. */
export const MANIFEST_ITEMS_MAX = 256
/** How deep a manifest's config schema may nest. */
export const SCHEMA_DEPTH_MAX = 16

/** What one plugin may keep with one session: keys and values together. */
export const SESSION_BYTES_MAX = 64 * KIB
export const SESSION_KEYS_MAX = 64
/** What one plugin may keep in its store: keys and values together. */
export const STORE_BYTES_MAX = 16 * MIB
export const STORE_KEYS_MAX = 100_000

/** Log lines of one plugin in one second; more are dropped and counted. */
export const LOG_LINES_PER_SECOND_MAX = 20_000
/** Signals that one call of a hook may send. */
export const SIGNALS_PER_CALL_MAX = 64
/** Characters of each text of a refusal; longer ones are cut. */
export const REFUSAL_CHARS_MAX = 8 * KIB

/** Bytes and blocks of Extism memory that one call in PDK form may allocate. */
export const PDK_BYTES_MAX = 64 * MIB
export const PDK_BLOCKS_MAX = 30_000
/** Extism variables of one plugin: keys and values together. */
export const PDK_VARIABLES_BYTES_MAX = 1 * MIB
export const PDK_VARIABLES_MAX = 1000
