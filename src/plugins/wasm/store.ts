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

  constructor(budget: StoreBudget, now: () => number = () => performance.now()) {
    this.#budget = budget
    this.#now = now
  }

  /** Takes another budget; what is over it stays, until it is deleted or its time is over. */
  limit(budget: StoreBudget): void {
    this.#budget = budget
  }

  get(key: string): Uint8Array | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry.expiresAt > this.#now()) return entry.value
    this.delete(key)
    return undefined
  }

  /** Keeps `value` (which must be a copy) for `ttlMs`, 0: for ever. False: the budget is spent. */
  set(key: string, value: Uint8Array, ttlMs: number): boolean {
    const size = sizeOf(key, value)
    if (!this.#fits(key, size)) {
      this.#dropExpired()
      if (!this.#fits(key, size)) return false
    }
    this.delete(key)
    const expiresAt = ttlMs === 0 ? Number.POSITIVE_INFINITY : this.#now() + ttlMs
    this.#entries.set(key, { value, expiresAt })
    this.#bytes += size
    return true
  }

  /** True where there was a value. */
  delete(key: string): boolean {
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

/** The stores of all plugins, by name. The gateway keeps it over reloads. */
export class PluginStores {
  readonly #stores = new Map<string, PluginStore>()
  readonly #now: (() => number) | undefined

  /** `now`: milliseconds on a scale that never jumps; the machine's own where it is left out. */
  constructor(now?: () => number) {
    this.#now = now
  }

  /** The store of a plugin, which may hold `bytesMax` from now on. */
  of(plugin: string, bytesMax: number): PluginStore {
    const budget = { bytesMax, keysMax: STORE_KEYS_MAX }
    const known = this.#stores.get(plugin)
    known?.limit(budget)
    if (known !== undefined) return known
    const made = new PluginStore(budget, this.#now)
    this.#stores.set(plugin, made)
    return made
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
