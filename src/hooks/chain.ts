/**
 * Runs the steps of a traffic hook over one unit, in order. As long as no step returns a promise,
 * nothing here does: the generator below waits only where a step must be waited for.
 */
import type { Carried, OnFailure, SessionFacts, Unit } from './step.ts'
import { CONTINUE, type Refusal, type TrafficVerdict } from './verdict.ts'

/** A step as a chain runs it; both directions' steps have this shape. */
export interface ChainStep {
  readonly plugin: string
  readonly onFailure: OnFailure
  readonly unit: Unit
  /** 1 for each message tag that the step wants; null: all. */
  readonly tags: Uint8Array | null
  readonly step: {
    decide(
      session: SessionFacts,
      bytes: Uint8Array,
      carried: Carried,
    ): TrafficVerdict | Promise<TrafficVerdict>
  }
}

/** How units are cut and checked; a protocol's flow is one. */
export interface Cutter {
  /** What `parts` would come to: nothing that is wanted, all in one piece, or parts. */
  share(bytes: Uint8Array, cut: Unit, tags: Uint8Array | null): 'none' | 'whole' | 'parts'
  parts(
    bytes: Uint8Array,
    cut: Unit,
    tags: Uint8Array | null,
  ): readonly { readonly bytes: Uint8Array; readonly wanted: boolean }[]
  flaw(bytes: Uint8Array): string | null
  answerFlaw?(bytes: Uint8Array): string | null
}

/** Where the outcome of a chain goes, in order. */
export interface Sink {
  forward(bytes: Uint8Array): void
  /** Resolves when these messages can be forwarded; null, or left out: at once. */
  ready?(bytes: Uint8Array): Promise<typeof CONTINUE> | null
  deny(unit: Uint8Array, refusal: Refusal): void
  respond(unit: Uint8Array, bytes: Uint8Array): void
  /** A reason why the session cannot go to that block now, or null when it does. */
  route(unit: Uint8Array, block: string): string | null
  close(bytes: Uint8Array | undefined): void
  /** A step failed: to be logged and counted. */
  failed(plugin: string, cause: string): void
  /** True once the session is over: what is left is dropped. */
  readonly over: boolean
}

type Final = Extract<TrafficVerdict, { kind: 'respond' | 'deny' | 'route' | 'close' }>
type Item =
  | { readonly bytes: Uint8Array; readonly final: null }
  | { readonly bytes: Uint8Array; readonly final: Final }

type Walk = Generator<Promise<TrafficVerdict>, void, TrafficVerdict>

const SYSTEM_ERROR = '58000'
const PROGRAM_LIMIT_EXCEEDED = '54000'

/** The refusal that a failed step with `onFailure: closed` stands for. */
export function failureRefusal(plugin: string): Refusal {
  return {
    code: SYSTEM_ERROR,
    message: `plugin "${plugin}" failed, and it is set to refuse what it cannot judge`,
    hint: 'Tell the operator of the gateway; its log says why.',
  }
}

function tooLarge(plugin: string): Refusal {
  return {
    code: PROGRAM_LIMIT_EXCEEDED,
    message: `too large for plugin "${plugin}", which is set to refuse what it cannot judge`,
    hint: 'The operator can raise messageBytesMax.',
  }
}

/** How a stream is cut into units: how wide, and which messages they are made of; null: none. */
export interface WantedUnits {
  readonly cut: Unit
  readonly tags: Uint8Array | null
}

/** True where a step with `own` tags wants every message that has one of `tags`. */
function covers(own: Uint8Array | null, tags: Uint8Array | null): boolean {
  return own === null || (tags?.every((wanted, tag) => wanted === 0 || own[tag] === 1) ?? false)
}

/** One direction of one session: its steps, its cutter and its sink. */
export class Chain {
  readonly #steps: readonly ChainStep[]
  readonly #session: SessionFacts
  readonly #cutter: Cutter
  readonly #sink: Sink
  /** True where every step gets one message at a time: the common case, without a generator. */
  readonly #simple: boolean
  /** Steps, from the first on, that want units as the stream is cut: none needs parts. */
  readonly #whole: number
  /** One direction decides about one unit at a time, so that one object serves them all. */
  readonly #carried: Carried = { fields: null, about: null }
  /** Large replies are reported once, not once a part. */
  #overTold = false

  /** `wanted`: the widest of what the steps and observers ask for, by which the stream is cut. */
  constructor(
    steps: readonly ChainStep[],
    session: SessionFacts,
    cutter: Cutter,
    sink: Sink,
    { cut, tags }: WantedUnits,
  ) {
    this.#steps = steps
    this.#session = session
    this.#cutter = cutter
    this.#sink = sink
    // An observer may ask for more at once: then the steps' messages must be cut out of it.
    this.#simple = steps.length === 0 || cut === 'message'
    const other = steps.findIndex((step) => step.unit !== cut || !covers(step.tags, tags))
    this.#whole = this.#simple || other < 0 ? steps.length : other
  }

  /** Decides about a unit; a promise only where a step returned one. `over`: part of a unit. */
  run(unit: Uint8Array, over: boolean, tag: number): void | Promise<void> {
    if (!over) this.#overTold = false
    const carried = this.#carried
    carried.fields = null
    carried.about = null
    const steps = this.#steps
    if (over && !this.#simple) return drive(this.#walk([item(unit)], 0, null, carried, over))
    for (let index = 0; index < steps.length; index++) {
      const step = steps[index]!
      if (index < this.#whole) {
        if (step.tags !== null && step.tags[tag] !== 1) continue
      } else {
        const share = this.#cutter.share(unit, step.unit, step.tags)
        if (share === 'none') continue
        if (share === 'parts') return drive(this.#walk([item(unit)], index, null, carried, over))
      }
      const verdict = step.step.decide(this.#session, unit, carried)
      if (verdict === CONTINUE) continue
      if (!(verdict instanceof Promise)) {
        if (verdict.kind === 'continue') continue
        // No later step is asked about what is answered.
        if (verdict.kind === 'respond' && this.#isSound(verdict.bytes)) {
          return this.#sink.respond(unit, verdict.bytes)
        }
      }
      return drive(this.#walk([item(unit)], index, verdict, carried, over))
    }
    return this.#forward(unit)
  }

  #forward(unit: Uint8Array): void | Promise<void> {
    const waiting = this.#sink.ready?.(unit) ?? null
    if (waiting === null) return this.#sink.forward(unit)
    return waiting.then(() => {
      if (!this.#sink.over) this.#sink.forward(unit)
    })
  }

  #isSound(answer: Uint8Array): boolean {
    return (this.#cutter.answerFlaw?.(answer) ?? null) === null
  }

  /** A message with this tag is too large to be held. True: it streams past; false: refused. */
  oversize(header: Uint8Array): boolean {
    const tag = header[0]!
    for (const step of this.#steps) {
      if (step.tags !== null && step.tags[tag] !== 1) continue
      this.#sink.failed(step.plugin, 'a message is larger than messageBytesMax')
      if (step.onFailure === 'open') continue
      this.#sink.deny(header, tooLarge(step.plugin))
      return false
    }
    return true
  }

  /** Step by step over all items, from `first` on; `pending` is that step's verdict if known. */
  *#walk(
    items: Item[],
    first: number,
    pending: TrafficVerdict | Promise<TrafficVerdict> | null,
    carried: Carried,
    over: boolean,
  ): Walk {
    for (let index = first; index < this.#steps.length; index++) {
      const step = this.#steps[index]!
      const next: Item[] = []
      for (const run of items) {
        if (run.final !== null) next.push(run)
        else if (over && step.unit !== 'message') this.#tooLarge(step, run.bytes, next)
        else {
          for (const part of this.#partsFor(step, run.bytes, pending !== null)) {
            if (!part.wanted) {
              next.push(item(part.bytes))
              continue
            }
            const verdict = pending ?? step.step.decide(this.#session, part.bytes, carried)
            pending = null
            const known = verdict instanceof Promise ? yield verdict : verdict
            // A session that ended meanwhile goes nowhere any more; a failure still counts.
            if (this.#sink.over && known.kind !== 'failure') return
            this.#take(step, part.bytes, known, next)
          }
        }
        if (this.#sink.over) return
      }
      items = gathered(next)
    }
    for (const { bytes, final } of items) {
      if (final !== null && final.kind !== 'route') continue
      const waiting = this.#sink.ready?.(bytes) ?? null
      if (waiting !== null) yield waiting
    }
    this.#deliver(items)
  }

  #partsFor(step: ChainStep, bytes: Uint8Array, decided: boolean) {
    if (decided) return [{ bytes, wanted: true }]
    return this.#cutter.parts(bytes, step.unit, step.tags)
  }

  #tooLarge(step: ChainStep, bytes: Uint8Array, next: Item[]): void {
    if (!this.#overTold) {
      this.#overTold = true
      this.#sink.failed(step.plugin, 'a reply is larger than messageBytesMax')
    }
    if (step.onFailure === 'open') next.push(item(bytes))
    else next.push({ bytes, final: { kind: 'deny', ...tooLarge(step.plugin) } })
  }

  /** Turns one verdict into the items that the next step gets. */
  #take(step: ChainStep, bytes: Uint8Array, verdict: TrafficVerdict, next: Item[]): void {
    switch (verdict.kind) {
      case 'continue':
        next.push(item(bytes))
        return
      case 'replace': {
        const flaw = this.#cutter.flaw(verdict.bytes)
        if (flaw !== null) return this.#fail(step, bytes, `unusable replacement: ${flaw}`, next)
        if (verdict.bytes.length > 0) next.push(item(verdict.bytes))
        return
      }
      case 'respond': {
        const flaw = this.#cutter.answerFlaw?.(verdict.bytes) ?? null
        if (flaw !== null) return this.#fail(step, bytes, `unusable answer: ${flaw}`, next)
        next.push({ bytes, final: verdict })
        return
      }
      case 'deny':
      case 'close':
        next.push({ bytes, final: verdict })
        return
      case 'route': {
        const refused = this.#sink.route(bytes, verdict.block)
        if (refused !== null) return this.#fail(step, bytes, refused, next)
        next.push({ bytes, final: verdict })
        return
      }
      case 'failure':
        this.#fail(step, bytes, verdict.cause, next)
    }
  }

  #fail(step: ChainStep, bytes: Uint8Array, cause: string, next: Item[]): void {
    this.#sink.failed(step.plugin, cause)
    if (step.onFailure === 'open') next.push(item(bytes))
    else next.push({ bytes, final: { kind: 'deny', ...failureRefusal(step.plugin) } })
  }

  #deliver(items: readonly Item[]): void {
    for (const { bytes, final } of items) {
      if (this.#sink.over) return
      if (final === null) this.#sink.forward(bytes)
      else if (final.kind === 'deny') this.#sink.deny(bytes, final)
      else if (final.kind === 'respond') this.#sink.respond(bytes, final.bytes)
      else if (final.kind === 'close') this.#sink.close(final.bytes)
      else this.#sink.forward(bytes)
    }
  }
}

function item(bytes: Uint8Array): Item {
  return { bytes, final: null }
}

/** Neighbouring runs of bytes become one again, so that the next step can cut them its own way. */
function gathered(items: readonly Item[]): Item[] {
  const out: Item[] = []
  for (const next of items) {
    const last = out[out.length - 1]
    if (last === undefined || last.final !== null || next.final !== null) out.push(next)
    else out[out.length - 1] = item(adjoined(last.bytes, next.bytes))
  }
  return out
}

/** Two runs as one: without copying where they lie beside each other. */
function adjoined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const length = first.length + second.length
  if (first.buffer === second.buffer && first.byteOffset + first.length === second.byteOffset) {
    return new Uint8Array(first.buffer, first.byteOffset, length)
  }
  const both = new Uint8Array(length)
  both.set(first)
  both.set(second, first.length)
  return both
}

/** Runs a walk; it stays synchronous until the first promise. */
function drive(walk: Walk): void | Promise<void> {
  const first = walk.next()
  return first.done ? undefined : waitFor(walk, first.value)
}

async function waitFor(walk: Walk, promise: Promise<TrafficVerdict>): Promise<void> {
  let waiting = promise
  for (;;) {
    const next = walk.next(await waiting)
    if (next.done) return
    waiting = next.value
  }
}
