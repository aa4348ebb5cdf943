/** The keys of the configuration that GatewayD's contract tells plugins of, with their types. */

export type WireType = 'string' | 'number' | 'boolean' | 'list'
type Keys = Readonly<Record<string, WireType>>

const keys = (type: WireType, names: string): Keys =>
  Object.fromEntries(names.split(' ').map((name) => [name, type]))

const CLIENT: Keys = {
  ...keys('string', 'network address'),
  ...keys('boolean', 'tcpKeepAlive disableBackoffCaps'),
  ...keys('number', 'tcpKeepAlivePeriod receiveChunkSize receiveDeadline receiveTimeout'),
  ...keys('number', 'sendDeadline dialTimeout retries backoff backoffMultiplier'),
}
const SERVER: Keys = {
  ...keys('string', 'network address certFile keyFile loadBalancer.strategy'),
  ...keys('boolean', 'enableTLS enableTicker'),
  ...keys('number', 'handshakeTimeout tickInterval'),
  'loadBalancer.loadBalancingRules': 'list',
}

/** By prefix; of groups and blocks those that the tests have. */
export const CONFIG_KEYS: Readonly<Record<string, Keys>> = {
  api: { enabled: 'boolean', ...keys('string', 'grpcAddress grpcNetwork httpAddress') },
  'clients.default.writes': CLIENT,
  'clients.tenant.writes': CLIENT,
  'loggers.default': {
    output: 'list',
    ...keys('string', 'level timeFormat consoleTimeFormat fileName rsyslogNetwork rsyslogAddress'),
    ...keys('string', 'syslogPriority'),
    ...keys('boolean', 'noColor compress localTime'),
    ...keys('number', 'maxSize maxBackups maxAge'),
  },
  'metrics.default': {
    enabled: 'boolean',
    ...keys('string', 'address path certFile keyFile'),
    ...keys('number', 'readHeaderTimeout timeout'),
  },
  'pools.default.writes': { size: 'number' },
  'proxies.default.writes': { healthCheckPeriod: 'number' },
  'servers.default': SERVER,
  'servers.tenant': SERVER,
  raft: {
    ...keys('string', 'address nodeId directory grpcAddress certFile keyFile'),
    ...keys('boolean', 'isBootstrap isSecure'),
    peers: 'list',
  },
}

/** The type of every value, as it came over the wire. */
export function typesOf(
  params: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const typeOf = (value: unknown): string => (Array.isArray(value) ? 'list' : typeof value)
  return Object.fromEntries(Object.entries(params).map(([key, value]) => [key, typeOf(value)]))
}
