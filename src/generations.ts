/**
 * The generations that live: the current one, and those before it that sessions still use. One
 * takes over from another by the exchange of a reference; until then the current one notices
 * nothing, whatever fails.
 */
import { isDeepStrictEqual } from 'node:util'
import { GatewayError } from './base/errors.ts'
import { settlesIn } from './base/settles.ts'
import { changedKeys } from './config/changes.ts'
import type { LoadedConfig } from './config/load.ts'
import { buildGeneration, type Generation, releaseBuilt, type Service } from './generation.ts'
import type { Lasting } from './lasting.ts'
import type { Placed } from './plugins/carry.ts'
import type { PluginSurroundings } from './plugins/plugin.ts'
import type { PluginRegistry } from './plugins/registry.ts'
import type { Listening } from './tcp/listening.ts'
import { RECONFIGURED } from './tcp/refusals.ts'

/** How long plugins that leave may take to be told what has happened before. */
const TOLD_WITHIN_MS = 5000

export class Generations {
  readonly #surroundings: PluginSurroundings
  readonly #lasting: Lasting
  #current: Generation | null = null
  readonly #earlier = new Set<Generation>()
  /** What earlier generations still do until they are gone. */
  readonly #leaving = new Set<Promise<void>>()
  readonly #downs = new Map<Generation, Promise<void>>()
  /** Listeners of servers that are gone, while their sessions end. */
  readonly #closing = new Set<Listening>()

  constructor(surroundings: PluginSurroundings, lasting: Lasting) {
    this.#surroundings = surroundings
    this.#lasting = lasting
  }

  get current(): Generation | null {
    return this.#current
  }

  /** The earlier ones first. */
  get live(): readonly Generation[] {
    return this.#current === null ? [...this.#earlier] : [...this.#earlier, this.#current]
  }

  /** Everything that accepts clients or still has some. */
  get listeners(): readonly Listening[] {
    const current = this.#current?.services.map(({ listener }) => listener) ?? []
    return [...current, ...this.#closing]
  }

  /** Builds the first one; nothing listens yet. */
  async first(
    loaded: LoadedConfig,
    options: { everyPlugin: boolean; bound?: (registry: PluginRegistry) => void },
  ): Promise<Generation> {
    this.#current = await this.#build(loaded, options)
    return this.#current
  }

  /**
   * Builds one beside the current one, up to its listening: then it can take over, or be dropped.
   * Throws a GatewayError where anything of it fails; nothing of it is left then.
   */
  async prepare(loaded: LoadedConfig, { everyPlugin = false } = {}): Promise<Generation> {
    this.#refuseCrowd(loaded)
    const next = await this.#build(loaded, { everyPlugin, bound: (all) => all.watch() })
    this.#warnOfSockets(next)
    try {
      for (const { listener, options } of next.services) {
        if (this.#isCurrent(listener)) await listener.alsoAt(options)
        else {
          await listener.prepare()
          listener.start()
        }
      }
      return next
    } catch (thrown) {
      await this.drop(next)
      throw thrown
    }
  }

  /** Takes down one that shall not take over. */
  async drop(next: Generation): Promise<void> {
    for (const { listener } of next.services) {
      if (this.#isCurrent(listener)) listener.abandon()
      else await listener.drain(0)
    }
    await releaseBuilt(next, this.#lasting)
  }

  /** Makes one current that was prepared; returns what has changed, as sentences. */
  takeOver(next: Generation): readonly string[] {
    const before = this.#current!
    this.#current = next
    this.#lasting.shared.share(next.sharing)
    for (const { listener, options } of next.services) {
      const { group, limits } = options
      limits.budget.heldMax = next.config.servers[group]!.bufferedBytesMax
      if (before.services.some((service) => service.listener === listener)) listener.renew(options)
    }
    // A process that serves nobody dials nobody.
    if (this.#lasting.sockets?.serves !== false) {
      for (const { blocks } of next.services) blocks.watch()
    }
    retireGone(before, next)
    const gone = before.services.filter(({ listener }) => !has(next.services, listener))
    for (const { listener } of gone) this.#close(listener, next.config.drainTimeout)
    const listeners = before.services.map(({ listener }) => listener)
    this.#earlier.add(before)
    this.#follow(this.#retire(before, listeners, next.config.drainTimeout))
    return changesBetween(before, next)
  }

  /** Carries out a CancelRequest that came to another process; false: its key is not known here. */
  cancel(group: string, request: Uint8Array, done: () => void): boolean {
    const { listeners } = this
    const likely = listeners.filter((listener) => listener.group === group)
    // Another process may name its groups otherwise.
    return [...likely, ...listeners].some((listener) => listener.cancel(request, done))
  }

  /** Takes down all; sessions must have ended. */
  async stop(): Promise<void> {
    // The last first: what a later one holds with an earlier one goes with the earlier.
    for (const generation of this.live.toReversed()) await this.#takeDown(generation)
  }

  #build(
    loaded: LoadedConfig,
    options: { everyPlugin: boolean; bound?: (registry: PluginRegistry) => void },
  ): Promise<Generation> {
    const before = this.#current
    const surroundings = this.#surroundings
    return buildGeneration(loaded, { surroundings, lasting: this.#lasting, before, ...options })
  }

  #refuseCrowd({ config: { generationsMax, drainTimeout } }: LoadedConfig): void {
    const { live } = this
    if (live.length < generationsMax) return
    const sessions = [...this.#earlier].reduce((sum, { tenancy }) => sum + tenancy.sessions, 0)
    const held = `${sessions} sessions hold configurations before the present one`
    const cure = `they are ended after drainTimeout (${drainTimeout} ms); reload again then`
    throw new GatewayError(
      'RELOAD_REFUSED',
      `${live.length} generations are live already (generationsMax): ${held}; ${cure}`,
    )
  }

  /** Two processes cannot serve their metrics at one path, and where that is they alone know. */
  #warnOfSockets(next: Generation): void {
    const before = this.#current?.registry.plugins ?? []
    for (const plugin of next.registry.plugins) {
      const socket = plugin.manifest?.metricsSocket ?? null
      if (socket === null || before.includes(plugin)) continue
      if (!before.some(({ manifest }) => manifest?.metricsSocket === socket)) continue
      const problem = `serves its metrics at ${socket}, as the process does that it replaces`
      const cure = 'they may be missing until it is started again; give it another path each time'
      this.#surroundings.log.warn({ plugin: plugin.name }, `${problem}: ${cure}`)
    }
  }

  #isCurrent(listener: Listening): boolean {
    return this.#current?.services.some((service) => service.listener === listener) === true
  }

  #close(listener: Listening, drainTimeoutMs: number): void {
    this.#closing.add(listener)
    const drained = listener.drain(drainTimeoutMs, RECONFIGURED)
    this.#follow(drained.then(() => void this.#closing.delete(listener)))
  }

  /** Takes a generation down when its last session has left; those that do not are ended. */
  async #retire(
    generation: Generation,
    listeners: readonly Listening[],
    drainTimeoutMs: number,
  ): Promise<void> {
    const expel = (): void => {
      for (const listener of listeners) listener.expel(generation.tenancy)
    }
    const timer = setTimeout(expel, drainTimeoutMs)
    await generation.tenancy.empty()
    clearTimeout(timer)
    await settlesIn(TOLD_WITHIN_MS, generation.desk.quiet())
    await this.#takeDown(generation)
  }

  #takeDown(generation: Generation): Promise<void> {
    const known = this.#downs.get(generation)
    if (known !== undefined) return known
    const down = releaseBuilt(generation, this.#lasting).finally(() => {
      this.#downs.delete(generation)
      this.#earlier.delete(generation)
      if (this.#current === generation) this.#current = null
    })
    this.#downs.set(generation, down)
    return down
  }

  #follow(doing: Promise<void>): void {
    const { log } = this.#surroundings
    const followed = doing
      .catch((thrown) => log.error({ err: thrown }, 'a generation was not taken down in order'))
      .finally(() => void this.#leaving.delete(followed))
    this.#leaving.add(followed)
  }
}

/** Pools that no session gets a connection of any more keep none. */
function retireGone(before: Generation, next: Generation): void {
  const present = new Set(next.services.flatMap(({ blocks }) => [...blocks.pools.values()]))
  for (const { blocks } of before.services) {
    for (const pool of blocks.pools.values()) if (!present.has(pool)) pool.stop()
  }
}

function has(services: readonly Service[], listener: Listening): boolean {
  return services.some((service) => service.listener === listener)
}

/** What is different in a generation, as sentences without any value. */
function changesBetween(before: Generation, next: Generation): readonly string[] {
  const store = isDeepStrictEqual(before.sharing, next.sharing) ? [] : ['store']
  return [...changedKeys(before.config, next.config), ...store, ...pluginChanges(before, next)]
}

function pluginChanges(before: Generation, next: Generation): readonly string[] {
  const { placed } = next.registry
  const named = ({ plugin, spec }: Placed): string => `plugin "${spec.name ?? plugin.name}"`
  const of = (all: readonly Placed[], one: Placed): Placed | undefined =>
    all.find((other) => named(other) === named(one))
  const sentences = placed.flatMap((one) => {
    const old = of(before.registry.placed, one)
    if (old === undefined) return [`${named(one)} is new, and ${startOf(one)}`]
    if (old.plugin !== one.plugin) return [`${named(one)} ${startOf(one)}`]
    return old.spec.priority === one.spec.priority ? [] : [`${named(one)} has another place`]
  })
  const gone = before.registry.placed.filter((old) => of(placed, old) === undefined)
  return [...sentences, ...gone.map((old) => `${named(old)} is gone`)]
}

function startOf({ plugin }: Placed): string {
  const { state, lastError } = plugin.status()
  return state === 'broken' ? `does not start: ${lastError}` : 'was started'
}
