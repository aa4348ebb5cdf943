/**
 * One plugin's key-value data as several gateways share them: the plugin reads and writes its store
 * here, and what changes on either side is brought to the other. Whoever is written last in the
 * shared store holds; the versions that it gives out say which that is. Pure: no sockets, no time.
 */
import { STORE_KEYS_MAX } from '../wasm/limits.ts'
import type { Kept, PluginStore } from '../wasm/store.ts'

/** What the shared store says of one key; `value` is null where it was deleted. */
export interface Change {
  readonly version: number
  readonly key: string
  /** 0: for ever. */
  readonly ttlMs: number
  readonly value: Uint8Array | null
}

/** What is to be told to the shared store of one key; null: that it is deleted. */
export interface Unsent {
  readonly key: string
  readonly kept: Kept | null
}

/** What the copies of all plugins count together. */
export interface CopyCounts {
  /** Changes that the shared store has taken. */
  sent: number
  /** Changes of others that were taken over here. */
  received: number
  /** Changes of plugins that stay here because too many wait to be sent. */
  unqueued: number
  /** Changes of others for which the plugin has no room. */
  refused: number
}

/** What is being read. */
interface Reading {
  /** The version at its beginning. */
  readonly from: number
  readonly keys: Set<string>
  /** Nothing was shared before. */
  readonly isFirst: boolean
}

/** Versions that came before one that is missing; more of them mean that it is lost. */
const AHEAD_MAX = 1000

export class SharedCopy {
  readonly plugin: string
  readonly store: PluginStore
  readonly #queuedMax: number
  readonly #counts: CopyCounts
  /** Told when there is something to send. */
  readonly #wake: () => void
  /** Keys whose present state the shared store is to be told, in order. */
  readonly #queue = new Set<string>()
  /** Keys that it is being told; with the last that others said of them meanwhile. */
  readonly #flying = new Map<string, Change | null>()
  /** Keys that were deleted of late, so that what was said before does not bring them back. */
  readonly #graves = new Map<string, number>()
  /** All versions up to this one are known here. */
  #seen = 0
  readonly #ahead = new Set<number>()
  /** Something may be missing here that no message will bring any more. */
  #lacks = true
  /** Where its versions began; elsewhere after it has lost its data. 0: it was never read. */
  #epoch = 0
  #reading: Reading | null = null
  /** The version that the shared store had at the last comparison. */
  #compared = 0

  constructor(
    plugin: string,
    store: PluginStore,
    options: { queuedMax: number; counts: CopyCounts; wake: () => void },
  ) {
    this.plugin = plugin
    this.store = store
    this.#queuedMax = options.queuedMax
    this.#counts = options.counts
    this.#wake = options.wake
    store.changed = (key) => this.#changed(key)
  }

  /** The plugin's data are its own again. */
  leave(): void {
    this.store.changed = null
  }

  /** Keys that wait to be sent, or are on their way. */
  get queued(): number {
    return this.#queue.size + this.#flying.size
  }

  #changed(key: string): void {
    if (this.#queue.has(key)) return
    if (this.#queue.size >= this.#queuedMax) {
      // Until the next reading it holds here; then what the others have holds here too.
      this.#counts.unqueued += 1
      this.#lacks = true
      return
    }
    this.#queue.add(key)
    this.#wake()
  }

  /** The next key that can be sent, which is under way from now on; null where there is none. */
  next(): Unsent | null {
    for (const key of this.#queue) {
      // One at a time for each key: so they arrive in order, and what changes often is sent seldom.
      if (this.#flying.has(key)) continue
      this.#queue.delete(key)
      this.#flying.set(key, null)
      return { key, kept: this.store.look(key) ?? null }
    }
    return null
  }

  /** The shared store has taken what `next` gave, and called it so. */
  sent({ key, kept }: Unsent, version: number): void {
    const meanwhile = this.#flying.get(key) ?? null
    this.#flying.delete(key)
    this.#counts.sent += 1
    this.#note(version)
    if (!this.#queue.has(key)) {
      // The value may have had its time, or was replaced while the queue was full.
      if (kept !== null && this.store.get(key) === kept.value) this.store.stamp(key, version)
      if (kept === null) this.#bury(key, version)
    }
    if (meanwhile !== null && meanwhile.version > version) this.learn(meanwhile)
    this.#wake()
  }

  /** It has not taken it: it comes again, in its turn. */
  unsent({ key }: Unsent): void {
    const meanwhile = this.#flying.get(key) ?? null
    this.#flying.delete(key)
    this.#queue.add(key)
    // What others said may be newer than what has perhaps arrived: it is read again.
    if (meanwhile !== null) this.#lacks = true
  }

  /** A message of the shared store; `isOwn`: what it tells was written by this process. */
  hear(change: Change, isOwn: boolean): void {
    this.#note(change.version)
    if (!isOwn) this.learn(change)
  }

  /** What others have written, wherever that is read. */
  learn(change: Change): void {
    const { key, version, value, ttlMs } = change
    // What the plugin has written since will be the last.
    if (this.#queue.has(key)) return
    const flying = this.#flying.get(key)
    if (flying !== undefined) {
      if (flying === null || flying.version < version) this.#flying.set(key, change)
      return
    }
    if (version <= (this.#graves.get(key) ?? 0)) return
    const known = this.store.look(key)
    if (known !== undefined && version <= known.version) return
    this.#counts.received += 1
    if (value === null) {
      this.store.drop(key)
      this.#bury(key, version)
    } else if (!this.store.take(key, value, ttlMs, version)) {
      this.#counts.refused += 1
      // An old value would pass for the present one.
      this.store.drop(key)
    }
  }

  #bury(key: string, version: number): void {
    if (this.#graves.size >= this.#queuedMax) this.#lacks = true
    else this.#graves.set(key, version)
  }

  #note(version: number): void {
    if (version <= this.#seen) return
    this.#ahead.add(version)
    this.#advance()
  }

  #advance(): void {
    while (this.#ahead.delete(this.#seen + 1)) this.#seen += 1
    if (this.#ahead.size <= AHEAD_MAX) return
    this.#ahead.clear()
    this.#lacks = true
  }

  /**
   * Compares with the version that the shared store has now. True: what is here may be behind by
   * more than what is on its way, so all must be read.
   */
  compare(version: number, epoch: number): boolean {
    if (epoch !== this.#epoch || version < this.#seen) this.#lacks = true
    // What had come about by the last comparison has had the time to arrive since.
    if (this.#seen < this.#compared) this.#lacks = true
    this.#compared = version
    if (!this.#lacks && this.#reading === null) this.#forgetGraves()
    return this.#lacks
  }

  #forgetGraves(): void {
    for (const [key, version] of this.#graves) if (version <= this.#seen) this.#graves.delete(key)
  }

  /** Begins to read all; what `learn` is told until `endReading` is all that the others have. */
  beginReading(version: number, epoch: number): void {
    // A store that has lost its data gets what is here: its other clients have the same.
    if (this.#epoch !== 0 && epoch !== this.#epoch) {
      for (const [key] of this.store.entries()) this.#queue.add(key)
    }
    this.#reading = { from: version, keys: new Set(), isFirst: this.#epoch === 0 }
    this.#epoch = epoch
    this.#lacks = false
  }

  /** A key that was read; false where there are more than a plugin may have. */
  read(change: Change): boolean {
    const keys = this.#reading?.keys
    if (keys === undefined || keys.size >= STORE_KEYS_MAX) return false
    keys.add(change.key)
    this.learn(change)
    return true
  }

  /** All was read, or not: `isWhole`. */
  endReading(isWhole: boolean): void {
    const reading = this.#reading
    this.#reading = null
    if (reading === null || !isWhole) {
      // A first one stays one until it is whole.
      if (reading?.isFirst) this.#epoch = 0
      this.#lacks = true
      return
    }
    for (const [key] of [...this.store.entries()]) {
      if (reading.keys.has(key) || this.#queue.has(key) || this.#flying.has(key)) continue
      const version = this.store.look(key)?.version ?? 0
      // What was kept here before anything was shared is shared now.
      if (version === 0 && reading.isFirst) this.#queue.add(key)
      else if (version <= reading.from) this.store.drop(key)
    }
    this.#seen = Math.max(this.#seen, reading.from)
    this.#compared = this.#seen
    for (const version of this.#ahead) if (version <= this.#seen) this.#ahead.delete(version)
    this.#advance()
    this.#wake()
  }
}
