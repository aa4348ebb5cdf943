/**
 * The budgets that no configuration moves: whatever a guest can make the host do has a limit, here
 * or among those of its entry (../limits.ts).
 */

const KIB = 1024
const MIB = 1024 * KIB

/** Types, imports, functions or exports of one module. */
export const MODULE_ITEMS_MAX = 100_000

/** What one host function reads from or writes to the guest, but for `output` and the store. */
export const CALL_BYTES_MAX = 64 * KIB
/** The manifest that `describe` outputs. */
export const MANIFEST_BYTES_MAX = 256 * KIB
/** Hooks, metrics, requirements, authors, tags or message names that a manifest may list. */
export const MANIFEST_ITEMS_MAX = 256
/** How deep a manifest's config schema may nest. */
export const SCHEMA_DEPTH_MAX = 16

/** Keys that one plugin may keep with one session. */
export const SESSION_KEYS_MAX = 64
/** Keys of one plugin's store. */
export const STORE_KEYS_MAX = 100_000

/** Lines of the greatest length that one call of the guest may log, or shorter ones as long. */
export const LOG_LINES_FULL_MAX = 16
/** Characters of each text of a refusal; longer ones are cut. */
export const REFUSAL_CHARS_MAX = 8 * KIB

/** Bytes and blocks of Extism memory that one call in PDK form may allocate. */
export const PDK_BYTES_MAX = 64 * MIB
export const PDK_BLOCKS_MAX = 30_000
/** Extism variables of one plugin. */
export const VARIABLES_MAX = 1000

/** Pieces that one `fd_write` may be made of. */
export const IOVECS_MAX = 1024

/** Blocks within one another in one function; the engine needs memory and time for each. */
export const NESTING_MAX = 10_000
/** Loops of one function; the engine's work for each grows with their number. */
export const FUNCTION_LOOPS_MAX = 100_000
/** Loops of all functions together; the engine needs some 250 bytes for each. */
export const MODULE_LOOPS_MAX = 500_000
/** Locals of one function, its parameters included; each call sets all of them to zero. */
export const FUNCTION_LOCALS_MAX = 10_000
/** Locals of all functions together; the engine needs some 20 bytes for each. */
export const MODULE_LOCALS_MAX = 1_000_000
/** Parameters, or results, of one type; the engine moves them at every block and call. */
export const TYPE_VALUES_MAX = 100
/** Parameters and results of all types together. */
export const MODULE_TYPE_VALUES_MAX = 1_000_000
/** Tables of one module. */
export const TABLES_MAX = 16
/** Elements of all segments together. */
export const MODULE_ELEMENTS_MAX = 1_000_000
/** Bytes of one function's body. */
export const FUNCTION_BYTES_MAX = 1 * MIB
/** The same with its checks of time; the engine takes 7,654,321. */
export const FUNCTION_METERED_BYTES_MAX = 7_000_000

/** A page of memory, in bytes, as WebAssembly has it. */
export const PAGE_BYTES = 65_536
