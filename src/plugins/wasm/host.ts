/** The functions of the module `postern`: what a guest may ask of the gateway during a call. */
import type { SessionFacts } from '../../hooks/step.ts'
import type { PluginMetrics } from '../../metrics/meter.ts'
import { type Journal, levelOf, parseObject } from './journal.ts'
import {
  CALL_BYTES_MAX,
  OUTPUT_BYTES_MAX,
  SIGNALS_PER_CALL_MAX,
  STORE_BYTES_MAX,
} from './limits.ts'
import { encodeText, type GuestMemory } from './memory.ts'
import { type PluginStore, sessionGet, sessionSet } from './store.ts'

/** What stays of a plugin while its instances come and go. */
export interface Belongings {
  /** The plugin's name; "" until its manifest was read. */
  name: string
  readonly journal: Journal
  /** Null until the plugin's name is known. */
  store: PluginStore | null
  /** The variables of an Extism PDK. */
  readonly variables: PluginStore
  /** Null until the metrics of the manifest were declared. */
  metrics: PluginMetrics | null
  /** How many label values each metric of the manifest takes. */
  labelCounts: readonly number[]
  /** The entry's configuration by key, as the guest gets it; all of it under the key "". */
  config: ReadonlyMap<string, Uint8Array>
}

/** A host function as Extism binds it: its own context comes first. */
export type HostFunction = (context: unknown, ...args: number[]) => number | undefined

const NO_LABELS: readonly string[] = []

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

  constructor(belongings: Belongings) {
    this.belongings = belongings
  }

  /** Given once the instance exists; code that runs before that has no memory to point into. */
  adopt(memory: GuestMemory): void {
    this.#memory = memory
  }

  get memory(): GuestMemory {
    if (this.#memory === null) throw new Error('a host function was called before the start ended')
    return this.#memory
  }

  begin(session: SessionFacts | null): void {
    this.session = session
    this.#payload = null
    this.#payloadOfPdk = null
    this.verdict = 0
    this.#signalsLeft = SIGNALS_PER_CALL_MAX
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

  outputCopy(bytes: Uint8Array): void {
    this.#payload = bytes.slice()
  }

  output(pointer: number, length: number): void {
    this.#payload = this.memory.at(pointer, length, 'output', OUTPUT_BYTES_MAX).slice()
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
    const { memory } = this.session
    return sessionSet(memory, this.belongings.name, key, value.slice()) ? 0 : -1
  }

  signal(name: string, json: string): number {
    const metadata = json === '' ? {} : parseObject(json)
    if (name === '' || metadata === null || this.#signalsLeft === 0) return -1
    this.#signalsLeft--
    this.belongings.journal.signal(name, metadata)
    return 0
  }

  metric(id: number, value: number, pointer: number, length: number): void {
    const { metrics, labelCounts } = this.belongings
    const text = this.memory.text(pointer, length, 'metric')
    if (metrics === null) return
    const plain = text === '' && labelCounts[id] === 0
    // False means a budget of series is spent or the value is none; the meter counts that.
    metrics.record(id, value, plain ? NO_LABELS : text.split('\n'))
  }
}

/** The session as `connection` gives it. */
function connectionJson(session: SessionFacts): Uint8Array {
  const { id, client, server, group, block, protocol, tls, user, database } = session
  const applicationName = session.applicationName
  return encodeText(
    JSON.stringify({
      id,
      client: { local: client.local, remote: client.remote },
      server: { local: server.local, remote: server.remote },
      group,
      block,
      protocol,
      tls: tls === null ? null : { version: tls.version, cipher: tls.cipher, subject: tls.subject },
      user,
      database,
      applicationName,
    }),
  )
}

function storeImports(host: Host): Readonly<Record<string, HostFunction>> {
  const { belongings } = host
  return {
    kv_get: (_context, key, keyLength, pointer, room) => {
      const name = host.memory.text(key!, keyLength!, 'kv_get')
      return host.answer('kv_get', belongings.store?.get(name), pointer!, room!)
    },
    kv_set: (_context, key, keyLength, pointer, length, ttlMs) => {
      const name = host.memory.text(key!, keyLength!, 'kv_set')
      const value = host.memory.at(pointer!, length!, 'kv_set', STORE_BYTES_MAX)
      return belongings.store?.set(name, value.slice(), ttlMs! >>> 0) === true ? 0 : -1
    },
    kv_delete: (_context, key, keyLength) => {
      const name = host.memory.text(key!, keyLength!, 'kv_delete')
      return belongings.store?.delete(name) === true ? 0 : -1
    },
    kv_output: (_context, key, keyLength) => {
      const value = belongings.store?.get(host.memory.text(key!, keyLength!, 'kv_output'))
      if (value === undefined) return -1
      // Verdicts own their bytes and the store owns its values.
      host.outputCopy(value)
      return value.length
    },
  }
}

function sessionImports(host: Host): Readonly<Record<string, HostFunction>> {
  return {
    config: (_context, key, keyLength, pointer, room) => {
      const name = host.memory.text(key!, keyLength!, 'config')
      return host.answer('config', host.belongings.config.get(name), pointer!, room!)
    },
    connection: (_context, pointer, room) => {
      const value = host.session === null ? undefined : connectionJson(host.session)
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
export function posternImports(host: Host): Readonly<Record<string, HostFunction>> {
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
    signal: (_context, name, nameLength, json, jsonLength) =>
      host.signal(
        host.memory.text(name!, nameLength!, 'signal'),
        host.memory.text(json!, jsonLength!, 'signal'),
      ),
    metric: (_context, id, value, pointer, length) => {
      host.metric(id!, value!, pointer!, length!)
      return undefined
    },
    now_ms: () => Date.now(),
    random: (_context, pointer, length) => {
      crypto.getRandomValues(host.memory.at(pointer!, length!, 'random', CALL_BYTES_MAX))
      return undefined
    },
  }
}
