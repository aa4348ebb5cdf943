/**
 * What the plugin counts. Telling the host costs more than an answer from memory takes, so that
 * answers are told in bundles: 64 at a time, with whatever else is counted, and at every tick.
 */
import { Manifest, Metric } from '../../sdk/assembly/manifest'

/** Why a statement was not answered from memory, nor its result kept. */
export const enum Reason {
  /** It is no reading statement. */
  Write,
  /** It calls what may answer otherwise at once: now(), random(), nextval(), current_user, … */
  Volatile,
  /** It calls a function that is not known, which may also write. */
  Function,
  /** It locks rows: FOR UPDATE, FOR SHARE. */
  Lock,
  /** It reads the system's own tables. */
  Catalog,
  /** BEGIN, SET, SHOW, EXPLAIN, cursors, COPY and other commands. */
  Command,
  /** Within a transaction. */
  Transaction,
  /** The session has something that others have not: a temporary table, a SET in a transaction. */
  Session,
  /** Replies to earlier messages are still owed. */
  Pipeline,
  /** A write is just being committed. */
  Commit,
  /** Several statements in one, portals with names, parts of results, unknown statements. */
  Form,
  /** Its result is larger than resultBytesMax, or it came with a notice. */
  Result,
  Count,
}

const NAMES: StaticArray<string> = [
  'write', 'volatile', 'function', 'lock', 'catalog', 'command', 'transaction', 'session',
  'pipeline', 'commit', 'form', 'result',
]

const HITS_BUNDLED: i32 = 64

@final
export class Counts {
  hits: i32 = 0
  private events: i32 = 0
  misses: i32 = 0
  kept: i32 = 0
  invalidations: i32 = 0
  evictions: i32 = 0
  entries: i32 = 0
  bytes: i64 = 0
  private readonly bypassed: StaticArray<i32> = new StaticArray<i32>(Reason.Count)
  private toldEntries: i32 = -1
  private toldBytes: i64 = -1
  private hitsTotal: Metric
  private missesTotal: Metric
  private bypassesTotal: Metric
  private keptTotal: Metric
  private invalidationsTotal: Metric
  private evictionsTotal: Metric
  private entriesNow: Metric
  private bytesNow: Metric

  constructor(manifest: Manifest) {
    this.hitsTotal = manifest.counter('cache_hits_total', 'Statements answered from memory')
    this.missesTotal = manifest.counter('cache_misses_total', 'Statements that could have been')
    const why = 'Statements that were not looked for, by reason'
    this.bypassesTotal = manifest.counter('cache_bypasses_total', why, 'reason')
    this.keptTotal = manifest.counter('cache_kept_total', 'Results taken into memory')
    const emptied = 'Times that a write made results stale'
    this.invalidationsTotal = manifest.counter('cache_invalidations_total', emptied)
    const full = 'Results that made room for others'
    this.evictionsTotal = manifest.counter('cache_evictions_total', full)
    this.entriesNow = manifest.gauge('cache_entries', 'Results in memory, stale ones among them')
    this.bytesNow = manifest.gauge('cache_bytes', 'Bytes of results in memory')
  }

  hit(): void {
    if (++this.hits >= HITS_BUNDLED) this.tell()
  }

  /** Something else has happened that was counted. */
  event(): void {
    if (++this.events >= HITS_BUNDLED) this.tell()
  }

  bypass(reason: Reason): void {
    this.bypassed[reason]++
  }

  /** Tells the host what has been counted since. */
  tell(): void {
    this.events = 0
    this.hits = told(this.hitsTotal, this.hits)
    this.misses = told(this.missesTotal, this.misses)
    this.kept = told(this.keptTotal, this.kept)
    this.invalidations = told(this.invalidationsTotal, this.invalidations)
    this.evictions = told(this.evictionsTotal, this.evictions)
    for (let reason = 0; reason < Reason.Count; reason++) {
      const count = this.bypassed[reason]
      if (count == 0) continue
      this.bypassed[reason] = 0
      this.bypassesTotal.labelText(NAMES[reason]).add(count)
    }
    if (this.entries != this.toldEntries) this.entriesNow.add(this.entries)
    if (this.bytes != this.toldBytes) this.bytesNow.add(<f64>this.bytes)
    this.toldEntries = this.entries
    this.toldBytes = this.bytes
  }
}

function told(metric: Metric, count: i32): i32 {
  if (count > 0) metric.add(count)
  return 0
}

const ABOUT = 'Answers repeated reading statements from memory until something is written'
export const manifest = new Manifest('cache', '1.0.0', ABOUT)
// A write that comes to another worker would not be seen here before its reply goes on.
manifest.workers(1)
export const counts = new Counts(manifest)
