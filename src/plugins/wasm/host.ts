/** The functions of the module `postern`: what a guest may ask of the gateway during a call. */
import type { SessionFacts } from '../../hooks/step.ts'
import type { Belongings } from './belongings.ts'
import { connectionText } from './connection-text.ts'
import type { Deadline } from './deadline.ts'
import { levelOf, parseObject } from './journal.ts'
import type { GuestMemory } from './memory.ts'
import { reserveStack, SMALL_FRAMES } from './stack.ts'
import { sessionGet, sessionSet } from './store.ts'
import { Trap } from './trap.ts'

/** A host function as Extism binds it: its own context comes first. */
export type HostFunction = (context: unknown, ...args: number[]) => number | undefined
type HostFunctions = Readonly<Record<string, HostFunction>>

/** Over in microseconds at most: looking at the clock would be a good part of them. */
const BRIEF: ReadonlySet<string> = new Set([
  'config',
  'connection',
  'log_enabled',
  'metric',
  'now_ms',
  'session_get',
  'verdict',
])
/** How many brief calls there may be between two looks at the clock; a power of two. */
const BRIEF_CALLS_MAX = 16

/** The same functions, but none returns to a guest whose time is long over. */
export function timed(functions: HostFunctions, deadline: Deadline): HostFunctions {
  const checked: Record<string, HostFunction> = {}
  let briefCalls = 0
  for (const [name, run] of Object.entries(functions)) {
    const isBrief = BRIEF.has(name)
    // Five are the most that any takes; a list of them would be made anew at each call.
    checked[name] = (context, a, b, c, d, e) => {
      const answer = run(context, a!, b!, c!, d!, e!)
      if (!isBrief || (++briefCalls & (BRIEF_CALLS_MAX - 1)) === 0) deadline.check()
      return answer
    }
  }
  return checked
}

const NO_LABELS: readonly string[] = []
/** Texts whose labels are remembered; a guest that has more begins anew. */
const LABEL_TEXTS_MAX = 256

/** The state of one instance's present call, and the memory that its pointers point into. */
export class Host {
  readonly belongings: Belongings
  /** The session of the present call; null outside of one and for hooks without a session. */
  session: SessionFacts | null = null
  #payload: Uint8Array | null = null
  #payloadOfPdk: Uint8Array | null = null
  /** What `verdict` was last told. */
  verdict = 0
  #memory: GuestMemory | null = null
  #signalsLeft = 0
  readonly #labels = new Map<string, readonly string[]>()

  constructor(belongings: Belongings) {
    this.belongings = belongings
  }

  /** Given once the instance exists; code that runs before that has no memory to point into. */
  adopt(memory: GuestMemory): void {
    this.#memory = memory
  }

  get memory(): GuestMemory {
    if (this.#memory !== null) return this.#memory
    throw new Trap('pointer', 'a host function was called before the memory was there')
  }

  begin(session: SessionFacts | null): void {
    this.session = session
    this.#payload = null
    this.#payloadOfPdk = null
    this.verdict = 0
    this.#signalsLeft = this.belongings.limits.signalsMax
    this.belongings.journal.begin()
  }

  /** Ends the call: nothing of it is kept. */
  end(): void {
    this.session = null
    this.#payload = null
    this.#payloadOfPdk = null
  }

  /** What the call gave as payload, bytes of their own; an Extism output only if nothing else. */
  get payload(): Uint8Array | null {
    return this.#payload ?? this.#payloadOfPdk
  }

  outputOfPdk(bytes: Uint8Array): void {
    this.#payloadOfPdk = bytes
  }

  /** Takes a copy of `bytes` as the payload. */
  outputCopy(bytes: Uint8Array, what: string): void {
    const { outputBytesMax } = this.belongings.limits
    if (bytes.length > outputBytesMax) {
      const sentence = `${what} was given ${bytes.length} bytes, at most ${outputBytesMax}`
      throw new Trap('limit', sentence, 'outputBytesMax')
    }
    this.#keep(bytes)
  }

  output(pointer: number, length: number): void {
    const { outputBytesMax } = this.belongings.limits
    this.#keep(this.memory.at(pointer, length, 'output', outputBytesMax, 'outputBytesMax'))
  }

  /** Only the last payload of a call counts, so a further one takes the place of the one before. */
  #keep(bytes: Uint8Array): void {
    const room = this.#payload?.buffer
    if (room === undefined || room.byteLength < bytes.length) {
      this.#payload = bytes.slice()
      return
    }
    this.#payload = new Uint8Array(room, 0, bytes.length)
    this.#payload.set(bytes)
  }

  log(level: number, pointer: number, length: number): void {
    const bytes = this.memory.at(pointer, length, 'log', Number.POSITIVE_INFINITY)
    this.belongings.journal.write(levelOf(level), bytes)
  }

  answer(what: string, value: Uint8Array | undefined, pointer: number, room: number): number {
    if (value === undefined) return this.memory.answerNone(pointer, room, what)
    return this.memory.answer(pointer, room, value, what)
  }

  sessionGet(key: string): Uint8Array | undefined {
    if (this.session === null) return undefined
    return sessionGet(this.session.memory, this.belongings.name, key)
  }

  sessionSet(key: string, value: Uint8Array): number {
    if (this.session === null) return -1
    const { name, limits, hits } = this.belongings
    reserveStack(SMALL_FRAMES)
    const { memory } = this.session
    if (sessionSet(memory, name, key, value.slice(), limits.sessionBytesMax)) return 0
    hits.add('sessionBytesMax')
    return -1
  }

  signal(name: string, json: string): number {
    const metadata = json === '' ? {} : parseObject(json)
    if (name === '' || metadata === null) return -1
    if (this.#signalsLeft === 0) {
      this.belongings.hits.add('signalsMax')
      return -1
    }
    this.#signalsLeft--
    this.belongings.journal.signal(name, metadata)
    return 0
  }

  metric(id: number, value: number, pointer: number, length: number): void {
    const { metrics, labelCounts } = this.belongings
    const text = this.memory.text(pointer, length, 'metric')
    const labelCount = labelCounts[id]
    if (metrics === null) return
    const plain = text === '' && labelCount === 0
    reserveStack(SMALL_FRAMES)
    metrics.record(id, value, plain ? NO_LABELS : this.#labelsOf(text, labelCount ?? 0))
  }

  /** The values of labels in a text, which are mostly those that were told before. */
  #labelsOf(text: string, count: number): readonly string[] {
    const known = this.#labels.get(text)
    if (known !== undefined && known.length === count) return known
    // One more than it may have is enough to be refused; the page counts refusals.
    const labels = text.split('\n', count + 1)
    if (this.#labels.size >= LABEL_TEXTS_MAX) this.#labels.clear()
    if (labels.length === count) this.#labels.set(text, labels)
    return labels
  }
}

function storeImports(host: Host): HostFunctions {
  const { belongings } = host
  const { kvBytesMax } = belongings.limits
  return {
    kv_get: (_context, key, keyLength, pointer, room) => {
      const name = host.memory.text(key!, keyLength!, 'kv_get')
      reserveStack(SMALL_FRAMES)
      return host.answer('kv_get', belongings.store?.get(name), pointer!, room!)
    },
    kv_set: (_context, key, keyLength, pointer, length, ttlMs) => {
      const name = host.memory.text(key!, keyLength!, 'kv_set')
      const value = host.memory.at(pointer!, length!, 'kv_set', kvBytesMax, 'kvBytesMax')
      const { store, hits } = belongings
      if (store === null) return -1
      reserveStack(SMALL_FRAMES)
      if (store.set(name, value.slice(), ttlMs! >>> 0)) return 0
      hits.add('kvBytesMax')
      return -1
    },
    kv_delete: (_context, key, keyLength) => {
      const name = host.memory.text(key!, keyLength!, 'kv_delete')
      reserveStack(SMALL_FRAMES)
      return belongings.store?.delete(name) === true ? 0 : -1
    },
    kv_output: (_context, key, keyLength) => {
      const name = host.memory.text(key!, keyLength!, 'kv_output')
      reserveStack(SMALL_FRAMES)
      const value = belongings.store?.get(name)
      if (value === undefined) return -1
      // Verdicts own their bytes and the store owns its values.
      host.outputCopy(value, 'kv_output')
      return value.length
    },
  }
}

function sessionImports(host: Host): HostFunctions {
  return {
    config: (_context, key, keyLength, pointer, room) => {
      const name = host.memory.text(key!, keyLength!, 'config')
      return host.answer('config', host.belongings.config.get(name), pointer!, room!)
    },
    connection: (_context, pointer, room) => {
      const value = host.session === null ? undefined : connectionText(host.session)
      return host.answer('connection', value, pointer!, room!)
    },
    session_get: (_context, key, keyLength, pointer, room) => {
      const name = host.memory.text(key!, keyLength!, 'session_get')
      return host.answer('session_get', host.sessionGet(name), pointer!, room!)
    },
    session_set: (_context, key, keyLength, pointer, length) => {
      const name = host.memory.text(key!, keyLength!, 'session_set')
      return host.sessionSet(name, host.memory.at(pointer!, length!, 'session_set'))
    },
  }
}

/** Everything the module `postern` exports to the guest of `host`. */
export function posternImports(host: Host): HostFunctions {
  const { belongings } = host
  return {
    ...storeImports(host),
    ...sessionImports(host),
    output: (_context, pointer, length) => {
      host.output(pointer!, length!)
      return undefined
    },
    verdict: (_context, kind) => {
      host.verdict = kind!
      return undefined
    },
    log: (_context, level, pointer, length) => {
      host.log(level!, pointer!, length!)
      return undefined
    },
    log_enabled: (_context, level) => (belongings.journal.isEnabled(levelOf(level!)) ? 1 : 0),
    signal: (_context, name, nameLength, json, jsonLength) =>
      host.signal(
        host.memory.text(name!, nameLength!, 'signal'),
        host.memory.text(json!, jsonLength!, 'signal'),
      ),
    metric: (_context, id, value, pointer, length) => {
      host.metric(id!, value!, pointer!, length!)
      return undefined
    },
    now_ms: () => belongings.clock.wall(),
    random: (_context, pointer, length) => {
      crypto.getRandomValues(host.memory.at(pointer!, length!, 'random'))
      return undefined
    },
  }
}
