/**
 * A process that serves clients for a gateway which holds the listening sockets, the configuration
 * and the processes of plugins, and hands them over. It ends with that gateway.
 */
import type { Logger } from 'pino'
import { GatewayError, sentenceOf } from './base/errors.ts'
import { createLog, setLevel } from './base/log.ts'
import { settlesIn } from './base/settles.ts'
import type { LoadedConfig } from './config/load.ts'
import { shareOf } from './config/workers.ts'
import type { Generation } from './generation.ts'
import { Generations } from './generations.ts'
import { Lasting } from './lasting.ts'
import { familiesOf } from './metrics/family.ts'
import { createMeter, type Meter } from './metrics/meter.ts'
import { declareReadings, statusOf } from './readings.ts'
import { receiveDescriptor } from './tcp/descriptor-channel.ts'
import { markKeys } from './tcp/key-marks.ts'
import { InheritedSockets } from './tcp/sharing.ts'
import { Turns, TurnsPage, turnsBytes } from './tcp/turns.ts'
import { Attachments } from './workers/attachments.ts'
import { CarriedCancels } from './workers/cancels.ts'
import type { FromWorker, Handed, ToWorker, WorkerReport } from './workers/messages.ts'
import { DESCRIPTOR_CHANNEL } from './workers/process.ts'

/** How long a drained worker waits until plugins were told of the end of sessions. */
const TOLD_WITHIN_MS = 5000

type Start = ToWorker & { readonly kind: 'start' }

export class Worker {
  readonly log: Logger
  readonly #send: (message: FromWorker) => void
  readonly #meter: Meter
  readonly #lasting: Lasting
  readonly #generations: Generations
  readonly #sockets: InheritedSockets
  readonly #turns: Turns
  readonly #attachments: Attachments
  readonly #cancels: CarriedCancels
  readonly #startedAt = performance.now()
  #numbers: ReadonlyMap<string, number> = new Map()
  #next: Generation | null = null
  /** What was counted when it was reported last. */
  #told = -1
  #isDrained = false
  /** One after the other: each builds upon what the one before has left. */
  #doing: Promise<void> = Promise.resolve()

  constructor(
    { worker, workers, page, logger, dev, isHeld }: Start,
    send: (message: FromWorker) => void,
  ) {
    this.#send = send
    markKeys(worker)
    this.log = createLog({ ...logger, group: 'default', output: ['stderr'], worker })
    const memory = Bun.mmap(page, { shared: true })
    if (memory.length < turnsBytes(workers))
      throw new GatewayError('WORKER', `${page} is too short`)
    this.#turns = new Turns({
      page: new TurnsPage(memory, workers),
      worker,
      isHeld,
      call: (other) => send({ kind: 'turn', worker: other }),
    })
    this.#cancels = new CarriedCancels((message) => send(message))
    this.#sockets = new InheritedSockets({
      turns: this.#turns,
      numbers: () => this.#numbers,
      share: (limit) => shareOf(limit, worker, workers),
      cancel: (group, request, done) => this.#cancels.carry(group, request, done),
    })
    this.#attachments = new Attachments((plugin) => send({ kind: 'doubt', plugin }))
    this.#meter = createMeter({ log: this.log })
    this.#lasting = new Lasting(this.log, this.#sockets)
    const surroundings = {
      log: this.log,
      meter: this.#meter,
      dev,
      runFolder: () => {
        throw new GatewayError('WORKER', 'a worker runs no processes of plugins')
      },
      attachments: (id: number) => this.#attachments.source(id),
    }
    this.#generations = new Generations(surroundings, this.#lasting)
    declareReadings(this.#meter, this.#sources)
  }

  get #sources() {
    const reloads = { done: 0, refused: 0, lastError: '' }
    return { generations: this.#generations, lasting: this.#lasting, reloads }
  }

  /** Serves by what was handed over. */
  start(handed: Handed): void {
    this.#do(handed.generation, async () => {
      const loaded = this.#take(handed)
      const generation = await this.#generations.first(loaded, { everyPlugin: true })
      for (const { listener, blocks } of generation.services) {
        listener.start()
        blocks.watch()
      }
      this.#sockets.settled()
      this.#send({ kind: 'serving', generation: generation.number })
    })
  }

  heard(message: ToWorker): void {
    switch (message.kind) {
      case 'start':
        return
      case 'prepare':
        return this.#prepare(message.handed)
      case 'commit':
        return this.#do(message.generation, async () => this.#commit(message.generation))
      case 'abandon':
        return this.#do(message.generation, () => this.#abandon(message.generation))
      case 'plugin':
        return this.#attachments.told(message.id, message.reach)
      case 'cancel':
        return this.#cancel(message)
      case 'cancelled':
        return this.#cancels.ended(message.id)
      case 'turn':
        return this.#turns.resume()
      case 'admit':
        return this.#turns.admit()
      case 'report':
        return this.#report(message.news)
      case 'drain':
        return void this.#drain(message)
      case 'force':
        for (const listener of this.#generations.listeners) listener.force()
    }
  }

  /** Does one thing after what is being done; what fails is said, and changes nothing. */
  #do(generation: number, work: () => Promise<void>): void {
    this.#doing = this.#doing.then(work).catch((thrown: unknown) => {
      this.#sockets.settled()
      const problem = sentenceOf(thrown)
      if (!(thrown instanceof GatewayError)) this.log.error({ err: thrown }, 'a worker has failed')
      this.#send({ kind: 'refused', generation, problem })
    })
  }

  /** Takes what comes with it, and gives it as what a configuration is built from. */
  #take(handed: Handed): LoadedConfig {
    this.#receive(handed.sockets)
    this.#numbers = new Map(handed.numbers)
    for (const [id, reach] of handed.attachments) this.#attachments.told(id, reach)
    const { generation, config, plugins, addresses } = handed
    return {
      config,
      plugins,
      sources: [],
      variables: [],
      notices: [],
      handed: { generation, addresses, plugins: new Map(handed.started) },
    }
  }

  /** Every one that was sent, also where one fails: or the next ones would be taken for others. */
  #receive(groups: readonly string[]): void {
    const failures: unknown[] = []
    for (const group of groups) {
      try {
        this.#sockets.handed(group, receiveDescriptor(DESCRIPTOR_CHANNEL))
      } catch (thrown) {
        failures.push(thrown)
      }
    }
    if (failures.length > 0) throw failures[0]
  }

  #prepare(handed: Handed): void {
    this.#do(handed.generation, async () => {
      const loaded = this.#take(handed)
      this.#next = await this.#generations.prepare(loaded, { everyPlugin: true })
      this.#sockets.settled()
      this.#send({ kind: 'prepared', generation: handed.generation })
    })
  }

  #commit(generation: number): void {
    const next = this.#next
    if (next === null || next.number !== generation) {
      throw new GatewayError('WORKER', `generation ${generation} was not prepared`)
    }
    this.#next = null
    this.#generations.takeOver(next)
    setLevel(this.log, next.config.loggers.default.level)
    this.#send({ kind: 'serving', generation })
  }

  async #abandon(generation: number): Promise<void> {
    const next = this.#next
    if (next === null || next.number !== generation) return
    this.#next = null
    await this.#generations.drop(next)
  }

  #cancel({ id, group, request }: ToWorker & { readonly kind: 'cancel' }): void {
    const listener = this.#generations.listeners.find((one) => one.group === group)
    const done = (known: boolean): void => this.#send({ kind: 'cancelled', id, known })
    if (listener?.cancel(request, () => done(true)) !== true) done(false)
  }

  #report(onlyNews: boolean): void {
    if (onlyNews && this.#counted() === this.#told) return this.#send({ kind: 'same' })
    this.#told = this.#counted()
    this.#reportNow().then(
      (report) => this.#send({ kind: 'report', report }),
      (thrown: unknown) => this.log.error({ err: thrown }, 'a worker could not report'),
    )
  }

  /** Grows with whatever sessions do. */
  #counted(): number {
    let sum = 0
    for (const { account } of this.#lasting.books) {
      sum += account.sessionsTotal + account.sessionsOpen
      sum += account.bytesFromClient + account.bytesFromServer
    }
    return sum
  }

  async #reportNow(): Promise<WorkerReport> {
    const status = statusOf(this.#sources, {
      state: 'ready',
      uptimeSeconds: (performance.now() - this.#startedAt) / 1000,
      metricsAddress: '',
    })
    const plugins = this.#generations.current?.registry.statuses() ?? []
    const families = await familiesOf(this.#meter.registry)
    return { status, plugins: [...plugins], families: families.map(asSent) }
  }

  async #drain({ timeoutMs, graceMs }: ToWorker & { readonly kind: 'drain' }): Promise<void> {
    try {
      const { listeners, current } = this.#generations
      if (graceMs > 0) await Promise.all(listeners.map((listener) => listener.leave(graceMs)))
      await Promise.all(listeners.map((listener) => listener.drain(timeoutMs)))
      if (this.#isDrained) return
      this.#isDrained = true
      if (current !== null) await settlesIn(TOLD_WITHIN_MS, current.desk.quiet())
      const probes = this.#lasting.upstreams.held.map((upstream) => upstream.stop())
      await settlesIn(TOLD_WITHIN_MS, Promise.all(probes))
      this.#send({ kind: 'drained', report: await this.#reportNow() })
      await settlesIn(TOLD_WITHIN_MS, this.#generations.stop())
      await settlesIn(TOLD_WITHIN_MS, this.#lasting.shared.stop())
    } catch (thrown) {
      this.log.error({ err: thrown }, 'a worker did not end in order')
    }
    this.log.flush(() => process.disconnect?.())
  }
}

/** Lists that may be read only, as ones that are sent. */
function asSent({ lines, ...family }: Awaited<ReturnType<typeof familiesOf>>[number]) {
  return { ...family, lines: [...lines] }
}
