/**
 * A table of small values by 64-bit keys, of one size for ever. A key may stand in one of eight
 * places; where all are taken it gets the place of the one that was used longest ago.
 */
import { take } from '../../sdk/assembly/room'

const WAYS: i32 = 8
/** A key and when it was used last, before the value. */
const HEAD_BYTES: i32 = 16

@final
export class Table {
  /** True where `put` took the place of another key, whose value is lost. */
  hasEvicted: bool = false
  private sets: u32 = 0
  private places: usize = 0
  private clock: u64 = 0

  /** `entries` is rounded up to a power of two; values are of `valueBytes`, a multiple of 8. */
  constructor(
    private readonly entries: i32,
    private readonly valueBytes: i32,
  ) {}

  /** The value of a key, or 0. */
  find(key: u64): usize {
    const place = this.lookUp(key)
    if (place == 0) return 0
    store<u64>(place, ++this.clock, 8)
    return place + HEAD_BYTES
  }

  /** The value of a key, all zeros where it is new; 0: there is no memory. */
  put(key: u64): usize {
    this.hasEvicted = false
    const known = this.find(key)
    if (known != 0) return known
    if (this.places == 0 && !this.begin()) return 0
    const oldest = this.oldest(this.setOf(key))
    this.hasEvicted = load<u64>(oldest) != 0
    store<u64>(oldest, key)
    store<u64>(oldest, ++this.clock, 8)
    memory.fill(oldest + HEAD_BYTES, 0, this.valueBytes)
    return oldest + HEAD_BYTES
  }

  remove(key: u64): void {
    const place = this.lookUp(key)
    if (place == 0) return
    store<u64>(place, 0)
    store<u64>(place, 0, 8)
  }

  /** Forgets everything. */
  clear(): void {
    if (this.places != 0) memory.fill(this.places, 0, this.stride * this.sets * WAYS)
  }

  private get stride(): i32 {
    return HEAD_BYTES + this.valueBytes
  }

  private begin(): bool {
    let sets: u32 = 1
    while (<i32>(sets * WAYS) < this.entries) sets <<= 1
    const bytes = this.stride * <i32>sets * WAYS
    const places = take(bytes)
    if (places == 0) return false
    memory.fill(places, 0, bytes)
    this.sets = sets
    this.places = places
    return true
  }

  private setOf(key: u64): usize {
    return this.places + ((<u32>(key >> 20)) & (this.sets - 1)) * WAYS * this.stride
  }

  private lookUp(key: u64): usize {
    if (this.places == 0) return 0
    const stride = this.stride
    let place = this.setOf(key)
    for (let way = 0; way < WAYS; way++) {
      if (load<u64>(place) == key) return place
      place += stride
    }
    return 0
  }

  /** A free place of a set, or the one that was used longest ago. */
  private oldest(set: usize): usize {
    const stride = this.stride
    let oldest = set
    let place = set
    for (let way = 1; way < WAYS; way++) {
      place += stride
      if (load<u64>(place, 8) < load<u64>(oldest, 8)) oldest = place
    }
    return oldest
  }
}
