/**
 * Memory for buffers that are used again and again. Where there is none left the answer is 0 and
 * never a trap, for how much is wanted is decided by what clients send.
 */

/** Sizes below are powers of two, sizes above multiples of it: 64 KiB, a page. */
const PAGE_BYTES: i32 = 0x1_0000
/** The least that is worth a place of its own. */
const BYTES_MIN: i32 = 64
/** More than the memory of any guest may hold. */
const BYTES_MAX: i32 = 0x3000_0000
/** What the allocator itself may want around a block. */
const OVERHEAD_BYTES: i32 = 64

/** The first of the places given back; each begins with the next one's address and its own size. */
let firstFree: usize = 0

/** The size of the place that `take` gives for so many bytes; 0: more than there can be. */
export function roomFor(bytes: i32): i32 {
  if (bytes < 0 || bytes > BYTES_MAX) return 0
  if (bytes >= PAGE_BYTES) return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1)
  let room = BYTES_MIN
  while (room < bytes) room <<= 1
  return room
}

/** A place of `roomFor(bytes)` bytes, or 0. */
export function take(bytes: i32): usize {
  const room = roomFor(bytes)
  if (room == 0) return 0
  let larger: usize = 0
  let beforeLarger: usize = 0
  let before: usize = 0
  for (let place = firstFree; place != 0; place = load<u32>(place)) {
    const size = load<i32>(place, 4)
    if (size == room) {
      takeOut(place, before)
      return place
    }
    if (larger == 0 && size > room && (size >> 1) <= room) {
      larger = place
      beforeLarger = before
    }
    before = place
  }
  if (larger == 0) return fresh(room)
  // Whoever takes it gives back `room` bytes, so the rest would be lost: it is a place of its own.
  const size = load<i32>(larger, 4)
  takeOut(larger, beforeLarger)
  giveBack(larger + room, size - room)
  return larger
}

/** `before` is the free place that leads to it; 0: it is the first. */
function takeOut(place: usize, before: usize): void {
  const next = load<u32>(place)
  if (before == 0) firstFree = next
  else store<u32>(before, <u32>next)
}

/** Gives a place back. `room` is its size as `roomFor` told it. */
export function giveBack(place: usize, room: i32): void {
  if (place == 0) return
  store<u32>(place, <u32>firstFree)
  store<i32>(place, room, 4)
  firstFree = place
}

function fresh(room: i32): usize {
  // An empty block tells where the next one begins; the allocator itself would trap.
  const begins = <u64>heap.alloc(0)
  const ends = begins + room + OVERHEAD_BYTES
  const have = <u64>memory.size() << 16
  if (ends > have && memory.grow(<i32>((ends - have + 0xffff) >> 16)) < 0) return 0
  return heap.alloc(room)
}
