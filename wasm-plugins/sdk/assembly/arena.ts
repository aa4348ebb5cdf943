/**
 * Room for one call: taken by moving a pointer, given up all at once when the next hook begins.
 * Use it where a `Bytes` of its own is too much, as for copies of a few values.
 */
import { giveBack, roomFor, take } from './room'
import { lengthOf, ptrOf, Slice, slice } from './slice'

const FIRST_BYTES: i32 = 0x1_0000
const ALIGNMENT: i32 = 8
/** Blocks of one call; each is at least as large as all before it. */
const BLOCKS_MAX: i32 = 16

const places = memory.data<u32>([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
const rooms = memory.data<i32>([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
let blocks: i32 = 0
let at: usize = 0
let left: i32 = 0

/** Begins anew. `postern_alloc` calls it, which the host calls before every hook. */
export function resetArena(): void {
  if (blocks > 1) keepLargest()
  if (blocks == 0) return
  at = load<u32>(places)
  left = load<i32>(rooms)
}

/** `bytes` bytes that are good until the next hook begins, aligned to 8; 0: no memory. */
export function scratch(bytes: i32): usize {
  const wanted = (max(bytes, 1) + ALIGNMENT - 1) & ~(ALIGNMENT - 1)
  if (wanted < bytes) return 0
  if (wanted > left && !addBlock(wanted)) return 0
  const place = at
  at += wanted
  left -= wanted
  return place
}

/** A copy of the bytes that is good until the next hook begins; NONE: no memory. */
export function kept(run: Slice): Slice {
  const length = lengthOf(run)
  const place = scratch(length)
  if (place == 0) return 0
  memory.copy(place, ptrOf(run), length)
  return slice(place, length)
}

function addBlock(wanted: i32): bool {
  if (blocks == BLOCKS_MAX) return false
  let held: i32 = 0
  for (let block = 0; block < blocks; block++) held += load<i32>(rooms + block * 4)
  let room = roomFor(max(max(wanted, held), FIRST_BYTES))
  let place = room == 0 ? 0 : take(room)
  if (place == 0) {
    room = roomFor(wanted)
    place = room == 0 ? 0 : take(room)
  }
  if (place == 0) return false
  store<u32>(places + blocks * 4, <u32>place)
  store<i32>(rooms + blocks * 4, room)
  blocks++
  at = place
  left = room
  return true
}

function keepLargest(): void {
  let largest = 0
  for (let block = 1; block < blocks; block++) {
    if (load<i32>(rooms + block * 4) > load<i32>(rooms + largest * 4)) largest = block
  }
  const place = load<u32>(places + largest * 4)
  const room = load<i32>(rooms + largest * 4)
  for (let block = 0; block < blocks; block++) {
    if (block != largest) giveBack(load<u32>(places + block * 4), load<i32>(rooms + block * 4))
  }
  store<u32>(places, place)
  store<i32>(rooms, room)
  blocks = 1
}
