/**
 * What plugins keep in the host: a plugin's own store, and its part of a session. Both outlive the
 * instance that wrote them; both have a budget.
 */
import { SESSION_KEYS_MAX, STORE_KEYS_MAX } from './limits.ts'

const SWEEP_PERIOD_MS = 1000

interface Entry {
  readonly value: Uint8Array
  /** On the clock of `performance.now`; Infinity: for ever. */
  readonly expiresAt: number
  /** The number that a shared store has given it; 0: it has none, or not yet. */
  version: number
}

/** A value with what is left of its time. */
export interface Kept {
  readonly value: Uint8Array
  /** 0: for ever. */
  readonly ttlMs: number
  readonly version: number
}

/** UTF-16 units count for two bytes, as they are held. */
function sizeOf(key: string, value: Uint8Array): number {
  return key.length * 2 + value.length
}

export interface StoreBudget {
  /** Keys and values together. */
  readonly bytesMax: number
  readonly keysMax: number
}

/** One plugin's key-value data, shared by its sessions. Values are never edited, only replaced. */
export class PluginStore {
  readonly #entries = new Map<string, Entry>()
  #bytes = 0
  #budget: StoreBudget
  readonly #now: () => number
  #sweepDueAt = Number.NEGATIVE_INFINITY
  /** Told of each key that the plugin sets or deletes; null: its data are shared with nobody. */
  changed: ((key: string) => void) | null = null

  constructor(budget: StoreBudget, now: () => number = () => performance.now()) {
    this.#budget = budget
    this.#now = now
  }

  get bytesMax(): number {
    return this.#budget.bytesMax
  }

  /** Takes another budget; what is over it stays, until it is deleted or its time is over. */
  limit(budget: StoreBudget): void {
    this.#budget = budget
  }

  get(key: string): Uint8Array | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry.expiresAt > this.#now()) return entry.value
    this.drop(key)
    return undefined
  }

  /** As `get`, with what belongs to the value. */
  look(key: string): Kept | undefined {
    const value = this.get(key)
    if (value === undefined) return undefined
    const { expiresAt, version } = this.#entries.get(key)!
    const isLasting = expiresAt === Number.POSITIVE_INFINITY
    const ttlMs = isLasting ? 0 : Math.max(1, Math.ceil(expiresAt - this.#now()))
    return { value, ttlMs, version }
  }

  /** Notes the number that a shared store has given to the present value. */
  stamp(key: string, version: number): void {
    const entry = this.#entries.get(key)
    if (entry !== undefined) entry.version = version
  }

  /** Keeps `value` (which must be a copy) for `ttlMs`, 0: for ever. False: the budget is spent. */
  set(key: string, value: Uint8Array, ttlMs: number): boolean {
    if (!this.take(key, value, ttlMs, 0)) return false
    this.changed?.(key)
    return true
  }

  /** As `set`, for what comes from elsewhere: nobody is told. */
  take(key: string, value: Uint8Array, ttlMs: number, version: number): boolean {
    const size = sizeOf(key, value)
    if (!this.#fits(key, size)) {
      this.#dropExpired()
      if (!this.#fits(key, size)) return false
    }
    const old = this.#entries.get(key)
    if (old !== undefined) this.#bytes -= sizeOf(key, old.value)
    const expiresAt = ttlMs === 0 ? Number.POSITIVE_INFINITY : this.#now() + ttlMs
    // Replaced in its place: deleting and adding has the engine build a large map anew every time.
    this.#entries.set(key, { value, expiresAt, version })
    this.#bytes += size
    return true
  }

  /** True where there was a value. */
  delete(key: string): boolean {
    const had = this.drop(key)
    this.changed?.(key)
    return had
  }

  /** As `delete`, for what has gone elsewhere, or has had its time: nobody is told. */
  drop(key: string): boolean {
    const entry = this.#entries.get(key)
    if (entry === undefined) return false
    this.#bytes -= sizeOf(key, entry.value)
    this.#entries.delete(key)
    return entry.expiresAt > this.#now()
  }

  /** What is kept now. */
  *entries(): Generator<readonly [string, Uint8Array]> {
    const now = this.#now()
    for (const [key, { value, expiresAt }] of this.#entries) {
      if (expiresAt > now) yield [key, value]
    }
  }

  /** True where the sum that the budget is held against is that of what is kept. */
  isConsistent(): boolean {
    let bytes = 0
    for (const [key, { value }] of this.#entries) bytes += sizeOf(key, value)
    return bytes === this.#bytes
  }

  #fits(key: string, size: number): boolean {
    const old = this.#entries.get(key)
    const kept = this.#bytes - (old === undefined ? 0 : sizeOf(key, old.value))
    const keys = this.#entries.size + (old === undefined ? 1 : 0)
    return kept + size <= this.#budget.bytesMax && keys <= this.#budget.keysMax
  }

  /** A full store is searched once a second, so that a guest cannot make the host search. */
  #dropExpired(): void {
    if (this.#now() < this.#sweepDueAt) return
    this.#sweepDueAt = this.#now() + SWEEP_PERIOD_MS
    for (const key of this.#entries.keys()) this.get(key)
  }
}

/** Who shares the data of plugins with other processes. */
export interface Sharing {
  /** From now on this plugin's data are shared, or are not. */
  settle(plugin: string, store: PluginStore, isShared: boolean): void
}

/** The stores of all plugins, by name. The gateway keeps it over reloads. */
export class PluginStores {
  readonly #stores = new Map<string, PluginStore>()
  readonly #now: (() => number) | undefined
  /** Null: all data stay in this process. */
  sharing: Sharing | null = null

  /** `now`: milliseconds on a scale that never jumps; the machine's own where it is left out. */
  constructor(now?: () => number) {
    this.#now = now
  }

  /** The store of a plugin, which may hold `bytesMax` from now on; shared if it may and can be. */
  of(plugin: string, bytesMax: number, isShared = false): PluginStore {
    const budget = { bytesMax, keysMax: STORE_KEYS_MAX }
    const store = this.#stores.get(plugin) ?? new PluginStore(budget, this.#now)
    store.limit(budget)
    this.#stores.set(plugin, store)
    this.sharing?.settle(plugin, store, isShared)
    return store
  }
}

/** All plugins' data of one session, as `SessionFacts.memory` holds it. */
export type SessionMemory = Map<string, Map<string, Uint8Array>>

/** A value of this plugin's own, or with `plugin/key` another's. */
export function sessionGet(
  memory: SessionMemory,
  plugin: string,
  key: string,
): Uint8Array | undefined {
  const own = memory.get(plugin)?.get(key)
  if (own !== undefined) return own
  const slash = key.indexOf('/')
  return slash < 0 ? undefined : memory.get(key.slice(0, slash))?.get(key.slice(slash + 1))
}

/** Keeps `value` (which must be a copy) with the session. False: the plugin's budget is spent. */
export function sessionSet(
  memory: SessionMemory,
  plugin: string,
  key: string,
  value: Uint8Array,
  bytesMax: number,
): boolean {
  const own = memory.get(plugin) ?? new Map<string, Uint8Array>()
  let bytes = sizeOf(key, value)
  for (const [other, kept] of own) if (other !== key) bytes += sizeOf(other, kept)
  const keys = own.has(key) ? own.size : own.size + 1
  if (bytes > bytesMax || keys > SESSION_KEYS_MAX) return false
  own.set(key, value)
  memory.set(plugin, own)
  return true
}
