/**
 * Cuts a stream of typed messages into pieces: runs that pass, units that are held until whole,
 * messages that are dropped. Follows headers without copying; never trusts a declared length.
 */
import type { Cut, FlowLimits, Piece, Wanted } from '../protocol.ts'
import { Hold, joined } from './hold.ts'
import type { Fate, Judge, MessagePassage } from './judge.ts'
import { hasNames } from './sharing/heads.ts'
import { noMessage } from './tags.ts'

const EMPTY: Uint8Array = new Uint8Array(0)
/** One byte of type and four of length. */
export const HEADER_BYTES = 5
/** A length counts its own four bytes. */
export const LENGTH_MIN = 4
const LENGTH_MAX = 0x7fff_ffff

/** The length in a header at `at`, an unsigned number. */
export function lengthAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at + 1]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!) >>> 0
  )
}

export class MessageReader {
  bytes: Uint8Array = EMPTY
  over = false
  violation = ''
  /** Bytes of the gateway's own, written at the next place between two messages. */
  readonly due: Uint8Array[] = []
  /** Set by the judge in `begin` to also get the bytes of this message. */
  tap: Uint8Array | null = null

  readonly #judge: Judge
  #cut: Cut
  #wanted: Uint8Array | null
  #bytesMax: number
  readonly #hold: Hold
  #chunk: Uint8Array = EMPTY
  /** First bytes of a header that was cut by the end of a chunk. */
  #stash: Uint8Array = EMPTY
  /** Where in the chunk the open run or unit begins, and how far the chunk has been read. */
  #from = 0
  #at = 0
  #tag = 0
  #total = 0
  #left = 0
  #fate: Fate = 'pass'
  #unitOpen = false
  #previous = 0
  /** Set between the parts of a reply that is too large to be held whole. */
  #overOpen = false
  /** The reply has been read to its end: the next message begins another. */
  #replyEnded = false
  #handed = false
  #partial: Uint8Array | null = null
  /** A message that was held alone, and waits for a server. */
  #waiting: Uint8Array | null = null
  /** A message that is too large to be held goes on though a step was to see it. */
  #unseen = false
  #ended = false

  constructor(judge: Judge, wanted: Wanted, limits: FlowLimits) {
    this.#judge = judge
    this.#cut = wanted.cut
    this.#wanted = wanted.tags
    this.#bytesMax = limits.messageBytesMax
    this.#hold = new Hold(limits.budget)
  }

  push(chunk: Uint8Array): void {
    this.#chunk = this.#stash.length === 0 ? chunk : joined(this.#stash, chunk)
    this.#stash = EMPTY
    this.#from = 0
    this.#at = 0
  }

  end(): void {
    this.#ended = true
  }

  /** Cuts another way from here on; only where it is at rest, and with the same budget. */
  rewatch(wanted: Wanted, limits: FlowLimits): void {
    this.#cut = wanted.cut
    this.#wanted = wanted.tags
    this.#bytesMax = limits.messageBytesMax
    this.#overOpen = false
    this.#replyEnded = false
  }

  /** True between two messages, with nothing held and nothing to write. */
  get atRest(): boolean {
    const between = this.#left === 0 && this.#stash.length === 0 && this.#waiting === null
    return between && !this.#unitOpen && this.due.length === 0
  }

  /** True where a part of a message has been let pass and the rest has not. */
  get midMessage(): boolean {
    return this.#left > 0 && this.#left < this.#total && this.#fate === 'pass'
  }

  release(): void {
    this.#hold.clear()
    this.#chunk = EMPTY
    this.#stash = EMPTY
    this.#from = 0
    this.#at = 0
    this.#left = 0
    this.#waiting = null
    this.due.length = 0
  }

  next(): Piece {
    if (this.#waiting !== null) return this.#alone(this.#waiting)
    if (this.#handed) {
      this.#hold.clear()
      this.#handed = false
    }
    if (this.#partial !== null) {
      this.bytes = this.#partial
      this.#partial = null
      return 'pass'
    }
    for (;;) {
      if (this.due.length > 0 && this.#between()) return this.#inject(this.due.shift()!)
      const piece = this.#left === 0 ? (this.#open() ?? this.#advance()) : this.#advance()
      if (piece !== null) return piece
    }
  }

  /** The large message passes; its ledger entry is made now. */
  streamOversize(): void {
    this.#unseen = this.#judge.passage !== null
    if (this.#unseen) return
    this.#fate = 'pass'
    this.#judge.streamed(this.#tag)
    this.#partial = this.#taken()
  }

  #rewrite(passage: MessagePassage): void {
    this.#unseen = false
    this.#fate = 'pass'
    const take = Math.min(this.#left, this.#chunk.length - this.#at)
    this.#at += take
    this.#left -= take
    const begun = joined(this.#hold.view(), this.#chunk.subarray(this.#from, this.#at))
    this.#hold.clear()
    this.#from = this.#at
    this.#partial = passage.rewritten(this.#tag, begun, this.#total)
    if (this.#partial === null) this.#fate = 'drop'
  }

  /** The large message is dropped as it comes. */
  dropOversize(): void {
    this.#taken()
    this.#fate = 'drop'
  }

  /** True where bytes of our own can be written without cutting a message in two. */
  #between(): boolean {
    if (this.#from !== this.#at) return false
    return this.#left === 0 || this.#left === this.#total || this.#fate !== 'pass'
  }

  /** Looks at the next header. Null: go on reading that message. */
  #open(): Piece | null {
    if (!this.#unitOpen) this.#passPlain()
    const at = this.#at
    const available = this.#chunk.length - at
    if (available < HEADER_BYTES) return this.#exhausted()
    const tag = this.#chunk[at]!
    const length = lengthAt(this.#chunk, at)
    const sound = this.#judge.tags[tag] === 1 && length >= LENGTH_MIN && length <= LENGTH_MAX
    const total = length + 1
    if (this.#unitOpen && !(sound && this.#mayJoin(tag, total, available))) return this.#unit()
    if (!sound) return this.#from < at ? this.#run() : this.#violate(tag, length)
    const rewrites = this.#judge.passage !== null
    const isCut = rewrites && total > this.#bytesMax && available < total
    if (isCut && !hasNames(tag, this.#chunk, at, this.#chunk.length)) return this.#exhausted()
    this.#tag = tag
    this.#total = total
    this.#left = total
    this.tap = null
    if (this.#replyEnded) {
      this.#replyEnded = false
      this.#overOpen = false
    }
    const fate = this.#judge.begin(tag, total)
    if (fate === 'wait') {
      this.#left = 0
      return this.#from < at ? this.#run() : 'serverless'
    }
    this.#fate = fate
    if (this.#fate === 'hold' || this.#fate === 'alone') {
      if (total > this.#bytesMax) this.#fate = rewrites || fate === 'hold' ? 'large' : 'pass'
      else if (this.#fate === 'hold' && this.#from === at) this.#unitOpen = true
    }
    return this.#fate !== 'pass' && this.#from < at && !this.#unitOpen ? this.#run() : null
  }

  /** Goes past whole messages that mean nothing: most of what a server sends. */
  #passPlain(): void {
    const chunk = this.#chunk
    const { plain } = this.#judge
    const last = chunk.length - HEADER_BYTES
    let at = this.#at
    while (at <= last && plain[chunk[at]!] === 1) {
      const length = lengthAt(chunk, at)
      const next = at + 1 + length
      if (length < LENGTH_MIN || next > chunk.length) break
      at = next
    }
    this.#at = at
  }

  /** Reads on in the current message, as far as the chunk goes. */
  #advance(): Piece | null {
    if (this.#fate === 'large') return this.#large()
    const at = this.#at
    const take = Math.min(this.#left, this.#chunk.length - at)
    if (this.tap !== null) this.#fillTap(at, take)
    this.#at = at + take
    this.#left -= take
    switch (this.#fate) {
      case 'pass':
        if (this.#left > 0) return this.#from < this.#at ? this.#run() : this.#spent()
        return this.#finish() ? this.#run() : null
      case 'drop':
        this.#from = this.#at
        if (this.#left > 0) return this.#spent()
        this.#finish()
        return null
      case 'hold':
        this.#unitOpen = true
        if (this.#left > 0) return this.#suspend()
        this.#previous = this.#tag
        return this.#finish() || this.#cut === 'message' ? this.#unit() : null
      case 'alone':
        if (this.#left > 0) return this.#suspend()
        this.#finish()
        return this.#alone(this.#gather())
    }
  }

  #finish(): boolean {
    const ends = this.#judge.finish(this.#tag, this.#chunk[this.#at - 1]!)
    if (ends) this.#replyEnded = true
    return ends || this.due.length > 0
  }

  #fillTap(at: number, take: number): void {
    const tap = this.tap!
    const offset = this.#total - this.#left
    if (offset >= tap.length) return
    tap.set(this.#chunk.subarray(at, at + Math.min(take, tap.length - offset)), offset)
  }

  /** May the message that begins now stand in the open unit? */
  #mayJoin(tag: number, total: number, available: number): boolean {
    if (this.#cut === 'message' || this.#wanted === null || this.#wanted[tag] !== 1) return false
    if (!this.#judge.joins(this.#previous, tag)) return false
    const held = this.#hold.length + this.#at - this.#from
    if (held + total > this.#bytesMax) {
      this.#overOpen = this.#cut === 'reply'
      return false
    }
    return total <= available || (this.#cut === 'reply' && !this.#overOpen)
  }

  /** The chunk ends within or before a header. */
  #exhausted(): Piece {
    if (this.#unitOpen) {
      const parts = this.#cut !== 'reply' || this.#overOpen || this.#ended
      if (parts && this.#hold.length + this.#at - this.#from > 0) return this.#unit()
      if (!this.#hold.append(this.#chunk.subarray(this.#from, this.#at))) {
        this.#overOpen = true
        return this.#unit()
      }
      this.#from = this.#at
    } else if (this.#from < this.#at) return this.#run()
    if (this.#at < this.#chunk.length) this.#stash = this.#chunk.slice(this.#at)
    return this.#spent()
  }

  /** The chunk ends within a held message. */
  #suspend(): Piece {
    if (!this.#ended && this.#hold.append(this.#chunk.subarray(this.#from, this.#at))) {
      return this.#spent()
    }
    // The source is gone or the budget spent: what is whole goes; the rest is lost or too large.
    const read = this.#total - this.#left
    const whole = this.#hold.length + this.#at - this.#from - read
    if (whole === 0 || this.#fate === 'alone') return this.#ended ? this.#spent() : this.#large()
    this.#overOpen = true
    const all = joined(this.#hold.view(), this.#chunk.subarray(this.#from, this.#at))
    this.#hold.clear()
    this.#chunk = all
    this.#from = whole
    this.#at = all.length
    return this.#hand(all.subarray(0, whole))
  }

  #large(): Piece {
    const { passage } = this.#judge
    if (passage !== null && (this.#unseen || this.#wanted?.[this.#tag] !== 1)) {
      this.#fate = 'large'
      if (!passage.ready(this.#tag)) return 'serverless'
      this.#rewrite(passage)
      return this.next()
    }
    if (this.#fate === 'alone') {
      this.#fate = 'pass'
      this.#partial = this.#taken()
      return this.next()
    }
    this.#fate = 'large'
    this.#unitOpen = false
    // Steps that are given replies cannot be given this one: what follows is only its rest.
    this.#overOpen = this.#cut === 'reply'
    this.bytes = Uint8Array.of(this.#tag, 0, 0, 0, LENGTH_MIN)
    return 'oversize'
  }

  /** What has been read of the current message so far, taken out of the hold; null if nothing. */
  #taken(): Uint8Array | null {
    if (this.#left === this.#total) return null
    const taken = joined(this.#hold.view(), this.#chunk.subarray(this.#from, this.#at))
    this.#hold.clear()
    this.#from = this.#at
    return taken
  }

  #run(): Piece {
    this.bytes = this.#openBytes()
    this.#from = this.#at
    return 'pass'
  }

  /** What of the chunk belongs to the open run or unit. */
  #openBytes(): Uint8Array {
    // A view of a fresh chunk makes the engine give it a buffer object: dear on the hot path.
    if (this.#from === 0 && this.#at === this.#chunk.length) return this.#chunk
    return this.#chunk.subarray(this.#from, this.#at)
  }

  #unit(): Piece {
    this.#unitOpen = false
    return this.#hand(this.#gather())
  }

  #hand(bytes: Uint8Array): Piece {
    this.bytes = bytes
    this.over = this.#overOpen
    this.#handed = true
    return 'unit'
  }

  #alone(bytes: Uint8Array): Piece {
    this.#waiting = (this.#judge.passage?.ready(this.#tag) ?? true) ? null : bytes
    if (this.#waiting !== null) return 'serverless'
    const own = this.#judge.alone(bytes)
    if (own !== bytes) return this.#inject(own)
    if (this.#wanted !== null && this.#wanted[this.#tag] === 1) return this.#hand(bytes)
    this.bytes = bytes
    return 'pass'
  }

  #inject(bytes: Uint8Array): Piece {
    this.bytes = bytes
    return 'inject'
  }

  /** Everything of the open unit, in one run of bytes. */
  #gather(): Uint8Array {
    const part = this.#openBytes()
    this.#from = this.#at
    if (this.#hold.length === 0) return part
    this.#handed = true
    if (part.length === 0) return this.#hold.view()
    if (this.#hold.append(part)) return this.#hold.view()
    return joined(this.#hold.view(), part)
  }

  /** Keeps nothing of the chunk: an idle session must not hold on to the last of what it moved. */
  #spent(): Piece {
    this.#chunk = EMPTY
    this.bytes = EMPTY
    this.#from = 0
    this.#at = 0
    return 'none'
  }

  #violate(tag: number, length: number): Piece {
    this.violation = noMessage(this.#judge.tags, tag, length)
    return 'violation'
  }
}
