/**
 * The workers of a gateway: started, handed the configuration, replaced where they die, asked what
 * they have counted, and ended. Knows processes and messages; what is handed over is handed in.
 */
import type { Logger } from 'pino'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { settlesIn } from '../base/settles.ts'
import { workerOfKey } from '../tcp/key-marks.ts'
import type { HeldSocket } from '../tcp/sharing.ts'
import type { FromWorker, Handed, ToWorker, WorkerReport } from './messages.ts'
import { WorkerProcess } from './process.ts'
import { backoffMs, STABLE_MS } from './replacing.ts'
import { type Answer, isSilent, newSeat, reportOf, type Seat } from './seat.ts'

/** How long a worker may take to tell what it has counted. */
const REPORT_WITHIN_MS = 1000
/** What a worker that is killed has counted since its last report is lost: so old may that be. */
const NEWS_PERIOD_MS = 1000
/** How long a worker may take to use what it has prepared; then it is replaced. */
const COMMIT_WITHIN_MS = 5000
/** How long a worker may take over its drain before it is ended. */
const LEAVE_WITHIN_MS = 5000
/** Ends of a CancelRequest that is carried to another worker. */
const CANCELS_MAX = 1000

export interface CrewOptions {
  readonly workers: number
  readonly log: Logger
  /** The first message to a worker, and the sockets that go with it. */
  readonly start: (worker: number) => { message: ToWorker; sockets: readonly HeldSocket[] }
  /** How long a worker may take to be ready. */
  readonly readyWithinMs: () => number
  /** How long a worker may say nothing, though it is asked; 0: no end. */
  readonly silenceMsMax: () => number
  /** Carries a CancelRequest further whose key no worker knows. */
  readonly cancelBefore: (
    group: string,
    request: Uint8Array,
    done: (known: boolean) => void,
  ) => void
  readonly told: {
    /** A worker is gone, which had reported this at last. */
    gone(worker: number, report: WorkerReport | null): void
    /** A plugin answers a worker no more. */
    doubted(plugin: number): void
  }
}

export class Crew {
  readonly #options: CrewOptions
  readonly #seats: readonly Seat[]
  #isLeaving = false
  /** While a reload is under way no worker is started: it would be handed what is about to go. */
  #held: Promise<void> | null = null
  readonly #cancels = new Map<number, { readonly ended: (known: boolean) => void; open: number }>()
  #cancelNumber = 0
  #reporting: Timer | null = null
  cancelsForwarded = 0

  constructor(options: CrewOptions) {
    this.#options = options
    this.#seats = Array.from({ length: options.workers }, (_, worker) => newSeat(worker))
  }

  get seats(): readonly Seat[] {
    return this.#seats
  }
  get #serving(): readonly Seat[] {
    return this.#seats.filter(({ isServing }) => isServing)
  }

  /** Resolves when all of them serve; rejects with the reason of the first that cannot. */
  async start(): Promise<void> {
    await Promise.all(this.#seats.map((seat) => this.#fill(seat)))
    this.#reporting = setInterval(() => {
      for (const seat of this.#serving) this.#look(seat)
    }, NEWS_PERIOD_MS)
  }

  /** Asks for news. Whoever hangs keeps its sessions from going on, and from being told so. */
  #look(seat: Seat): void {
    const { log, silenceMsMax } = this.#options
    const mostMs = silenceMsMax()
    if (!isSilent(seat, NEWS_PERIOD_MS, mostMs)) {
      return seat.process?.send({ kind: 'report', news: true })
    }
    log.error({ worker: seat.worker }, `a worker says nothing for ${mostMs} ms (workerTimeout)`)
    seat.process?.kill()
  }

  /** Starts a worker; rejects where it does not come to serve, and then it is gone. */
  async #fill(seat: Seat): Promise<void> {
    const { log, start, readyWithinMs } = this.#options
    const { worker } = seat
    seat.gone = Promise.withResolvers<void>()
    seat.startedAt = performance.now()
    seat.unheardMs = 0
    const process = new WorkerProcess({
      worker,
      log,
      heard: (message) => this.#hear(seat, message),
      ended: (how) => this.#end(seat, how),
    })
    seat.process = process
    const { message, sockets } = start(worker)
    try {
      for (const { descriptor } of sockets) process.hand(descriptor)
    } catch (thrown) {
      process.kill()
      throw thrown
    }
    const answer = await this.#ask(seat, message, readyWithinMs())
    if (isServing(answer)) return this.#serves(seat, answer.generation)
    process.kill()
    await seat.gone.promise
    throw refusedBy(worker, answer)
  }

  #serves(seat: Seat, generation: number): void {
    seat.isServing = true
    seat.generation = generation
    const { pid } = seat.process!
    this.#options.log.info({ worker: seat.worker, pid, generation }, 'a worker serves')
  }

  async #ask(seat: Seat, message: ToWorker, withinMs: number): Promise<Answer> {
    const answer = Promise.withResolvers<Answer>()
    const timer = setTimeout(() => answer.resolve('late'), withinMs)
    seat.answered = answer.resolve
    seat.process?.send(message)
    const got = await answer.promise
    clearTimeout(timer)
    seat.answered = null
    return got
  }

  #hear(seat: Seat, message: FromWorker): void {
    seat.unheardMs = 0
    switch (message.kind) {
      case 'report':
      case 'drained':
        seat.report = message.report
        seat.reported?.resolve()
        seat.reported = null
        if (message.kind === 'drained') seat.answered?.(message)
        return
      case 'same':
        return
      case 'cancel':
        return this.#carryCancel(seat, message)
      case 'cancelled':
        return this.#cancelEnded(message.id, message.known)
      case 'turn':
        return this.#seats[message.worker]?.process?.send({ kind: 'turn' })
      case 'doubt':
        return this.#options.told.doubted(message.plugin)
      default:
        seat.answered?.(message)
    }
  }

  #end(seat: Seat, how: string): void {
    const { log, told } = this.#options
    const { worker, report } = seat
    const wasServing = seat.isServing
    const ranMs = performance.now() - seat.startedAt
    Object.assign(seat, { process: null, isServing: false, generation: 0, report: null })
    told.gone(worker, report)
    for (const { process } of this.#serving) process?.send({ kind: 'turn' })
    seat.answered?.(null)
    seat.reported?.resolve()
    seat.reported = null
    seat.gone.resolve()
    if (this.#isLeaving || !wasServing) return
    seat.failuresInARow = ranMs >= STABLE_MS ? 1 : seat.failuresInARow + 1
    log.error({ worker }, `a worker ${how}: its sessions are lost, and it is replaced`)
    this.#replace(seat)
  }

  /** In a row of failures later and later, but never while nobody serves. */
  #replace(seat: Seat): void {
    const delayMs = this.#serving.length === 0 ? 0 : backoffMs(seat.failuresInARow)
    const { log } = this.#options
    setTimeout(() => {
      const again = (this.#held ?? Promise.resolve()).then(() => this.#refill(seat))
      again.catch((thrown) => log.error({ err: thrown }, 'a worker was not replaced'))
    }, delayMs)
  }

  async #refill(seat: Seat): Promise<void> {
    if (this.#isLeaving || seat.process !== null) return
    seat.restarts += 1
    try {
      await this.#fill(seat)
    } catch (thrown) {
      if (this.#isLeaving) return
      seat.failuresInARow += 1
      const { worker } = seat
      const facts = thrown instanceof GatewayError ? { worker } : { worker, err: thrown }
      const why = sentenceOf(thrown)
      this.#options.log.error(facts, `a worker does not start; it is tried again: ${why}`)
      this.#replace(seat)
    }
  }

  /**
   * Has every worker prepare another configuration. Rejects with the reason of the first that
   * refuses; then `abandon` is to be called. Those that die meanwhile get it with their successors.
   */
  async prepare(
    handedTo: (worker: number) => Handed,
    sockets: readonly HeldSocket[],
  ): Promise<void> {
    await this.#startsSettled()
    const held = Promise.withResolvers<void>()
    this.#held = held.promise
    this.#release = held.resolve
    const answers = this.#serving.map(async (seat) => {
      for (const { descriptor } of sockets) seat.process?.hand(descriptor)
      const message = { kind: 'prepare', handed: handedTo(seat.worker) } as const
      const answer = await this.#ask(seat, message, this.#options.readyWithinMs())
      if (answer === null) return
      if (answer === 'late' || answer.kind !== 'prepared') throw refusedBy(seat.worker, answer)
    })
    const settled = await Promise.allSettled(answers)
    const refusal = settled.find((one) => one.status === 'rejected')
    if (refusal !== undefined) throw refusal.reason
  }

  #release: () => void = () => undefined

  /** Workers that are being started are waited for: they know of nothing later. */
  async #startsSettled(): Promise<void> {
    while (this.#seats.some(({ process, isServing }) => process !== null && !isServing)) {
      await Bun.sleep(20)
    }
  }

  abandon(generation: number): void {
    for (const { process } of this.#serving) process?.send({ kind: 'abandon', generation })
    this.#endHold()
  }

  /** Resolves when all that serve use what they have prepared; one that does not is replaced. */
  async commit(generation: number): Promise<void> {
    const all = this.#serving.map(async (seat) => {
      const answer = await this.#ask(seat, { kind: 'commit', generation }, COMMIT_WITHIN_MS)
      if (isServing(answer)) seat.generation = answer.generation
      else seat.process?.kill()
    })
    await Promise.all(all)
    this.#endHold()
  }

  #endHold(): void {
    this.#release()
    this.#held = null
  }

  tell(message: ToWorker): void {
    for (const { process } of this.#seats) process?.send(message)
  }

  /** Asks all that serve for what they have counted; one that is late keeps its last report. */
  async refresh(): Promise<void> {
    await Promise.all(this.#serving.map((seat) => settlesIn(REPORT_WITHIN_MS, reportOf(seat))))
  }

  #carryCancel(from: Seat, { id, group, request }: FromWorker & { kind: 'cancel' }): void {
    this.#carry(from, group, request, () => from.process?.send({ kind: 'cancelled', id }))
  }

  /** Carries one that came to another process of the gateway. */
  cancel(group: string, request: Uint8Array, done: (known: boolean) => void): void {
    this.#carry(null, group, request, done)
  }

  /** To the worker whose number the key has, else to all others. */
  #carry(
    from: Seat | null,
    group: string,
    request: Uint8Array,
    done: (known: boolean) => void,
  ): void {
    const named = workerOfKey(request)
    const others = this.#serving.filter(
      (seat) => seat !== from && (named === null || seat.worker === named),
    )
    if (this.#cancels.size >= CANCELS_MAX) return done(false)
    if (others.length === 0) return this.#options.cancelBefore(group, request, done)
    this.cancelsForwarded += 1
    this.#cancelNumber += 1
    const number = this.#cancelNumber
    const ended = (known: boolean): void => {
      if (known) done(true)
      else this.#options.cancelBefore(group, request, done)
    }
    this.#cancels.set(number, { ended, open: others.length })
    for (const { process } of others) process?.send({ kind: 'cancel', id: number, group, request })
    setTimeout(() => this.#cancelEnded(number, true), LEAVE_WITHIN_MS).unref()
  }

  /** The first that knows the key ends it, else the last one. */
  #cancelEnded(number: number, known: boolean): void {
    const cancel = this.#cancels.get(number)
    if (cancel === undefined) return
    cancel.open -= 1
    if (!known && cancel.open > 0) return
    this.#cancels.delete(number)
    cancel.ended(known)
  }

  /**
   * Nobody new is served; resolves when all sessions have ended and all processes with them. In the
   * time of grace nobody is told to go.
   */
  async drain(timeoutMs: number, graceMs = 0): Promise<void> {
    this.#isLeaving = true
    if (this.#reporting !== null) clearInterval(this.#reporting)
    const all = this.#seats.map(async (seat) => {
      const { process } = seat
      if (process === null) return
      if (!seat.isServing) process.kill()
      else {
        const withinMs = graceMs + timeoutMs + LEAVE_WITHIN_MS
        await this.#ask(seat, { kind: 'drain', timeoutMs, graceMs }, withinMs)
      }
      if (!(await settlesIn(LEAVE_WITHIN_MS, seat.gone.promise))) process.kill()
      await seat.gone.promise
    })
    await Promise.all(all)
  }

  /** Ends all sessions now. */
  force(): void {
    this.tell({ kind: 'force' })
  }

  /** Ends all processes now. */
  kill(): void {
    this.#isLeaving = true
    for (const { process } of this.#seats) process?.kill()
  }
}

function isServing(answer: Answer): answer is FromWorker & { readonly kind: 'serving' } {
  return answer !== null && answer !== 'late' && answer.kind === 'serving'
}

function refusedBy(worker: number, answer: Answer): GatewayError {
  const who = `worker ${worker}`
  if (answer === null) return new GatewayError('WORKER', `${who} ended before it was ready`)
  if (answer === 'late') return new GatewayError('WORKER', `${who} was not ready in time`)
  if (answer.kind === 'refused') return new GatewayError('WORKER', `${who}: ${answer.problem}`)
  return new GatewayError('WORKER', `${who} answered "${answer.kind}"`)
}
