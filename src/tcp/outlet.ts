/** Writes to one socket. What the kernel does not take at once is kept until the socket drains. */
import { thrift } from './thrift.ts'

/** What an outlet needs of a socket: the number of bytes taken, negative when it is closed. */
export interface WritableSocket {
  write(bytes: Uint8Array): number
}

/**
 * Rooms for kept bytes that no outlet uses now. Slow readers take and give back rooms of the size
 * of a read all the time; without this each would be new memory, freed only much later.
 */
const spareRooms: Uint8Array[] = []
const SPARE_ROOMS_MAX = 4
const ROOM_BYTES = 524_288

function takeRoom(bytes: number): Uint8Array {
  if (bytes > ROOM_BYTES || bytes * 4 < ROOM_BYTES) return new Uint8Array(bytes)
  return spareRooms.pop() ?? new Uint8Array(ROOM_BYTES)
}

function giveBack(room: Uint8Array): void {
  if (room.length === ROOM_BYTES && spareRooms.length < SPARE_ROOMS_MAX) spareRooms.push(room)
}

/** Kept without a word for a connection that is being made: pausing costs several system calls. */
const EARLY_BYTES_MAX = 16_384

export class Outlet {
  /** Null until there is a connection; what is written before is kept. */
  #socket: WritableSocket | null
  /** Kept bytes lie in the room from `#from` to `#to`. */
  #room: Uint8Array | null = null
  #from = 0
  #to = 0
  #finishing: (() => void) | null = null
  #wanted: (() => void) | null = null
  #closed = false
  #finished = false

  constructor(socket: WritableSocket | null) {
    this.#socket = socket
  }

  /** Calls `wanted` with the first bytes, where there is no connection for them yet. */
  await(wanted: () => void): void {
    this.#wanted = wanted
  }

  /** The connection is there: what was kept for it is written. True when nothing is kept. */
  attach(socket: WritableSocket): boolean {
    this.#socket = socket
    return this.drained()
  }

  /** The connection is another's now; nothing may be kept for it. */
  detach(): void {
    this.#socket = null
  }

  /** True while bytes wait for the socket. */
  get full(): boolean {
    return this.#room !== null
  }

  /** Bytes that wait for the socket. */
  get kept(): number {
    return this.#to - this.#from
  }

  /** Takes all of the bytes; false where too many are kept now. They may be reused afterwards. */
  write(bytes: Uint8Array): boolean {
    if (this.#closed || this.#finishing !== null) return true
    if (this.#room !== null || this.#socket === null) {
      this.#keep(bytes, 0)
      if (this.#socket !== null) return false
      const wanted = this.#wanted
      this.#wanted = null
      wanted?.()
      return this.kept <= EARLY_BYTES_MAX
    }
    const written = this.#socket.write(bytes)
    if (written === bytes.length) return true
    if (written < 0) {
      this.#closed = true
      return true
    }
    this.#keep(bytes, written)
    return false
  }

  /** The socket can take more; true when nothing is kept any longer. */
  drained(): boolean {
    if (this.#socket === null) return false
    if (this.#room !== null) {
      const written = this.#socket.write(this.#room.subarray(this.#from, this.#to))
      if (written < 0) {
        this.abandon()
        return true
      }
      this.#from += written
      if (this.#from < this.#to) return false
      this.#empty()
    }
    if (!this.#closed) this.#finishing?.()
    return true
  }

  /**
   * Calls `finished` once, when everything is written; nothing more is taken. A later call takes
   * the place of one that waits: a socket whose side was shut down is at last closed.
   */
  finish(finished: () => void): void {
    if (this.#finished) return finished()
    if (this.#closed) return
    this.#finishing = () => {
      this.#closed = true
      this.#finished = true
      finished()
    }
    if (this.#room === null && this.#socket !== null) this.#finishing()
  }

  /** The socket is gone: what is kept is lost. */
  abandon(): void {
    this.#closed = true
    this.#finished = false
    this.#empty()
  }

  #keep(bytes: Uint8Array, offset: number): void {
    const added = bytes.length - offset
    const kept = this.#to - this.#from
    const before = this.#room
    let room = before ?? takeRoom(added)
    if (before !== null && this.#to + added > before.length) {
      room = kept + added <= before.length ? before : takeRoom(2 * (kept + added))
      room.set(before.subarray(this.#from, this.#to))
      if (room !== before) giveBack(before)
      this.#from = 0
      this.#to = kept
    }
    room.set(offset === 0 ? bytes : bytes.subarray(offset), this.#to)
    this.#room = room
    this.#to += added
    thrift.kept(bytes.length)
  }

  #empty(): void {
    if (this.#room !== null) giveBack(this.#room)
    this.#room = null
    this.#from = 0
    this.#to = 0
  }
}
