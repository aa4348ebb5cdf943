/**
 * The configuration as plugins are told of it at the hooks of the start, one by one. Names and
 * types of the parameters are those of GatewayD's plugin contract, in its table of hooks.
 */
import { createHash } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { hostPort, parseAddress } from '../base/address.ts'
import { formatDuration } from '../base/duration.ts'
import { sentenceOf } from '../base/errors.ts'
import { poolSize } from './pool-size.ts'
import type { ClientConfig, Config, ServerConfig } from './schema.ts'

type Params = Readonly<Record<string, unknown>>

/** Hooks that tell of something the gateway has made from its configuration. */
export type Announced = 'onNewLogger' | 'onNewPool' | 'onNewProxy' | 'onNewServer'

/** One call of such a hook. */
export interface Announcement {
  readonly hook: Announced
  readonly params: Params
}

const NANOS_IN_MS = 1_000_000

function each<Item>(
  items: Readonly<Record<string, Item>>,
  params: (item: Item) => unknown,
): Params {
  return Object.fromEntries(Object.entries(items).map(([name, item]) => [name, params(item)]))
}

/** The whole tree of servers, which every call of onNewServer carries. */
function serverTree({ servers }: Config): Params {
  return each(servers, (server) => ({
    network: server.network,
    address: server.address,
    enableTLS: server.enableTLS,
    certFile: server.certFile,
    keyFile: server.keyFile,
    handshakeTimeout: server.handshakeTimeout * NANOS_IN_MS,
    enableTicker: server.enableTicker,
    tickInterval: server.tickInterval * NANOS_IN_MS,
    loadBalancer: server.loadBalancer,
  }))
}

/** The whole tree of proxies, which every call of onNewProxy carries. */
function proxyTree({ proxies }: Config): Params {
  return each(proxies, (blocks) =>
    each(blocks, ({ healthCheckPeriod }) => ({
      healthCheckPeriod: healthCheckPeriod * NANOS_IN_MS,
    })),
  )
}

/** All that plugins are told of between the configuration and the listening, in order. */
export function announcements(config: Config): readonly Announcement[] {
  const told: Announcement[] = [{ hook: 'onNewLogger', params: config.loggers }]
  for (const blocks of Object.values(config.pools)) {
    for (const [name, { size }] of Object.entries(blocks)) {
      told.push({ hook: 'onNewPool', params: { name, size: poolSize(size) } })
    }
  }
  for (const blocks of Object.values(config.proxies)) {
    for (const _ of Object.keys(blocks))
      told.push({ hook: 'onNewProxy', params: proxyTree(config) })
  }
  for (const _ of Object.keys(config.servers)) {
    told.push({ hook: 'onNewServer', params: serverTree(config) })
  }
  return told
}

/** The parameters of onRun: where a server is to listen, its name resolved, or why it is not. */
export async function runParams(
  { network, address }: Pick<ServerConfig, 'network' | 'address'>,
  resolve: (host: string) => Promise<{ readonly address: string }> = lookup,
): Promise<Params> {
  const parsed = parseAddress(address, network)
  if (parsed === null || parsed.network === 'unix') return { address }
  if (parsed.host === '' || isIP(parsed.host) !== 0) return { address }
  try {
    return { address: hostPort((await resolve(parsed.host)).address, parsed.port) }
  } catch (cause) {
    return { address, error: sentenceOf(cause) }
  }
}

/** A connection to a database that was just made. */
export interface NewClient {
  readonly group: string
  readonly block: string
  readonly client: ClientConfig
  /** `ip:port` of our side. */
  readonly localAddress: string
  /** `ip:port` of the database. */
  readonly remoteAddress: string
}

/** GatewayD hashes the local address with this behind it. */
const ID_SUFFIX = '1000'

/** The parameters of onNewClient. */
export function newClientParams(made: NewClient): Params {
  const { group, block, client, localAddress, remoteAddress } = made
  const { network, address, receiveChunkSize, retries, backoffMultiplier } = client
  return {
    id: createHash('sha256').update(`${network}://${localAddress}${ID_SUFFIX}`).digest('hex'),
    name: block,
    group,
    network,
    address,
    receiveChunkSize,
    receiveDeadline: formatDuration(client.receiveDeadline),
    receiveTimeout: formatDuration(client.receiveTimeout),
    sendDeadline: formatDuration(client.sendDeadline),
    dialTimeout: formatDuration(client.dialTimeout),
    tcpKeepAlive: client.tcpKeepAlive,
    tcpKeepAlivePeriod: formatDuration(client.tcpKeepAlivePeriod),
    localAddress,
    remoteAddress,
    retries,
    backoff: formatDuration(client.backoff),
    backoffMultiplier,
    disableBackoffCaps: client.disableBackoffCaps,
  }
}
