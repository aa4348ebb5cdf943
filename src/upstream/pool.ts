/**
 * The connections to one upstream: how many there may be at once, which are kept for the next
 * client, and who waits for one. Knows nothing of sockets: what a connection is, its user says.
 */

/** What a pool keeps between two clients. */
export interface Kept {
  /** Ends it, because the pool has no use for it any more. */
  close(): void
}

/**
 * What comes of asking a pool: a kept connection, or a `place` in which to open a new one (to be
 * given back by `vacate`), or `late`, where none was free within the wait that is permitted.
 */
export type Grant<Connection> = Connection | 'place' | 'late'

/** A taker that waits; `forget` takes it out of the queue. */
export interface Waiting {
  forget(): void
}

export interface PoolOptions {
  /** Connections at once: kept ones, lent ones and those being opened. */
  readonly sizeMax: number
  /** Longest wait for one, in milliseconds; 0: no end. */
  readonly waitTimeoutMs: number
}

/** What has happened in a pool so far; times in milliseconds. */
export interface PoolCounts {
  readonly waits: number
  readonly waitedMs: number
  /** Takers that waited in vain. */
  readonly waitTimeouts: number
  /** Connections that were opened for the pool or in a place of it. */
  readonly opened: number
  /** Kept connections that were lent once more. */
  readonly reused: number
  /** Connections that came back in a state in which nobody else may have them. */
  readonly discarded: number
}

type Taker<Connection> = (grant: Grant<Connection>) => void

/** A place in the queue, which each knows its neighbours in: many may come and go a second. */
class Waiter<Connection> implements Waiting {
  readonly taker: Taker<Connection>
  readonly sinceMs = performance.now()
  before: Waiter<Connection> | null = null
  behind: Waiter<Connection> | null = null
  queued = true
  readonly #leave: (waiter: Waiter<Connection>) => void

  constructor(taker: Taker<Connection>, leave: (waiter: Waiter<Connection>) => void) {
    this.taker = taker
    this.#leave = leave
  }

  forget(): void {
    this.#leave(this)
  }
}

export class Pool<Connection extends Kept> {
  readonly sizeMax: number
  readonly counts = {
    waits: 0,
    waitedMs: 0,
    waitTimeouts: 0,
    opened: 0,
    reused: 0,
    discarded: 0,
  } satisfies PoolCounts
  readonly #waitTimeoutMs: number
  /** The one used last is lent first, so that those which nobody needs grow old. */
  readonly #kept: Connection[] = []
  /** The ends of the queue, which is in the order of their coming. */
  #first: Waiter<Connection> | null = null
  #last: Waiter<Connection> | null = null
  #waiting = 0
  readonly #leave = (waiter: Waiter<Connection>): void => void this.#dequeue(waiter)
  /** For the one who came first of them: all wait equally long. */
  #timer: Timer | null = null
  #places = 0
  #retired = false

  constructor({ sizeMax, waitTimeoutMs }: PoolOptions) {
    this.sizeMax = sizeMax
    this.#waitTimeoutMs = waitTimeoutMs
  }

  /** Connections that nobody uses now. */
  get kept(): readonly Connection[] {
    return this.#kept
  }

  /** Connections that are lent, or being opened. */
  get lent(): number {
    return this.#places - this.#kept.length
  }

  get waiting(): number {
    return this.#waiting
  }

  /** A kept connection, where there is one and nobody has waited for it before. */
  takeKept(): Connection | null {
    if (this.#first !== null) return null
    const kept = this.#kept.pop()
    if (kept === undefined) return null
    this.counts.reused += 1
    return kept
  }

  /** Asks for a connection; `taker` is told at once where there is one, else in its turn. */
  take(taker: Taker<Connection>): Waiting | null {
    const kept = this.takeKept()
    if (kept !== null) {
      taker(kept)
      return null
    }
    if (this.#first === null && this.#places < this.sizeMax) {
      this.#grantPlace(taker)
      return null
    }
    return this.#queue(taker)
  }

  #queue(taker: Taker<Connection>): Waiting {
    const waiter = new Waiter(taker, this.#leave)
    this.counts.waits += 1
    this.#waiting += 1
    waiter.before = this.#last
    if (this.#last === null) this.#first = waiter
    else this.#last.behind = waiter
    this.#last = waiter
    if (this.#timer === null) this.#await(this.#waitTimeoutMs)
    return waiter
  }

  #await(ms: number): void {
    if (this.#waitTimeoutMs <= 0) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#late(performance.now())
    }, ms)
    this.#timer.unref()
  }

  /** Those who have waited long enough; the others were there later. */
  #late(now: number): void {
    for (let waiter = this.#first; waiter !== null; waiter = this.#first) {
      const leftMs = waiter.sinceMs + this.#waitTimeoutMs - now
      if (leftMs > 0) return this.#await(leftMs)
      this.#dequeue(waiter)
      this.counts.waitTimeouts += 1
      waiter.taker('late')
    }
  }

  #dequeue(waiter: Waiter<Connection>): boolean {
    if (!waiter.queued) return false
    const { before, behind } = waiter
    if (before === null) this.#first = behind
    else before.behind = behind
    if (behind === null) this.#last = before
    else behind.before = before
    waiter.queued = false
    waiter.before = null
    waiter.behind = null
    this.#waiting -= 1
    this.counts.waitedMs += performance.now() - waiter.sinceMs
    return true
  }

  #grantPlace(taker: Taker<Connection>): void {
    this.#places += 1
    this.counts.opened += 1
    taker('place')
  }

  /** A connection is fit for the next client: the first one who waits, or it is kept. */
  giveBack(connection: Connection): void {
    if (this.#retired) {
      this.vacate()
      connection.close()
      return
    }
    const next = this.#first
    if (next === null) this.#kept.push(connection)
    else {
      this.#dequeue(next)
      this.counts.reused += 1
      next.taker(connection)
    }
  }

  /** A place is free again: its connection is gone, or never came to be. */
  vacate(): void {
    this.#places -= 1
    const next = this.#first
    if (next === null || this.#places >= this.sizeMax) return
    this.#dequeue(next)
    this.#grantPlace(next.taker)
  }

  /** As `vacate`, because a connection came back unclean. */
  discard(): void {
    this.counts.discarded += 1
    this.vacate()
  }

  /** A kept connection has died or is taken out to be looked at; false where it is not kept. */
  remove(connection: Connection): boolean {
    const at = this.#kept.indexOf(connection)
    if (at < 0) return false
    this.#kept.splice(at, 1)
    return true
  }

  /** No connection is kept from now on; those that are lent are closed when they come back. */
  retire(): void {
    this.#retired = true
    for (const connection of this.#kept.splice(0)) {
      connection.close()
      this.vacate()
    }
  }
}
