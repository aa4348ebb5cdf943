/** The keys of a pool: the connections to one database, and how clients share them. */
import { choice, count, duration, flag, requiredTextOr, section } from './fields.ts'

const INT_MAX = 2_147_483_647
const MIB = 1_048_576
const GIB = 1024 * MIB

const POOL_MODES = ['none', 'session', 'transaction'] as const

export const pool = section('The connections to a database, and how clients share them.', {
  size: count(10, -INT_MAX, 100_000, 'Connections at once; 0 and less mean 10, and 1 means 2.'),
  mode: choice(
    POOL_MODES,
    'session',
    'Shared how: session (one client at a time), transaction (one at a time for each), or none.',
  ),
  waitTimeout: duration('30s', 'Longest wait for a free connection; 0: no end.'),
  idleTimeout: duration('10m', 'A connection that nobody used for so long is closed; 0: never.'),
  lifetime: duration('1h', 'A connection older than that is closed when it is free; 0: never.'),
  resetQuery: requiredTextOr('DISCARD ALL', 'What takes away all that a client left.'),
  strict: flag(false, 'Mode transaction: refuses what would tie a client to its connection.'),
  preparedStatementsMax: count(
    200,
    1,
    100_000,
    'Mode transaction: statements prepared on a connection; the oldest makes room.',
  ),
  clientStatementsMax: count(
    10_000,
    1,
    1_000_000,
    'Mode transaction: prepared statements that one client may have.',
  ),
  statementBytesMax: count(
    64 * MIB,
    1024,
    GIB,
    'Mode transaction: texts of the prepared statements of all clients, in bytes.',
  ),
})
