/** Chooses the upstream of a new session among the blocks of its group. */
import type { Upstream } from './upstream.ts'

export type Strategy = 'ROUND_ROBIN' | 'RANDOM'

export interface Balancer {
  readonly upstreams: readonly Upstream[]
  next(): Upstream
  /** The upstream of a block by its name. */
  named(block: string): Upstream | undefined
}

export function createBalancer(upstreams: readonly Upstream[], strategy: Strategy): Balancer {
  let turn = 0
  return {
    upstreams,
    next() {
      if (strategy === 'RANDOM') turn = Math.floor(Math.random() * upstreams.length)
      const upstream = upstreams[turn % upstreams.length]!
      turn = (turn + 1) % upstreams.length
      return upstream
    },
    named: (block) => upstreams.find((upstream) => upstream.block === block),
  }
}
