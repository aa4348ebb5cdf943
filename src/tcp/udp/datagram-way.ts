/**
 * One direction of a session in datagrams: each is a unit of its own, decided by the chain and sent
 * on, or dropped and counted. What must wait is bounded.
 */
import { Chain, type Cutter, type Sink } from '../../hooks/chain.ts'
import type { ObserverLine } from '../../hooks/observers.ts'
import type { Refusal } from '../../hooks/verdict.ts'
import type { Budget } from '../../protocols/protocol.ts'
import { DATAGRAM_BYTES_MAX } from '../../upstream/datagrams.ts'
import type { DatagramDrop } from '../account.ts'
import type { DirectionHooks } from '../direction-hooks.ts'
import type { Facts } from '../facts.ts'
import type { Surroundings } from '../surroundings.ts'

/** Datagrams of one direction of one session that wait at once. */
const QUEUED_MAX = 64

/** What a way asks of its session. */
export interface WayOwner {
  readonly around: Pick<Surroundings, 'stepFailed' | 'denied' | 'limits'>
  readonly facts: Facts
  readonly line: ObserverLine | null
  send(datagram: Uint8Array, to: 'server' | 'client'): void
  drop(cause: DatagramDrop): void
  close(lastWords: Uint8Array | null): void
  /** Nothing of this way is under way any more. */
  rested(): void
  broke(thrown: unknown): void
}

const WHOLE: Cutter = {
  share: () => 'whole',
  parts: (bytes) => [{ bytes, wanted: true }],
  flaw: sizeFlaw,
  answerFlaw: sizeFlaw,
}

function sizeFlaw({ length }: Uint8Array): string | null {
  if (length <= DATAGRAM_BYTES_MAX) return null
  return `${length} bytes, and a datagram has ${DATAGRAM_BYTES_MAX} at most`
}

export class DatagramWay implements Sink {
  readonly #owner: WayOwner
  readonly #to: 'server' | 'client'
  #hooks: DirectionHooks
  /** Made for the first datagram that a step wants. */
  #chain: Chain | null = null
  #queue: Uint8Array[] = []
  #isStarted = false
  #isWaiting = false
  over = false

  constructor(to: 'server' | 'client', hooks: DirectionHooks, owner: WayOwner) {
    this.#to = to
    this.#hooks = hooks
    this.#owner = owner
  }

  get atRest(): boolean {
    return this.#isStarted && !this.#isWaiting
  }

  /** Works for the steps and observers of another generation; only where it is at rest. */
  rehook(hooks: DirectionHooks): void {
    this.#hooks = hooks
    this.#chain = null
  }

  /** Lets datagrams through; before, they wait. */
  start(): void {
    this.#isStarted = true
    this.#workOff()
  }

  feed(datagram: Uint8Array): void {
    if (this.over) return
    if (this.atRest) this.#decide(datagram)
    else this.#queueUp(datagram)
  }

  #queueUp(datagram: Uint8Array): void {
    const budget = this.#budget
    const isSpent = budget.held + datagram.length > budget.heldMax
    if (isSpent) budget.spent += 1
    if (isSpent || this.#queue.length >= QUEUED_MAX) return this.#owner.drop('queue')
    budget.held += datagram.length
    this.#queue.push(datagram)
  }

  get #budget(): Budget {
    return this.#owner.around.limits.budget
  }

  #decide(datagram: Uint8Array): void {
    const { steps, wanted } = this.#hooks
    if (steps.length === 0) return this.forward(datagram)
    this.#chain ??= new Chain(steps, this.#owner.facts, WHOLE, this, wanted)
    const waiting = this.#chain.run(datagram, false, datagram[0] ?? 0)
    if (waiting === undefined) return
    this.#isWaiting = true
    waiting.then(
      () => {
        this.#isWaiting = false
        this.#workOff()
      },
      (thrown: unknown) => this.#owner.broke(thrown),
    )
  }

  #workOff(): void {
    while (this.atRest && !this.over) {
      const datagram = this.#queue.shift()
      if (datagram === undefined) return this.#owner.rested()
      this.#budget.held -= datagram.length
      this.#decide(datagram)
    }
  }

  /** Ends it; what waits is dropped, and counted. */
  stop(cause: DatagramDrop): void {
    this.over = true
    for (const { length } of this.#queue.splice(0)) {
      this.#budget.held -= length
      this.#owner.drop(cause)
    }
  }

  forward(bytes: Uint8Array): void {
    const { observers, observes, keepsRequest } = this.#hooks
    this.#owner.send(bytes, this.#to)
    const { line, facts } = this.#owner
    if (keepsRequest) facts.lastRequest = bytes.slice()
    if (observers.length === 0) return
    const request = observes === 'onTrafficToClient' ? facts.lastRequest : null
    for (const observer of observers) line?.traffic(observer, observes, bytes, request)
  }

  deny(_unit: Uint8Array, _refusal: Refusal): void {
    this.#owner.around.denied(this.#hooks.decides)
    this.#owner.drop('denied')
  }

  respond(_unit: Uint8Array, bytes: Uint8Array): void {
    this.#owner.send(bytes, 'client')
  }

  route(): string {
    return 'a session in datagrams can be routed at onOpening only'
  }

  close(bytes: Uint8Array | undefined): void {
    this.#owner.close(bytes ?? null)
  }

  failed(plugin: string, cause: string): void {
    this.#owner.around.stepFailed(plugin, this.#hooks.decides, cause)
  }
}
