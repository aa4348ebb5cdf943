/**
 * Which databases of a group are what their blocks are for. Of the blocks for the primary one holds
 * the role at a time: the one that is primary with the newest history. So an old primary that comes
 * back gets no writes, and while nobody is known to be the primary, all of them are asked often.
 */
import type { Upstream } from './upstream.ts'

export const WANTED_ROLES = ['any', 'primary', 'standby'] as const

/** What a block is for. */
export type WantedRole = (typeof WANTED_ROLES)[number]

/** What a database said it is. */
export interface FoundRole {
  readonly kind: 'primary' | 'standby'
  /** Counts the promotions in the history of a primary; 0 where it is not known. */
  readonly timeline: number
}

/** The role of one upstream: what it should have, and what is known of it. */
export class ServerRole {
  readonly wanted: WantedRole
  /** What it was when it was last asked; null: it never was. */
  found: FoundRole | null = null
  /** True while sessions may go there, as far as the role goes. */
  fits = true
  /** Times that the role of the primary came here from another block. */
  promotions = 0
  /** Who sees to the group; another generation may have others. */
  keeper: Roles | null = null

  constructor(wanted: WantedRole) {
    this.wanted = wanted
  }

  /** It is known not to be what its block is for, which matters only for writes. */
  get displaced(): boolean {
    return this.wanted === 'primary' && !this.fits
  }

  /** What the page of metrics tells. */
  get known(): 'primary' | 'standby' | 'unknown' {
    return this.found?.kind ?? 'unknown'
  }

  /** It has been asked, or has said so by itself. */
  learn(found: FoundRole): void {
    this.found = found
    this.settle()
  }

  /** Something is known that was not before. */
  settle(): void {
    if (this.wanted !== 'any') this.keeper?.settle()
  }
}

export interface RoleEvents {
  /** The primary is another one than before; null where none was known. */
  moved(to: Upstream, from: Upstream | null): void
  /** Nobody is the primary any more. */
  lost(last: Upstream): void
  /** One says that it is the primary, and its history is older than the holder's. */
  outdated(upstream: Upstream, holder: Upstream): void
}

export class Roles {
  readonly #candidates: readonly Upstream[]
  readonly #standbys: readonly Upstream[]
  readonly #events: RoleEvents
  #holder: Upstream | null
  /** Who had the role last, also where nobody has it now. */
  #last: Upstream | null
  /** Who was told of already. */
  readonly #outdated = new Set<Upstream>()

  constructor(upstreams: readonly Upstream[], events: RoleEvents) {
    this.#candidates = upstreams.filter(({ role }) => role.wanted === 'primary')
    this.#standbys = upstreams.filter(({ role }) => role.wanted === 'standby')
    this.#events = events
    this.#holder = this.#candidates.find(({ role }) => role.found !== null && role.fits) ?? null
    this.#last = this.#holder
  }

  /** Sees to these upstreams from now on, in the stead of whoever has before. */
  keep(): void {
    for (const { role } of [...this.#candidates, ...this.#standbys]) role.keeper = this
    this.settle()
  }

  /** Looks at all that is known; cheap, and right however often. */
  settle(): void {
    const holder = this.#best()
    if (holder === null && this.#holder !== null) this.#events.lost(this.#holder)
    this.#holder = holder
    for (const upstream of this.#own(this.#candidates)) {
      const { role } = upstream
      role.fits = holder === null ? role.found === null : upstream === holder
      upstream.health.hurry(holder === null || !holder.health.usable)
    }
    for (const { role } of this.#own(this.#standbys)) role.fits = role.found?.kind !== 'primary'
    // Another generation tells of what is its own.
    if (holder === null || holder.role.keeper !== this) return
    this.#tellMove(holder)
    this.#tellOutdated(holder)
  }

  /** Those that no other generation sees to. */
  #own(upstreams: readonly Upstream[]): readonly Upstream[] {
    return upstreams.filter(({ role }) => role.keeper === this)
  }

  /** One that is gone stays the primary until another one says that it is. */
  #best(): Upstream | null {
    let best: Upstream | null = null
    for (const upstream of this.#candidates) {
      if (upstream.role.found?.kind !== 'primary') continue
      if (best === null || this.#isBetter(upstream, best)) best = upstream
    }
    return best
  }

  /** By its history; of two alike the one that is up, and then the one that had the role. */
  #isBetter(one: Upstream, other: Upstream): boolean {
    const newer = timelineOf(one) - timelineOf(other)
    if (newer !== 0) return newer > 0
    if (one.health.usable !== other.health.usable) return one.health.usable
    return one === this.#holder
  }

  #tellMove(holder: Upstream): void {
    const before = this.#last
    if (holder === before) return
    this.#last = holder
    if (before !== null) holder.role.promotions += 1
    this.#events.moved(holder, before)
  }

  #tellOutdated(holder: Upstream): void {
    for (const upstream of this.#candidates) {
      const isOutdated = upstream !== holder && upstream.role.found?.kind === 'primary'
      if (!isOutdated || !upstream.health.usable) this.#outdated.delete(upstream)
      else if (!this.#outdated.has(upstream)) {
        this.#outdated.add(upstream)
        this.#events.outdated(upstream, holder)
      }
    }
  }
}

function timelineOf({ role }: Upstream): number {
  return role.found?.timeline ?? 0
}
