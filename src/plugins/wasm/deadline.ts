/**
 * The time that a guest may take at a stretch. The metered code asks for fuel about every
 * millisecond, host functions ask before they return, and whoever asks too late is thrown out. A
 * deadline that passed while the machine gave us no processor is given once more, for load must
 * not turn a filter off.
 */
import type { LimitHits } from '../limits.ts'
import { FUEL_GRANT } from './meter.ts'
import { Trap } from './trap.ts'

/** The two clocks that a deadline is held against. */
export interface DeadlineClock {
  /** Milliseconds that pass for everybody. */
  readonly nowMs: () => number
  /** Milliseconds that this thread had a processor; NaN where the system does not tell. */
  readonly processorMs: () => number
}

const MICROS_PER_MS = 1000

/** The clocks of this thread. Reading the second one costs a fifth of a microsecond. */
export const THREAD_CLOCK: DeadlineClock = {
  nowMs: () => performance.now(),
  processorMs: () => {
    if (typeof process.threadCpuUsage !== 'function') return Number.NaN
    const { user, system } = process.threadCpuUsage()
    return (user + system) / MICROS_PER_MS
  },
}

/** What the instances of one plugin used up. */
export interface Consumption {
  /** Instructions, to the next grant. */
  fuel: number
  deadlineHits: number
  /** How often a deadline was given once more, for the thread had less than half of the time. */
  deadlineExtensions: number
}

/** Nothing yet. */
export function noConsumption(): Consumption {
  return { fuel: 0, deadlineHits: 0, deadlineExtensions: 0 }
}

/** Which of a plugin's deadlines: a call of a hook, or its start. */
export type DeadlineName = 'callDeadline' | 'startDeadline'

/** The least that is granted, so that a slow stretch cannot make asking the whole of the work. */
const GRANT_MIN = 5000
/** A grant should last no longer than this: what it overruns a deadline by at most, about. */
const GRANT_MS = 0.5
/** A call that runs for so long is no short one: reading the thread's time does not show in it. */
const MARK_AFTER_MS = 0.2
/** Where in a deadline the thread's time is read at the latest, to compare with at its end. */
const MARK_SHARE = 0.25
/** Below this share of the passing time the machine, not the guest, was slow. */
const SHARE_MIN = 0.5

/** The deadline of one instance: armed around every entry into the guest. */
export class Deadline {
  readonly #clock: DeadlineClock
  readonly #consumption: Consumption
  readonly #hits: LimitHits
  #name: DeadlineName = 'startDeadline'
  #lengthMs = 0
  /** When somebody must look closer: at the mark, then at the end; Infinity: not armed. */
  #lookAt = Number.POSITIVE_INFINITY
  #endsAt = Number.POSITIVE_INFINITY
  #startedAt = 0
  #extended = false
  #marked = false
  #markedAt = 0
  #processorAtMark = 0
  /** When the last grant of this call was given; NaN: none yet. */
  #grantedAt = Number.NaN
  #grant = 0

  constructor(consumption: Consumption, hits: LimitHits, clock: DeadlineClock = THREAD_CLOCK) {
    this.#clock = clock
    this.#consumption = consumption
    this.#hits = hits
  }

  /** Begins now, or when it is said to have begun, in milliseconds of the clock. */
  arm(name: DeadlineName, lengthMs: number, startedAt = this.#clock.nowMs()): void {
    this.#name = name
    this.#lengthMs = lengthMs
    this.#begin(startedAt)
  }

  /**
   * Begins with the guest's first request for fuel: an instance is made in a turn of the loop that
   * comes later, and what runs until then is not the guest's doing.
   */
  armAtFirstUse(name: DeadlineName, lengthMs: number): void {
    this.arm(name, lengthMs)
    this.#startedAt = Number.NaN
    this.#lookAt = Number.NEGATIVE_INFINITY
  }

  /** The guest has returned. What it returned is kept, even if nobody asked in time. */
  disarm(): void {
    this.#lookAt = Number.POSITIVE_INFINITY
  }

  /**
   * How long the guest ran, to its last request for fuel; 0: it never asked. What the loop did
   * since then is not counted.
   */
  get spentMs(): number {
    return Number.isNaN(this.#grantedAt) ? 0 : this.#grantedAt - this.#startedAt
  }

  /** What the metered code calls when its fuel is used up: the next grant, or a Trap. */
  refuel(): number {
    const now = this.#clock.nowMs()
    if (now >= this.#lookAt) this.#look(now)
    // Early, so that there is much to compare with; but most calls are over before that.
    if (!this.#marked && now - this.#startedAt >= MARK_AFTER_MS) this.#mark(now)
    this.#consumption.fuel += this.#grant
    this.#grant = this.#nextGrant(now)
    this.#grantedAt = now
    return this.#grant
  }

  /** What host functions call before they return: throws a Trap if the time is over. */
  check(): void {
    const now = this.#clock.nowMs()
    if (now >= this.#lookAt) this.#look(now)
  }

  #begin(now: number): void {
    this.#startedAt = now
    this.#endsAt = now + this.#lengthMs
    this.#lookAt = now + this.#lengthMs * MARK_SHARE
    this.#extended = false
    this.#marked = false
    this.#grantedAt = Number.NaN
  }

  #mark(now: number): void {
    this.#marked = true
    this.#markedAt = now
    this.#processorAtMark = this.#clock.processorMs()
    this.#lookAt = this.#endsAt
  }

  #look(now: number): void {
    if (Number.isNaN(this.#startedAt)) {
      this.#begin(now)
      return
    }
    if (now < this.#endsAt) {
      this.#mark(now)
      return
    }
    if (!this.#extended && this.#isStarved(now)) {
      this.#extended = true
      this.#consumption.deadlineExtensions++
      this.#endsAt = now + this.#lengthMs
      this.#mark(now)
      return
    }
    this.#consumption.deadlineHits++
    this.#hits.add(this.#name)
    const spent = (now - this.#startedAt).toFixed(1)
    throw new Trap(
      'deadline',
      `it ran for ${spent} ms, at most ${this.#lengthMs}${this.#extended ? ', given twice' : ''}`,
    )
  }

  /**
   * True where the thread had less than half of the time since the mark. No mark: nobody asked
   * from a quarter of the deadline to its end, which no grant and no host function takes that long
   * without being kept from the processor.
   */
  #isStarved(now: number): boolean {
    const processor = this.#clock.processorMs()
    // Where the system does not tell, the passing time alone rules.
    if (Number.isNaN(processor)) return false
    if (!this.#marked) return true
    return processor - this.#processorAtMark < (now - this.#markedAt) * SHARE_MIN
  }

  /** As many instructions as the last grant's speed lets pass in time, and before the end. */
  #nextGrant(now: number): number {
    const tookMs = now - this.#grantedAt
    // The first of a call, or too quick to be measured.
    if (!(tookMs > 0)) return FUEL_GRANT
    const allowedMs = Math.min(GRANT_MS, this.#endsAt - now)
    const wanted = Math.floor((this.#grant / tookMs) * allowedMs)
    return Math.max(GRANT_MIN, Math.min(FUEL_GRANT, wanted))
  }
}
