/**
 * The blocks of one group: its databases, the connections to them, and how they share the sessions.
 * What a reload leaves as it is, is taken over with all that it knows and keeps.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import type { ClientConfig, Config, ServerConfig } from './config/schema.ts'
import type { Protocol } from './protocols/protocol.ts'
import { createServerPool } from './tcp/pools.ts'
import type { ServerPool } from './tcp/server-pool.ts'
import { balancerOf, createUpstreams, probingOf, rolesOf } from './tcp/upstreams.ts'
import type { Balancer } from './upstream/balancer.ts'
import type { Roles } from './upstream/roles.ts'
import type { Probing, Upstream } from './upstream/upstream.ts'

export interface Blocks {
  readonly balancer: Balancer
  readonly pools: ReadonlyMap<Upstream, ServerPool>
  /** Has the upstreams probed as is configured now; to be called when they are in use. */
  watch(): void
}

/** The group as the generation before has it. */
export interface BlocksBefore {
  readonly config: Config
  readonly blocks: Blocks
}

interface Parts {
  readonly group: string
  readonly server: ServerConfig
  readonly protocol: Protocol
  readonly config: Config
  readonly log: Logger
  readonly before: BlocksBefore | null
  /** What of a pool's size is for this process; left out: all of it. */
  readonly share?: ((size: number) => number) | undefined
}

export function assembleBlocks(parts: Parts): Blocks {
  const { group, server, config, before, log } = parts
  const clients = config.clients[group] ?? {}
  const proxies = config.proxies[group] ?? {}
  const known = (block: string, client: ClientConfig): Upstream | null => {
    const isSame = isDeepStrictEqual(before?.config.clients[group]?.[block], client)
    return (isSame ? before?.blocks.balancer.named(block) : null) ?? null
  }
  const options = { group, server, clients, proxies, log }
  const upstreams = createUpstreams({ ...options, known })
  const probings = upstreams
    .filter((upstream) => !isProbedSo(upstream, parts))
    .map((upstream) => [upstream, probingOf(upstream.block, options)] as const)
  return {
    balancer: balancerOf(upstreams, server.loadBalancer),
    pools: assemblePools(upstreams, parts),
    watch: watcher(probings, rolesOf(upstreams, log)),
  }
}

/** Made apart: what is called later must not keep the generation before, and all before that. */
function watcher(probings: readonly (readonly [Upstream, Probing])[], roles: Roles): () => void {
  return () => {
    roles.keep()
    for (const [upstream, probing] of probings) upstream.watch(probing)
  }
}

/** True where an upstream is probed already as it is configured now. */
function isProbedSo(upstream: Upstream, { group, config, server, before }: Parts): boolean {
  const { block } = upstream
  if (before?.blocks.balancer.named(block) !== upstream) return false
  const { healthCheckPeriod } = config.proxies[group]![block]!
  const hadPeriod = before.config.proxies[group]?.[block]?.healthCheckPeriod
  const hadProtocol = before.config.servers[group]?.protocol
  return hadPeriod === healthCheckPeriod && hadProtocol === server.protocol
}

function assemblePools(
  upstreams: readonly Upstream[],
  { group, config, protocol, before, share }: Parts,
): ReadonlyMap<Upstream, ServerPool> {
  const pools = new Map<Upstream, ServerPool>()
  for (const upstream of upstreams) {
    const { block } = upstream
    const [pool, proxy] = [config.pools[group]![block]!, config.proxies[group]![block]!]
    const isSame =
      isDeepStrictEqual(before?.config.pools[group]?.[block], pool) &&
      isDeepStrictEqual(before?.config.proxies[group]?.[block], proxy)
    const known = isSame ? before?.blocks.pools.get(upstream) : undefined
    const client = config.clients[group]![block]!
    const made = known ?? createServerPool(upstream, protocol, { client, pool, proxy }, share)
    if (made !== null) pools.set(upstream, made)
  }
  return pools
}
