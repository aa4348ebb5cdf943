/**
 * Where a session goes when its upstream cannot be reached: to the next one of its group, healthy
 * ones first, but none is given up that has not been tried. Waits between attempts are for when
 * there is no other.
 */
import type { Asking, Balancer } from '../upstream/balancer.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** Times that a session may go on to another block, for each block of its group. */
const HOPS_A_BLOCK = 2

export class Detours {
  readonly #balancer: Balancer
  readonly #asking: Asking
  readonly #tried = new Set<Upstream>()
  #hopsLeft: number

  /** `fixed`: a plugin names the upstream, and no other will do. */
  constructor(balancer: Balancer, asking: Asking, fixed: boolean) {
    this.#balancer = balancer
    this.#asking = asking
    // No session wanders about for ever, whatever upstreams do meanwhile.
    this.#hopsLeft = fixed ? 0 : HOPS_A_BLOCK * balancer.upstreams.length
  }

  /** True where another upstream can be tried at once; chooses none. */
  elsewhere(failing: Upstream): boolean {
    this.#tried.add(failing)
    return this.#hopsLeft > 0 && this.#balancer.hasOther(failing, this.#tried)
  }

  /** The upstream to try instead of one that failed; null where nothing is left. */
  instead(failed: Upstream): Upstream | null {
    this.#tried.add(failed)
    if (this.#hopsLeft === 0) return null
    this.#hopsLeft -= 1
    return this.#balancer.instead(this.#asking, failed, this.#tried)
  }
}
