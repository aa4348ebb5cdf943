/**
 * Token buckets: each holds up to `burst` tokens, gains `rate` a second, and gives one for each
 * statement. They lie in one table of one size; see shared/table.ts for which is given up.
 *
 * The clock is the system's and may be set. Set back, a bucket gains nothing for what has already
 * passed and goes on from the new time; set forward, it is full, as after a rest.
 */
import { joined } from '../../shared/assembly/secret'
import { Table } from '../../shared/assembly/table'
import { Rule } from './rules'

const TOKENS: usize = 0
const FILLED_AT: usize = 8
const SECOND_BEGAN: usize = 16
const IN_SECOND: usize = 24
const BUCKET_BYTES: i32 = 32
const SECOND_MS: f64 = 1000

@final
export class Buckets {
  /** True where the last `take` made another bucket be forgotten that was not full. */
  hasEvicted: bool = false
  /** True where the last `take` ended the busiest second of its rule so far. */
  isBusiest: bool = false
  private table: Table

  constructor(bucketsMax: i32) {
    this.table = new Table(bucketsMax, BUCKET_BYTES)
  }

  /** Takes a token of a rule's bucket for `scope`: 0, or the milliseconds until there is one. */
  take(rule: Rule, number: i32, scope: u64, nowMs: f64): f64 {
    this.isBusiest = false
    this.hasEvicted = false
    const bucket = this.table.put(joined(<u64>number + 1, scope))
    // Without memory nothing is refused: the limit is there to help.
    if (bucket == 0) return 0
    this.hasEvicted = this.table.hasEvicted
    this.measure(rule, bucket, nowMs)
    if (rule.rate == 0) return 0
    const tokens = filled(rule, bucket, nowMs)
    store<f64>(bucket, nowMs, FILLED_AT)
    if (tokens < 1) {
      store<f64>(bucket, tokens, TOKENS)
      return ((1 - tokens) / rule.rate) * SECOND_MS
    }
    store<f64>(bucket, tokens - 1, TOKENS)
    return 0
  }

  /** Gives back what `take` has taken, for a statement that another rule refused. */
  giveBack(rule: Rule, number: i32, scope: u64): void {
    const bucket = this.table.find(joined(<u64>number + 1, scope))
    if (bucket == 0 || rule.rate == 0) return
    store<f64>(bucket, min(load<f64>(bucket, TOKENS) + 1, rule.burst), TOKENS)
  }

  private measure(rule: Rule, bucket: usize, nowMs: f64): void {
    const sinceMs = nowMs - load<f64>(bucket, SECOND_BEGAN)
    if (sinceMs >= 0 && sinceMs < SECOND_MS) {
      store<i32>(bucket, load<i32>(bucket, IN_SECOND) + 1, IN_SECOND)
      return
    }
    const before = load<i32>(bucket, IN_SECOND)
    if (before > rule.busiest) {
      rule.busiest = before
      this.isBusiest = true
    }
    store<f64>(bucket, nowMs, SECOND_BEGAN)
    store<i32>(bucket, 1, IN_SECOND)
  }
}

/** How many tokens a bucket holds now. */
function filled(rule: Rule, bucket: usize, nowMs: f64): f64 {
  const filledAt = load<f64>(bucket, FILLED_AT)
  if (filledAt == 0) return rule.burst
  const passedMs = max<f64>(0, nowMs - filledAt)
  return min(load<f64>(bucket, TOKENS) + (passedMs * rule.rate) / SECOND_MS, rule.burst)
}
