/**
 * Runs of bytes that are kept once, however many ask for them, and known by a number. Where there
 * is no more room all of them are forgotten at once, and their numbers mean nothing any more.
 */
import { giveBack, roomFor, take } from '../../sdk/assembly/room'
import { lengthOf, NONE, ptrOf, Slice, slice } from '../../sdk/assembly/sdk'
import { keyed } from './secret'

/** The number of nothing. */
export const NOTHING: i32 = -1

const RUNS_MAX: i32 = 16_384
/** Twice as many places as runs, so that the next free one is never far. */
const PLACES: u32 = <u32>RUNS_MAX * 2
/** Numbers hold which time of keeping it is; it begins anew after so many. */
const TIMES_MAX: i32 = 0x7fff
/** Sets these keys apart from those of others. */
const KIND: u64 = 0xb10b

@final
export class Blobs {
  /** How often everything was forgotten. */
  forgotten: i32 = 0
  private places: StaticArray<i32> = new StaticArray<i32>(<i32>PLACES)
  private blocks: StaticArray<usize> = new StaticArray<usize>(RUNS_MAX)
  private lengths: StaticArray<i32> = new StaticArray<i32>(RUNS_MAX)
  /** The first number is given to nobody: what was never set must not mean anything. */
  private runs: i32 = 1
  private bytesHeld: i32 = 0
  private times: i32 = 0

  constructor(private readonly bytesMax: i32) {}

  /** The bytes of a number, good until the next `intern`; NONE: it means nothing (any more). */
  at(id: i32): Slice {
    if (id <= 0 || (id >> 16) != this.times) return NONE
    const run = id & 0xffff
    return run > 0 && run < this.runs ? slice(this.blocks[run], this.lengths[run]) : NONE
  }

  /** The number of these bytes, which are kept; NOTHING where there is no memory. */
  intern(bytes: Slice): i32 {
    const length = lengthOf(bytes)
    const hash = keyed(KIND, bytes)
    let place = this.find(hash, bytes)
    if (this.places[place] != 0) return this.numberOf(this.places[place])
    if (this.runs == RUNS_MAX || this.bytesHeld + roomFor(length) > this.bytesMax) {
      this.forgetAll()
      place = this.find(hash, bytes)
    }
    const block = length > this.bytesMax ? 0 : take(length)
    if (block == 0) return NOTHING
    memory.copy(block, ptrOf(bytes), length)
    this.blocks[this.runs] = block
    this.lengths[this.runs] = length
    this.bytesHeld += roomFor(length)
    this.places[place] = this.runs
    return this.numberOf(this.runs++)
  }

  /** Where these bytes are, or would be. */
  private find(hash: u64, bytes: Slice): i32 {
    const length = lengthOf(bytes)
    let place = <i32>(hash & (PLACES - 1))
    for (let run = this.places[place]; run != 0; run = this.places[place]) {
      const isSame = this.lengths[run] == length
        && memory.compare(this.blocks[run], ptrOf(bytes), length) == 0
      if (isSame) return place
      place = (place + 1) & <i32>(PLACES - 1)
    }
    return place
  }

  private numberOf(run: i32): i32 {
    return (this.times << 16) | run
  }

  private forgetAll(): void {
    for (let run = 1; run < this.runs; run++) {
      giveBack(this.blocks[run], roomFor(this.lengths[run]))
    }
    memory.fill(changetype<usize>(this.places), 0, <usize>PLACES * 4)
    this.runs = 1
    this.bytesHeld = 0
    this.times = this.times == TIMES_MAX ? 0 : this.times + 1
    this.forgotten++
  }
}
