/** What the drivers of load ask: statements that end with a number drawn anew for each. */

/** Rows of pgbench's accounts at its scale 1. */
export const ACCOUNTS = 100_000
/** Rows that one statement of the script `wide` reads, and how many such pages there are. */
export const WIDE_ROWS = 1_000
export const PAGES = 10

const ACCOUNT = 'SELECT abalance FROM pgbench_accounts WHERE aid = '

/** Any account, one of a thousand accounts, or a page of rows with many columns. */
export const SCRIPTS = {
  any: { sql: ACCOUNT, from: 1, to: ACCOUNTS },
  hot: { sql: ACCOUNT, from: 1, to: 1_000 },
  wide: { sql: 'SELECT * FROM people WHERE page = ', from: 1, to: PAGES },
} as const

export const SCRIPT_NAMES = ['any', 'hot', 'wide'] as const satisfies (keyof typeof SCRIPTS)[]
export type ScriptName = (typeof SCRIPT_NAMES)[number]
