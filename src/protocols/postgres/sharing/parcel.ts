/**
 * Bytes that are put together to be written at once. One room serves all: what is in it is good
 * until the next parcel is begun.
 */

const ROOM_BYTES = 65_536

let room = new Uint8Array(ROOM_BYTES)
let length = 0

export const parcel = {
  begin(): void {
    length = 0
    if (room.length > 16 * ROOM_BYTES) room = new Uint8Array(ROOM_BYTES)
  },

  add(bytes: Uint8Array, from = 0, to = bytes.length): void {
    const count = to - from
    makeRoom(count)
    // For a few bytes a loop is cheaper than a view of them.
    if (count < 64) for (let at = 0; at < count; at++) room[length + at] = bytes[from + at]!
    else room.set(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to), length)
    length += count
  },

  addByte(byte: number): void {
    makeRoom(1)
    room[length++] = byte
  },

  /** The type of a message, and the length of it with its own four bytes. */
  addHeader(tag: number, total: number): void {
    makeRoom(5)
    room[length] = tag
    room[length + 1] = total >>> 24
    room[length + 2] = total >>> 16
    room[length + 3] = total >>> 8
    room[length + 4] = total
    length += 5
  },

  get bytes(): Uint8Array {
    return room.subarray(0, length)
  },
}

function makeRoom(more: number): void {
  if (length + more <= room.length) return
  const larger = new Uint8Array(2 * (length + more))
  larger.set(room.subarray(0, length))
  room = larger
}
