/**
 * Whose turn it is to accept. Every worker would take all clients of a burst before another has
 * woken up; so each counts its sessions in memory that all share, and one that is ahead of the
 * others leaves what comes to them until it is called, or has no longer more than they.
 */

/** Server groups that can be counted apart. */
export const GROUPS_MAX = 256
const STATE = 0
const SESSIONS = 1
const FIRST_GROUP = 2
/** Numbers of one worker. */
const STRIDE = FIRST_GROUP + GROUPS_MAX

/** What a worker does; `called` is one that rests and has been told that it is its turn. */
const ABSENT = 0
const ACCEPTING = 1
const RESTING = 2
const CALLED = 3

/** A worker rests when it has so many more than the one with the fewest, and this share. */
const LEAD_MIN = 2
const LEAD_SHARE = 20
/** So long a client may wait for a worker that has fewer sessions but does not come for it. */
const PATIENCE_MS = 50
/** Clients that one takes at most because nobody else does, before it looks again. */
const CREDIT_MAX = 1024

/** Bytes of memory that so many workers share. */
export function turnsBytes(workers: number): number {
  return workers * STRIDE * Int32Array.BYTES_PER_ELEMENT
}

/** The counts of all workers, as every process of the gateway sees them. */
export class TurnsPage {
  readonly #numbers: Int32Array
  readonly workers: number

  /** `memory` is shared, and of `turnsBytes`. */
  constructor(memory: Uint8Array, workers: number) {
    this.workers = workers
    this.#numbers = new Int32Array(memory.buffer, memory.byteOffset, workers * STRIDE)
  }

  stateOf(worker: number): number {
    return Atomics.load(this.#numbers, worker * STRIDE + STATE)
  }
  setState(worker: number, state: number): void {
    Atomics.store(this.#numbers, worker * STRIDE + STATE, state)
  }
  /** False where somebody else has called it already, or it does not rest. */
  call(worker: number): boolean {
    const at = worker * STRIDE + STATE
    return Atomics.compareExchange(this.#numbers, at, RESTING, CALLED) === RESTING
  }

  sessionsOf(worker: number): number {
    return Atomics.load(this.#numbers, worker * STRIDE + SESSIONS)
  }
  count(worker: number, group: number, change: number): void {
    Atomics.add(this.#numbers, worker * STRIDE + SESSIONS, change)
    Atomics.add(this.#numbers, worker * STRIDE + FIRST_GROUP + group, change)
  }

  /** Sessions of a group with all workers. */
  inGroup(group: number): number {
    let sum = 0
    for (let worker = 0; worker < this.workers; worker++) {
      sum += Atomics.load(this.#numbers, worker * STRIDE + FIRST_GROUP + group)
    }
    return sum
  }

  /** A worker is gone, with all its sessions. */
  clear(worker: number): void {
    this.#numbers.fill(0, worker * STRIDE, (worker + 1) * STRIDE)
  }

  /** The fewest sessions that any other worker has which may accept; null: there is none. */
  fewestBeside(worker: number): number | null {
    let fewest: number | null = null
    for (let other = 0; other < this.workers; other++) {
      if (other === worker || this.stateOf(other) === ABSENT) continue
      const sessions = this.sessionsOf(other)
      if (fewest === null || sessions < fewest) fewest = sessions
    }
    return fewest
  }
}

/** What a worker accepts from. */
export interface Door {
  pause(): void
  resume(): void
  /** Notices clients of whom another process was told. */
  look(): void
  hasWaiting(): boolean
}

export interface TurnsOptions {
  readonly page: TurnsPage
  readonly worker: number
  /** Nothing is accepted until `admit`; left out: at once. */
  readonly isHeld?: boolean
  /** Tells another worker that it is its turn. */
  readonly call: (worker: number) => void
}

/** The turns of one worker. */
export class Turns {
  readonly #page: TurnsPage
  readonly #worker: number
  readonly #call: (worker: number) => void
  readonly #doors = new Set<Door>()
  #isResting = false
  #isHeld: boolean
  /** What may be accepted although others have fewer. */
  #credit = 0
  #nextCredit = 1
  #patience: Timer | null = null

  constructor({ page, worker, call, isHeld = false }: TurnsOptions) {
    this.#isHeld = isHeld
    this.#page = page
    this.#worker = worker
    this.#call = call
  }

  opened(door: Door): void {
    this.#doors.add(door)
    if (this.#isResting || this.#isHeld) door.pause()
    else this.#page.setState(this.#worker, ACCEPTING)
  }

  /** The clients are those of this gateway from now on. */
  admit(): void {
    this.#isHeld = false
    this.resume()
  }

  /** Nobody waits for a worker that accepts nowhere. */
  closed(door: Door): void {
    this.#doors.delete(door)
    if (this.#doors.size > 0) return
    this.#isResting = false
    this.#endPatience()
    this.#page.setState(this.#worker, ABSENT)
  }

  /** Sessions of a group with all workers. */
  inGroup(group: number): number {
    return this.#page.inGroup(group)
  }

  accepted(group: number): void {
    this.#page.count(this.#worker, group, 1)
    if (this.#doors.size === 0) return
    if (this.#credit > 0) this.#credit -= 1
    else if (this.#isAhead()) this.#rest()
  }

  ended(group: number): void {
    this.#page.count(this.#worker, group, -1)
    if (this.#isResting && !this.#hasMost()) this.resume()
  }

  /** It was called, or something about the others has changed. */
  resume(): void {
    if (this.#doors.size === 0 || this.#isHeld) return
    this.#endPatience()
    this.#credit = 0
    this.#nextCredit = 1
    if (this.#isResting) this.#wake()
    else this.#look()
  }

  /** Looked at now and then: a client must not wait for long for a worker that does not come. */
  check(): void {
    if (!this.#isResting) return this.#look()
    if (!this.#hasMost()) return this.resume()
    this.#takeWaiting()
  }

  #isAhead(): boolean {
    const fewest = this.#page.fewestBeside(this.#worker)
    if (fewest === null) return false
    const lead = Math.max(LEAD_MIN, 1 + Math.floor(fewest / LEAD_SHARE))
    return this.#page.sessionsOf(this.#worker) - fewest >= lead
  }

  #hasMost(): boolean {
    const fewest = this.#page.fewestBeside(this.#worker)
    return fewest !== null && this.#page.sessionsOf(this.#worker) > fewest
  }

  /**
   * Those that have fewer than this one, which they cannot have noticed: where they rest, and where
   * clients are left that woke this one alone.
   */
  #callOthers(): void {
    const page = this.#page
    const own = page.sessionsOf(this.#worker)
    const isLeft = this.#isWaitedFor()
    for (let other = 0; other < page.workers; other++) {
      if (other === this.#worker || page.sessionsOf(other) >= own) continue
      const isAwake = isLeft && page.stateOf(other) === ACCEPTING
      if (isAwake || page.call(other)) this.#call(other)
    }
  }

  #isWaitedFor(): boolean {
    for (const door of this.#doors) if (door.hasWaiting()) return true
    return false
  }

  #look(): void {
    for (const door of this.#doors) if (door.hasWaiting()) door.look()
  }

  #rest(): void {
    this.#isResting = true
    this.#page.setState(this.#worker, RESTING)
    for (const door of this.#doors) door.pause()
    this.#callOthers()
    this.#lookLater()
  }

  #lookLater(): void {
    this.#patience ??= setTimeout(() => {
      this.#patience = null
      if (this.#isResting) return this.#takeWaiting()
      // What was not taken by now was not needed: the others come for their clients again.
      this.#credit = 0
      if (this.#isAhead()) this.#rest()
    }, PATIENCE_MS)
  }

  #takeWaiting(): void {
    if (!this.#isWaitedFor()) {
      this.#nextCredit = 1
      return
    }
    this.#credit = this.#nextCredit
    this.#nextCredit = Math.min(this.#nextCredit * 2, CREDIT_MAX)
    this.#wake()
    this.#lookLater()
  }

  #wake(): void {
    this.#isResting = false
    this.#page.setState(this.#worker, ACCEPTING)
    for (const door of this.#doors) door.resume()
  }

  #endPatience(): void {
    if (this.#patience !== null) clearTimeout(this.#patience)
    this.#patience = null
  }
}
