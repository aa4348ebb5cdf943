/** What outlives generations: counters, the data of plugins, and what several of them hold. */
import type { Logger } from 'pino'
import { Holdings } from './base/holdings.ts'
import { HookTally } from './hooks/tally.ts'
import { POOL_SUMMING, UPSTREAM_SUMMING } from './metrics/block-past.ts'
import type { UpstreamCounts } from './metrics/families.ts'
import { Past } from './metrics/past.ts'
import type { PluginCounts } from './metrics/plugin-families.ts'
import { PLUGIN_SUMMING } from './metrics/plugin-past.ts'
import type { PoolSource } from './metrics/pool-families.ts'
import { pluginCounts } from './plugin-counts.ts'
import type { Plugin } from './plugins/plugin.ts'
import { SharedData } from './plugins/shared/shared-data.ts'
import { PluginStores } from './plugins/wasm/store.ts'
import type { Budget } from './protocols/protocol.ts'
import { type Account, newAccount } from './tcp/account.ts'
import type { ServerPool } from './tcp/server-pool.ts'
import type { Sharing } from './tcp/sharing.ts'
import type { Upstream } from './upstream/upstream.ts'

/** What the sessions of one server group have counted and hold, whoever built their chains. */
export interface Book {
  readonly group: string
  readonly account: Account
  readonly budget: Budget
}

export class Lasting {
  readonly tally: HookTally
  /** How this process shares its listening sockets with others; null: there are none. */
  readonly sockets: Sharing | null
  /** Key-value data of WASM plugins, by name. */
  readonly stores = new PluginStores()
  /** Those of them that other processes have as well. */
  readonly shared: SharedData
  readonly plugins: Holdings<Plugin>
  readonly upstreams: Holdings<Upstream>
  readonly pools: Holdings<ServerPool>
  readonly #pluginPast = new Past(PLUGIN_SUMMING)
  readonly #upstreamPast = new Past(UPSTREAM_SUMMING)
  readonly #poolPast = new Past(POOL_SUMMING)
  readonly #books = new Map<string, Book>()

  constructor(log: Logger, sockets: Sharing | null = null) {
    this.sockets = sockets
    this.tally = new HookTally(log)
    this.shared = new SharedData({
      warn: (sentence) => log.warn(sentence),
      info: (sentence) => log.info(sentence),
    })
    this.stores.sharing = this.shared
    this.plugins = new Holdings((plugin) => this.#pluginPast.add(pluginCounts(plugin)))
    this.upstreams = new Holdings((upstream) => this.#upstreamPast.add(upstream))
    this.pools = new Holdings((pool) => this.#poolPast.add(pool))
  }

  /** All groups that there have been. */
  get books(): readonly Book[] {
    return [...this.#books.values()]
  }

  /** The book of a group; of a new one with this much to hold. */
  book(group: string, heldMax: number): Book {
    const known = this.#books.get(group)
    if (known !== undefined) return known
    const made = { group, account: newAccount(), budget: { held: 0, heldMax, spent: 0 } }
    this.#books.set(group, made)
    return made
  }

  /** One for each name: those of plugins that run now, with what was counted before under it. */
  pluginCounts(): readonly PluginCounts[] {
    return this.#pluginPast.with(this.plugins.held.map(pluginCounts))
  }

  upstreamCounts(): readonly UpstreamCounts[] {
    return this.#upstreamPast.with(this.upstreams.held)
  }

  poolCounts(): readonly PoolSource[] {
    return this.#poolPast.with(this.pools.held)
  }
}
