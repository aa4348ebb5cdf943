/**
 * What a connection has asked and the server has not answered yet, so that answers are told to whom
 * they are: in the extended protocol rows come without a description of their own.
 *
 * Only messages that were sent to the server are noted (give it what onTrafficToServer tells). What
 * an answer does not fit is passed over, for a plugin behind this one, or the gateway itself, may
 * say something to the server of which nobody is told.
 */
import { giveBack, roomFor, take } from '../../sdk/assembly/room'
import { Frontend } from '../../sdk/assembly/sdk'
import { Tracked } from './sessions'

/** A request: type (u8), number (i32), two keys (u64), and its owner's own (f64, u64). */
const ENTRY_BYTES: i32 = 40
const NUMBER: usize = 4
const FIRST: usize = 8
const SECOND: usize = 16
const SINCE: usize = 24
const OWNED: usize = 32
const ENTRIES_FIRST: i32 = 4
/** Requests under way of one connection. */
const ENTRIES_MAX: i32 = 8192

export class Requests extends Tracked {
  /** True while the server copies in: it eats every Sync. */
  private isCopying: bool = false
  /** True where the server skips everything up to a Sync that has not been sent yet. */
  private isSkipping: bool = false
  /** True where there were too many requests: nothing can be told until all are answered. */
  private isLost: bool = false
  private readiesLost: i32 = 0
  private ring: usize = 0
  private room: i32 = 0
  private head: i32 = 0
  private count: i32 = 0

  /** For another connection. */
  clear(): void {
    this.isCopying = false
    this.isSkipping = false
    this.isLost = false
    this.readiesLost = 0
    this.release()
  }

  /** Told of each request that the server will not answer. For those who keep something with it. */
  gone(_entry: usize): void {}

  /** Gives up what it holds. */
  release(): void {
    while (this.count > 0) this.skip()
    giveBack(this.ring, roomFor(this.room * ENTRY_BYTES))
    this.ring = 0
    this.room = 0
    this.head = 0
    this.count = 0
  }

  /** Notes a request that was sent; its entry, or 0 where none is kept of it. */
  sent(type: u8, number: i32 = 0, first: u64 = 0, second: u64 = 0): usize {
    const isSync = type == Frontend.SYNC
    if (type == Frontend.COPY_DONE || type == Frontend.COPY_FAIL) this.isCopying = false
    if (this.isCopying || !isAnswered(type)) return 0
    if (this.isSkipping) {
      if (!isSync) return 0
      this.isSkipping = false
    }
    if (this.isLost || (this.count == this.room && !this.grow())) {
      this.isLost = true
      if (isSync || type == Frontend.QUERY) this.readiesLost++
      return 0
    }
    const entry = this.entryAt(this.count++)
    store<u8>(entry, type)
    store<i32>(entry, number, NUMBER)
    store<u64>(entry, first, FIRST)
    store<u64>(entry, second, SECOND)
    store<f64>(entry, 0, SINCE)
    store<u64>(entry, 0, OWNED)
    return entry
  }

  /** The oldest request that is not a Sync, if it is of this type, else 0. */
  awaited(type: u8): usize {
    // Syncs whose ReadyForQuery never comes are passed over; nothing else is.
    const entry = this.oldest()
    return entry != 0 && load<u8>(entry) == type ? entry : 0
  }

  /** The oldest request that is not a Sync, or 0. */
  private oldest(): usize {
    for (let at = 0; at < this.count; at++) {
      const entry = this.entryAt(at)
      if (load<u8>(entry) != Frontend.SYNC) return entry
    }
    return 0
  }

  /** The request that `awaited` told is answered, and so are the Syncs before it. */
  answered(entry: usize): void {
    while (this.count > 0) {
      const oldest = this.entryAt(0)
      this.drop()
      if (oldest == entry) return
    }
  }

  /** The request whose answer comes now, whatever it is; 0: none that is known. */
  get present(): usize {
    return this.oldest()
  }

  /** True where all that was sent before a Sync is answered, and the Sync is not. */
  get isAtSync(): bool {
    return this.count > 0 && load<u8>(this.entryAt(0)) == Frontend.SYNC
  }

  /** What stands before the next Sync or Query will not be answered: for those who miss answers. */
  giveUpToSync(): void {
    for (let at = 0; at < this.count; at++) {
      const type = load<u8>(this.entryAt(at))
      if (type != Frontend.SYNC && type != Frontend.QUERY) continue
      while (at-- > 0) this.skip()
      return
    }
  }

  /** The server copies in for the oldest request: it eats what Syncs have been sent behind it. */
  beginCopyIn(): void {
    this.isCopying = true
    const entry = this.awaited(Frontend.EXECUTE)
    if (entry == 0) return
    this.skipSyncs()
    while (this.count > 1 && load<u8>(this.entryAt(1)) == Frontend.SYNC) {
      memory.copy(this.entryAt(1), this.entryAt(0), ENTRY_BYTES)
      this.drop()
    }
  }

  endCopyIn(): void {
    this.isCopying = false
  }

  /** The same where what has failed is an Execute that `answered` has taken away. */
  failedAnswered(): void {
    this.isCopying = false
    if (this.count == 0) this.isSkipping = true
    else if (load<u8>(this.entryAt(0)) != Frontend.SYNC) this.skipToSync()
  }

  /** The server skips what was sent up to the next Sync, unless it is a Query that failed. */
  failed(): void {
    this.isCopying = false
    const oldest = this.oldest()
    if (oldest == 0 || load<u8>(oldest) == Frontend.QUERY) return
    this.skipSyncs()
    this.skipToSync()
  }

  private skipToSync(): void {
    while (this.count > 0 && load<u8>(this.entryAt(0)) != Frontend.SYNC) this.skip()
    this.isSkipping = this.count == 0
  }

  /** ReadyForQuery has come: of a Sync or of a Query. */
  ready(): void {
    this.isCopying = false
    const type = this.count == 0 ? 0 : load<u8>(this.entryAt(0))
    if (type == Frontend.SYNC || type == Frontend.QUERY) this.skip()
    else if (this.count == 0 && this.isLost && --this.readiesLost <= 0) {
      this.isLost = false
      this.readiesLost = 0
    }
  }

  private skipSyncs(): void {
    while (this.count > 0 && load<u8>(this.entryAt(0)) == Frontend.SYNC) this.drop()
  }

  private skip(): void {
    this.gone(this.entryAt(0))
    this.drop()
  }

  private drop(): void {
    this.head = (this.head + 1) & (this.room - 1)
    this.count--
  }

  private entryAt(at: i32): usize {
    return this.ring + ((this.head + at) & (this.room - 1)) * ENTRY_BYTES
  }

  private grow(): bool {
    const room = max(ENTRIES_FIRST, this.room * 2)
    if (room > ENTRIES_MAX) return false
    const ring = take(room * ENTRY_BYTES)
    if (ring == 0) return false
    for (let at = 0; at < this.count; at++) {
      memory.copy(ring + at * ENTRY_BYTES, this.entryAt(at), ENTRY_BYTES)
    }
    giveBack(this.ring, roomFor(this.room * ENTRY_BYTES))
    this.ring = ring
    this.room = room
    this.head = 0
    return true
  }
}

/** True for messages that the server answers each by one of its own. */
function isAnswered(type: u8): bool {
  switch (type) {
    case Frontend.QUERY:
    case Frontend.PARSE:
    case Frontend.BIND:
    case Frontend.DESCRIBE:
    case Frontend.EXECUTE:
    case Frontend.CLOSE:
    case Frontend.SYNC:
      return true
    default:
      return false
  }
}

export function typeIn(entry: usize): u8 {
  return load<u8>(entry)
}

export function numberIn(entry: usize): i32 {
  return load<i32>(entry, NUMBER)
}

export function setNumber(entry: usize, number: i32): void {
  store<i32>(entry, number, NUMBER)
}

export function firstIn(entry: usize): u64 {
  return load<u64>(entry, FIRST)
}

export function secondIn(entry: usize): u64 {
  return load<u64>(entry, SECOND)
}

export function sinceIn(entry: usize): f64 {
  return load<f64>(entry, SINCE)
}

export function setSince(entry: usize, ms: f64): void {
  store<f64>(entry, ms, SINCE)
}

/** What its owner has put there: the place of a block, or such. */
export function ownedIn(entry: usize): u64 {
  return load<u64>(entry, OWNED)
}

export function setOwned(entry: usize, owned: u64): void {
  store<u64>(entry, owned, OWNED)
}
