/**
 * Tells observing steps what happened: in order by session and plugin, never in the way of traffic.
 * What may be dropped is bounded and counted; lifecycle events wait.
 */
import type { ObservingHook } from './hook.ts'
import type { ObservedEvent, ObservingStep, SessionFacts } from './step.ts'

/** Events that are dropped rather than let pile up. */
const DROPPABLE: ReadonlySet<ObservingHook> = new Set([
  'onTrafficToServer',
  'onTrafficToClient',
  'onTick',
])
const NO_PARAMS = {}
/** Bytes of traffic held for one slow plugin, beside the number of events. */
const QUEUED_BYTES_MAX = 67_108_864

export interface ObserverAccount {
  dropped(plugin: string, hook: ObservingHook): void
  failed(plugin: string, hook: ObservingHook): void
}

/** An observing step as a desk keeps it; `tags` as in a chain. */
export interface Observer {
  readonly step: ObservingStep
  readonly tags: Uint8Array | null
}

/** What is held for one plugin that may be dropped, in all sessions together. */
interface Queued {
  events: number
  bytes: number
}

/** The observing steps of one generation, by hook, in order. */
export class ObserverDesk {
  readonly #byHook: ReadonlyMap<ObservingHook, readonly Observer[]>
  readonly #deciders: ReadonlySet<string>
  readonly #queued = new Map<string, Queued>()
  /** The last thing that each line is telling each plugin. */
  readonly #underWay = new Set<Promise<void>>()
  readonly #queuedMax: number
  readonly #account: ObserverAccount

  /** `deciders`: plugins whose first traffic call waits until they were told of the session. */
  constructor(
    byHook: ReadonlyMap<ObservingHook, readonly Observer[]>,
    deciders: ReadonlySet<string>,
    queuedMax: number,
    account: ObserverAccount,
  ) {
    this.#byHook = byHook
    this.#deciders = deciders
    this.#queuedMax = queuedMax
    this.#account = account
  }

  of(hook: ObservingHook): readonly Observer[] {
    return this.#byHook.get(hook) ?? []
  }

  /**
   * A line for one session; null where no step observes sessions. `before`: the line that the
   * session had in an earlier generation, which goes on here in its order.
   */
  line(session: SessionFacts, before: ObserverLine | null = null): ObserverLine | null {
    const hooks: readonly ObservingHook[] = [
      'onOpened',
      'onTraffic',
      'onClosing',
      'onClosed',
      'onTrafficToServer',
      'onTrafficToClient',
    ]
    if (!hooks.some((hook) => this.of(hook).length > 0)) return null
    return new ObserverLine(this, session, before)
  }

  /** Notes that a plugin is being told something. */
  track(told: Promise<void>): void {
    this.#underWay.add(told)
    void told.then(() => this.#underWay.delete(told))
  }

  /** Resolves when everything that was to be told so far has been told. */
  async quiet(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  decides(plugin: string): boolean {
    return this.#deciders.has(plugin)
  }

  /** Tells all observers of a hook that belongs to no session; resolves when all were told. */
  async tell(hook: ObservingHook, params: Readonly<Record<string, unknown>>): Promise<void> {
    const event: ObservedEvent = { session: null, bytes: null, request: null, params }
    await Promise.all(
      this.of(hook).map(async ({ step }) => {
        if (!this.admit(step.plugin, hook, 0)) return
        if (!(await step.tell(event))) this.#account.failed(step.plugin, hook)
        this.leave(step.plugin, hook, 0)
      }),
    )
  }

  /** Takes a place in the queue of a plugin; false, and counted, where there is none. */
  admit(plugin: string, hook: ObservingHook, bytes: number): boolean {
    if (!DROPPABLE.has(hook)) return true
    const queued = this.#queued.get(plugin) ?? { events: 0, bytes: 0 }
    if (queued.events >= this.#queuedMax || queued.bytes + bytes > QUEUED_BYTES_MAX) {
      this.#account.dropped(plugin, hook)
      return false
    }
    queued.events += 1
    queued.bytes += bytes
    this.#queued.set(plugin, queued)
    return true
  }

  leave(plugin: string, hook: ObservingHook, bytes: number): void {
    const queued = this.#queued.get(plugin)
    if (queued === undefined || !DROPPABLE.has(hook)) return
    queued.events -= 1
    queued.bytes -= bytes
  }

  failed(plugin: string, hook: ObservingHook): void {
    this.#account.failed(plugin, hook)
  }
}

/** What one session still has to tell each plugin, in order. */
export class ObserverLine {
  readonly #desk: ObserverDesk
  readonly #session: SessionFacts
  readonly #tails: Map<string, Promise<void>>

  constructor(desk: ObserverDesk, session: SessionFacts, before: ObserverLine | null = null) {
    this.#desk = desk
    this.#session = session
    // One map for both: what the line before still has to tell leaves it here.
    this.#tails = before === null ? new Map<string, Promise<void>>() : before.#tails
  }

  /** Tells a lifecycle hook of this session. */
  tell(hook: ObservingHook, params: Readonly<Record<string, unknown>> = NO_PARAMS): void {
    const event = { session: this.#session, bytes: null, request: null, params }
    for (const { step } of this.#desk.of(hook)) this.#queue(step, hook, event, 0)
  }

  /** Tells of a session that begins; as `settled`, for what is to wait until that was told. */
  introduce(): Promise<unknown> | null {
    this.tell('onOpened')
    this.tell('onTraffic')
    return this.settled()
  }

  /** Tells one observer of bytes that were written; they are copied, unless they are dropped. */
  traffic(
    { step }: Observer,
    hook: 'onTrafficToServer' | 'onTrafficToClient',
    bytes: Uint8Array,
    request: Uint8Array | null,
  ): void {
    const size = bytes.length + (request?.length ?? 0)
    const session = this.#session
    if (step.borrows === true && !this.#tails.has(step.plugin)) {
      return this.#queue(step, hook, { session, bytes, request, params: NO_PARAMS }, size)
    }
    if (this.#tails.has(step.plugin) && !this.#desk.admit(step.plugin, hook, size)) return
    const event = {
      session,
      bytes: bytes.slice(),
      request: request === null ? null : request.slice(),
      params: NO_PARAMS,
    }
    this.#queue(step, hook, event, size)
  }

  /** What a plugin is told from now on comes behind what it is being shown otherwise. */
  after(plugin: string, shown: Promise<unknown>): void {
    const before = this.#tails.get(plugin)
    const tail: Promise<void> = Promise.all([before, shown]).then(() => this.#release(plugin, tail))
    this.#tails.set(plugin, tail)
    this.#desk.track(tail)
  }

  /** Resolves when every plugin that also decides was told what has happened so far. */
  settled(): Promise<unknown> | null {
    const tails = [...this.#tails].filter(([plugin]) => this.#desk.decides(plugin))
    return tails.length === 0 ? null : Promise.all(tails.map(([, tail]) => tail))
  }

  /** `size`: bytes that the event was admitted with. */
  #queue(step: ObservingStep, hook: ObservingHook, event: ObservedEvent, size: number): void {
    const { plugin } = step
    const tail = this.#tails.get(plugin)
    if (tail === undefined) {
      const told = step.tell(event)
      if (told === false) this.#desk.failed(plugin, hook)
      if (!(told instanceof Promise)) return
      // It is already on its way; it takes a place only so that others count it.
      this.#follow(plugin, hook, told)
      return
    }
    const told = tail.then(() => step.tell(event))
    this.#follow(plugin, hook, told, () => this.#desk.leave(plugin, hook, size))
  }

  #follow(plugin: string, hook: ObservingHook, told: Promise<boolean>, leave?: () => void): void {
    const tail = told.then((well) => {
      if (!well) this.#desk.failed(plugin, hook)
      leave?.()
      this.#release(plugin, tail)
    })
    this.#tails.set(plugin, tail)
    this.#desk.track(tail)
  }

  #release(plugin: string, tail: Promise<void>): void {
    if (this.#tails.get(plugin) === tail) this.#tails.delete(plugin)
  }
}
