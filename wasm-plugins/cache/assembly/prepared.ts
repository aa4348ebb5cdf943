/**
 * The prepared statements of all connections, by connection and name: what they are for, and the
 * key that their text and the types of their parameters give. The unnamed one is kept as well.
 */
import { lengthOf, ptrOf, Slice } from '../../sdk/assembly/slice'
import { Reason } from './counts'
import { hash, high, low } from './hash'

@final
export class Prepared {
  nameLow: u64 = 0
  nameHigh: u64 = 0
  /** The key of its text and its types. */
  low: u64 = 0
  high: u64 = 0
  /** As of `judge`. */
  flags: i32 = 0
  reason: Reason = Reason.Form
  tables: u64 = 0
  /** In its bucket, and of its connection. */
  next: Prepared | null = null
  sibling: Prepared | null = null
}

const BUCKETS = 16_384
/** Of all connections together; a statement beyond is not known, and so counts as a write. */
const PREPARED_MAX = 100_000

const buckets = new StaticArray<Prepared | null>(BUCKETS)
let spare: Prepared | null = null
let made = 0

/** The statement of a name among those of the connection with this key, or null. */
export function findPrepared(keyLow: u64, keyHigh: u64, name: Slice): Prepared | null {
  hash(keyLow, keyHigh, ptrOf(name), lengthOf(name))
  let at = buckets[<i32>(low % BUCKETS)]
  while (at != null) {
    if (at.nameLow == low && at.nameHigh == high) return at
    at = at.next
  }
  return null
}

/** A place for the name that was looked for last and not found; null: there is no room. */
export function addPrepared(): Prepared | null {
  let statement = spare
  if (statement != null) spare = statement.next
  else {
    if (made == PREPARED_MAX) return null
    made++
    statement = new Prepared()
  }
  const bucket = <i32>(low % BUCKETS)
  statement.nameLow = low
  statement.nameHigh = high
  statement.next = buckets[bucket]
  statement.sibling = null
  buckets[bucket] = statement
  return statement
}

/** Lets go of a statement, which its connection must have let go before. */
export function dropPrepared(statement: Prepared): void {
  const bucket = <i32>(statement.nameLow % BUCKETS)
  let at = buckets[bucket]
  if (at == statement) buckets[bucket] = statement.next
  else {
    while (at != null) {
      if (at.next == statement) {
        at.next = statement.next
        break
      }
      at = at.next
    }
  }
  statement.sibling = null
  statement.next = spare
  spare = statement
}
