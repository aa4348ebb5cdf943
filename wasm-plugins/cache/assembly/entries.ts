/**
 * The results in memory: an index here, by their keys and by their last use, and the bytes in the
 * host's store, from which they go to clients without coming by here.
 */
import { Bytes } from '../../sdk/assembly/bytes'
import { kvDeleteAt, kvOutputAt, kvSetAt } from '../../sdk/assembly/host'
import { slice, Slice } from '../../sdk/assembly/slice'
import { counts } from './counts'
import { Database } from './databases'
import { instance } from './hash'

/** A result: its place in the index tells where its bytes are. */
@unmanaged
class Entry {
  low: u64
  high: u64
  /** When its query was sent, on the clock of databases. */
  at: u64
  tables: u64
  bytes: i32
  slot: i32
  /** In its bucket; and by use. 0: none. */
  next: usize
  newer: usize
  older: usize
}

/** What the host counts beside the bytes, about. */
const OVERHEAD_BYTES: i32 = 64
/** Makes room for one result; more is not worth it. */
const EVICTIONS_MAX: i32 = 64
/** Seven of the instance, three of the slot. */
const KEY_BYTES: i32 = 10

let entriesMax: i32 = 0
let bytesMax: i64 = 0
let mask: i32 = 0
let buckets: usize = 0
let pool: usize = 0
let used: i32 = 0
let free: usize = 0
let newest: usize = 0
let oldest: usize = 0
const key = memory.data(KEY_BYTES)

/** Takes the limits; once. `entries`: at most 262,144. */
export function openEntries(entries: i32, bytes: i64): void {
  entriesMax = entries
  bytesMax = bytes
  let size = 1024
  while (size < entries) size <<= 1
  mask = size - 1
  buckets = heap.alloc(size * 4)
  memory.fill(buckets, 0, size * 4)
  pool = heap.alloc(entries * offsetof<Entry>())
  // Two instances may share the store for a moment, and must not read each other's.
  for (let at = 0; at < 7; at++) store<u8>(key + at, sixBits(instance >> (at * 5)))
}

/** A letter of six bits, as the host's keys are text. */
// @ts-ignore: decorator
@inline
function sixBits(value: i32): u8 {
  return <u8>(0x30 + (value & 63))
}

function keyOf(entry: Entry): Slice {
  const slot = entry.slot
  store<u8>(key + 7, sixBits(slot))
  store<u8>(key + 8, sixBits(slot >> 6))
  store<u8>(key + 9, sixBits(slot >> 12))
  return slice(key, KEY_BYTES)
}

// @ts-ignore: decorator
@inline
function bucketOf(low: u64): usize {
  return buckets + ((<usize>low & mask) << 2)
}

function find(low: u64, high: u64): Entry | null {
  let at = <usize>load<u32>(bucketOf(low))
  while (at != 0) {
    const entry = changetype<Entry>(at)
    if (entry.low == low && entry.high == high) return entry
    at = entry.next
  }
  return null
}

/** Makes the result of a key the payload; false where there is none that may be told. */
export function answer(database: Database, low: u64, high: u64): bool {
  const entry = find(low, high)
  if (entry == null) return false
  if (!database.isFresh(entry.at, entry.tables)) return false
  if (kvOutputAt(keyOf(entry)) < 0) {
    // Its time is over.
    drop(entry)
    return false
  }
  touch(entry)
  return true
}

/** Keeps a result for a while. */
export function keep(low: u64, high: u64, at: u64, tables: u64, result: Bytes, ttlMs: i32): void {
  const known = find(low, high)
  if (known != null) drop(known)
  const size = result.length + OVERHEAD_BYTES
  let left = EVICTIONS_MAX
  while (counts.entries >= entriesMax || counts.bytes + size > bytesMax) {
    if (left-- == 0 || !evict()) return
  }
  const entry = take()
  // The store may be fuller than it should be: what another instance left is in it too.
  while (!kvSetAt(keyOf(entry), result.slice, ttlMs)) {
    if (left-- <= 0 || !evict()) {
      giveBack(entry)
      return
    }
  }
  entry.low = low
  entry.high = high
  entry.at = at
  entry.tables = tables
  entry.bytes = size
  const bucket = bucketOf(low)
  entry.next = load<u32>(bucket)
  store<u32>(bucket, <u32>changetype<usize>(entry))
  link(entry)
  counts.entries++
  counts.bytes += size
  counts.kept++
}

function take(): Entry {
  const place = free
  if (place != 0) {
    free = changetype<Entry>(place).next
    return changetype<Entry>(place)
  }
  const entry = changetype<Entry>(pool + used * offsetof<Entry>())
  entry.slot = used++
  return entry
}

function giveBack(entry: Entry): void {
  entry.next = free
  free = changetype<usize>(entry)
}

function evict(): bool {
  if (oldest == 0) return false
  drop(changetype<Entry>(oldest))
  counts.evictions++
  return true
}

function drop(entry: Entry): void {
  kvDeleteAt(keyOf(entry))
  const place = changetype<usize>(entry)
  const bucket = bucketOf(entry.low)
  let at = <usize>load<u32>(bucket)
  if (at == place) store<u32>(bucket, <u32>entry.next)
  else {
    while (changetype<Entry>(at).next != place) at = changetype<Entry>(at).next
    changetype<Entry>(at).next = entry.next
  }
  unlink(entry)
  counts.entries--
  counts.bytes -= entry.bytes
  giveBack(entry)
}

function touch(entry: Entry): void {
  if (newest == changetype<usize>(entry)) return
  unlink(entry)
  link(entry)
}

function link(entry: Entry): void {
  const place = changetype<usize>(entry)
  entry.newer = 0
  entry.older = newest
  if (newest != 0) changetype<Entry>(newest).newer = place
  newest = place
  if (oldest == 0) oldest = place
}

function unlink(entry: Entry): void {
  if (entry.newer != 0) changetype<Entry>(entry.newer).older = entry.older
  else newest = entry.older
  if (entry.older != 0) changetype<Entry>(entry.older).newer = entry.newer
  else oldest = entry.newer
}
