/** One place among the workers of a gateway: the process that has it, and what is known of it. */
import type { FromWorker, WorkerReport } from './messages.ts'
import type { WorkerProcess } from './process.ts'

/** Null: the worker has ended. */
export type Answer = FromWorker | null | 'late'

/** What a gateway knows of one of its workers. */
export interface Seat {
  readonly worker: number
  process: WorkerProcess | null
  isServing: boolean
  /** 0 while it serves nobody. */
  generation: number
  report: WorkerReport | null
  restarts: number
  failuresInARow: number
  startedAt: number
  /** For how long nothing was heard of it, in periods in which it was asked. */
  unheardMs: number
  /** Told of the answer to what was asked last, and of the end. */
  answered: ((answer: Answer) => void) | null
  /** Resolves with the next report. */
  reported: PromiseWithResolvers<void> | null
  gone: PromiseWithResolvers<void>
}

/** Asked once, however many wait for it. */
export function reportOf(seat: Seat): Promise<void> {
  if (seat.reported === null) {
    seat.reported = Promise.withResolvers<void>()
    seat.process?.send({ kind: 'report', news: false })
  }
  return seat.reported.promise
}

export function newSeat(worker: number): Seat {
  return {
    worker,
    process: null,
    isServing: false,
    generation: 0,
    report: null,
    restarts: 0,
    failuresInARow: 0,
    startedAt: 0,
    unheardMs: 0,
    answered: null,
    reported: null,
    gone: Promise.withResolvers<void>(),
  }
}

/**
 * Counts one more period in which it may have been heard; true where it never was for too long (0:
 * that is no matter). What the gateway itself sleeps through is one period, however long.
 */
export function isSilent(seat: Seat, periodMs: number, silenceMsMax: number): boolean {
  const isTooLong = silenceMsMax > 0 && seat.unheardMs >= silenceMsMax
  seat.unheardMs += periodMs
  return isTooLong
}
