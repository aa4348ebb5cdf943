/** Makes the upstreams of a service, and what chooses among them. */
import type { Logger } from 'pino'
import { parseAddress } from '../base/address.ts'
import { GatewayError } from '../base/errors.ts'
import type { ClientConfig, ProxyConfig, ServerConfig } from '../config/schema.ts'
import { POSTGRES } from '../protocols/postgres/postgres.ts'
import { PROBE_QUESTION } from '../protocols/postgres/startup.ts'
import { type Balancer, createBalancer } from '../upstream/balancer.ts'
import { Roles } from '../upstream/roles.ts'
import { type Probing, Upstream } from '../upstream/upstream.ts'
import { roleErrandsOf } from './pools.ts'
import { roleInquiry } from './role-probe.ts'
import { encryptionOf } from './tls-options.ts'

export interface UpstreamsOptions {
  readonly group: string
  readonly server: ServerConfig
  /** The blocks of the group. */
  readonly clients: Readonly<Record<string, ClientConfig>>
  readonly proxies: Readonly<Record<string, ProxyConfig>>
  /** Told when an upstream goes out, and when it comes back. */
  readonly log: Logger
  /** The upstream that is there already for a block of which nothing has changed; else null. */
  readonly known?: (block: string, client: ClientConfig) => Upstream | null
}

/** One for each block; none is probed before it is watched. */
export function createUpstreams(options: UpstreamsOptions): readonly Upstream[] {
  const { group, clients } = options
  return Object.entries(clients).map(([block, client]) => {
    const known = options.known?.(block, client) ?? null
    if (known !== null) return known
    const address = parseAddress(client.address, client.network)
    if (address === null) {
      const key = `clients.${group}.${block}.address`
      throw new GatewayError('CONFIG_INVALID', `${key}: "${client.address}" is no address`)
    }
    return new Upstream({
      group,
      block,
      address,
      role: client.role,
      encryption: encryptionOf(`clients.${group}.${block}`, client, address, options.log),
      dialTimeoutMs: client.dialTimeout,
      retries: client.retries,
      backoffMs: client.backoff,
      backoffMultiplier: client.backoffMultiplier,
      disableBackoffCaps: client.disableBackoffCaps,
      tcpKeepAliveMs: client.tcpKeepAlive ? client.tcpKeepAlivePeriod : null,
      patience: {
        receiveDeadlineMs: client.receiveDeadline,
        receiveTimeoutMs: client.receiveTimeout,
        sendDeadlineMs: client.sendDeadline,
      },
      probing: probingOf(block, options),
    })
  })
}

/** How the upstream of a block is probed. */
export function probingOf(
  block: string,
  { group, server, clients, proxies, log }: UpstreamsOptions,
): Probing {
  const client = clients[block]
  const name = `${client?.address} (clients.${group}.${block})`
  const isPostgres = server.protocol === 'postgres'
  const errands = client === undefined || !isPostgres ? null : roleErrandsOf(client, POSTGRES)
  return {
    periodMs: proxies[block]?.healthCheckPeriod ?? 0,
    // Where there is a choice it should be a good one from the first client on.
    atOnce: Object.keys(clients).length > 1 || errands !== null,
    question: isPostgres ? PROBE_QUESTION : null,
    inquiry: errands === null ? null : roleInquiry(errands),
    changed: (state, cause) => {
      if (state === 'out') log.warn({ group, block }, `upstream ${name} is out: ${cause}`)
      else log.info({ group, block }, `upstream ${name} is back`)
    },
  }
}

/** Who sees to it that the writes of a group go to its primary. */
export function rolesOf(upstreams: readonly Upstream[], log: Logger): Roles {
  const name = ({ group, block, address }: Upstream): string =>
    `${address} (clients.${group}.${block})`
  return new Roles(upstreams, {
    moved(to, from) {
      const { group, block } = to
      const before = from === null ? '' : `; before it was ${name(from)}`
      const text = `the primary of group ${group} is ${name(to)}${before}`
      if (from === null) log.info({ group, block }, text)
      else log.warn({ group, block }, text)
    },
    lost(last) {
      const { group, block } = last
      const problem = `group ${group} has no primary: ${name(last)} is a standby now`
      log.warn({ group, block }, `${problem}; clients that would write are refused until there is`)
    },
    outdated(upstream, holder) {
      const { group, block } = upstream
      const problem = `${name(upstream)} says that it is the primary too, and gets no sessions`
      const why = `the history of ${name(holder)} is newer, or it had the role first`
      const cure = 'stop or rebuild it; if it is the right one, take the other out of the file'
      log.error({ group, block }, `${problem}: ${why}; ${cure}`)
    },
  })
}

/** Of several rules the first holds: there is no condition yet under which it would not. */
export function balancerOf(
  upstreams: readonly Upstream[],
  { strategy, loadBalancingRules, consistentHash }: ServerConfig['loadBalancer'],
): Balancer {
  const shares = loadBalancingRules[0]?.distribution ?? []
  const weights = new Map(shares.map(({ proxyName, weight }) => [proxyName.toLowerCase(), weight]))
  const hash = consistentHash && { addressOnly: consistentHash.useSourceIp }
  return createBalancer(upstreams, strategy, { weights, hash })
}
