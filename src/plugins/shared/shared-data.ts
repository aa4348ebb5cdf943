/** The data of all plugins that are shared with other processes, and how that goes. */
import { settlesIn } from '../../base/settles.ts'
import type { PluginStore, Sharing } from '../wasm/store.ts'
import { type CopyCounts, SharedCopy } from './copy.ts'
import { Link, type LinkCounts } from './link.ts'
import type { SharingSettings } from './settings.ts'

/** What metrics tell; null where nothing is shared. */
export interface SharedReport extends Readonly<CopyCounts>, Readonly<LinkCounts> {
  readonly isUp: boolean
  readonly queued: number
  /** For how long data here may lack what others wrote. */
  readonly stalenessMs: number
}

export interface SharedDataLog {
  warn(sentence: string): void
  info(sentence: string): void
}

export class SharedData implements Sharing {
  readonly #log: SharedDataLog
  readonly #stores = new Map<string, PluginStore>()
  /** Of the present link; another one gets others, for it may still have to send what is here. */
  #copies = new Map<string, SharedCopy>()
  readonly #counts: CopyCounts & LinkCounts = {
    sent: 0,
    received: 0,
    unqueued: 0,
    refused: 0,
    lost: 0,
    refusedThere: 0,
    readings: 0,
    malformed: 0,
  }
  #settings: SharingSettings | null = null
  #link: Link | null = null

  constructor(log: SharedDataLog) {
    this.#log = log
  }

  settle(plugin: string, store: PluginStore, isShared: boolean): void {
    if (!isShared) {
      this.#stores.delete(plugin)
      this.#copies.get(plugin)?.leave()
      this.#copies.delete(plugin)
    } else if (!this.#stores.has(plugin)) {
      this.#stores.set(plugin, store)
      this.#join(plugin, store)
      this.#link?.hurry()
    }
  }

  #join(plugin: string, store: PluginStore): void {
    if (this.#settings === null) return
    const { queuedMax } = this.#settings
    const wake = (): void => this.#link?.wake()
    this.#copies.set(
      plugin,
      new SharedCopy(plugin, store, { queuedMax, counts: this.#counts, wake }),
    )
  }

  /** Shares as is configured from now on; null: no more. */
  share(settings: SharingSettings | null): void {
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return
    void this.#end()
    this.#settings = settings
    this.#copies = new Map()
    if (settings === null) return
    for (const [plugin, store] of this.#stores) this.#join(plugin, store)
    const link = new Link({
      settings,
      copies: this.#copies,
      counts: this.#counts,
      changed: (isShared, sentence) => this.#changed(settings, isShared, sentence),
    })
    this.#link = link
    void link.run()
  }

  #changed({ place }: SharingSettings, isShared: boolean, sentence: string): void {
    if (isShared) return this.#log.info(`data of plugins are shared through ${place}`)
    const until = 'until it is back, plugins go on with what they have'
    this.#log.warn(`data of plugins are not shared through ${place}: ${sentence}; ${until}`)
  }

  /** Waits until the data of the others are here, but no longer than the store is waited for. */
  async first(): Promise<void> {
    if (this.#link === null) return
    await settlesIn(this.#settings?.timeoutMs ?? 0, this.#link.first)
  }

  get report(): SharedReport | null {
    const link = this.#link
    if (link === null) return null
    let queued = 0
    for (const copy of this.#copies.values()) queued += copy.queued
    const stalenessMs = performance.now() - link.wholeAt
    return { ...this.#counts, isUp: link.isUp, queued, stalenessMs }
  }

  /** Sends what still waits, in a bounded time, and shares no more. */
  async stop(): Promise<void> {
    await this.#end()
    this.#settings = null
  }

  async #end(): Promise<void> {
    const link = this.#link
    this.#link = null
    for (const copy of this.#copies.values()) copy.leave()
    await link?.stop(this.#settings?.timeoutMs ?? 0)
  }
}
