/** The shape, the defaults and the help of every key of the global file. */
import type * as z from 'zod'
import { addressFlaw } from '../base/address.ts'
import { isMap } from './draft.ts'
import {
  address,
  blocks,
  choice,
  choices,
  count,
  countOrAuto,
  decimal,
  duration,
  flag,
  formedText,
  formedTexts,
  groups,
  limit,
  requiredCount,
  requiredText,
  secret,
  section,
  sections,
  text,
  whereRead,
} from './fields.ts'
import { pool } from './pool-schema.ts'

const NETWORKS = ['tcp', 'udp', 'unix'] as const
const OUTPUTS = ['console', 'stdout', 'stderr', 'file', 'syslog', 'rsyslog'] as const
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'panic', 'disabled'] as const
const TIME_FORMATS = ['unix', 'unixms', 'unixmicro', 'unixnano'] as const
const SYSLOG_PRIORITIES = [
  'debug',
  'info',
  'notice',
  'warning',
  'err',
  'crit',
  'alert',
  'emerg',
] as const
/** Go's names of its time layouts. */
const CONSOLE_TIME_FORMATS = [
  'Layout',
  'ANSIC',
  'UnixDate',
  'RubyDate',
  'RFC822',
  'RFC822Z',
  'RFC850',
  'RFC1123',
  'RFC1123Z',
  'RFC3339',
  'RFC3339Nano',
  'Kitchen',
  'Stamp',
  'StampMilli',
  'StampMicro',
  'StampNano',
] as const
const STRATEGIES = ['ROUND_ROBIN', 'RANDOM', 'WEIGHTED_ROUND_ROBIN', 'LEAST_CONNECTIONS'] as const
const ROLES = ['any', 'primary', 'standby'] as const
const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
/** Those that permit no connection without TLS. */
export const INSISTING_MODES: readonly string[] = ['require', 'verify-ca', 'verify-full']
const CLIENT_CERTS = ['none', 'optional', 'required'] as const
const TLS_VERSIONS = ['1.2', '1.3'] as const

/** Where a server listens if nothing else is said. */
export const SERVER_ADDRESS = '0.0.0.0:15432'

const INT_MAX = 2_147_483_647
const MIB = 1_048_576
const GIB = 1024 * MIB

const logger = section('Where log lines go and what they look like.', {
  output: choices(OUTPUTS, ['console'], 'Where lines go; several at once are possible.'),
  level: choice(LEVELS, 'info', 'The least severe level that is written.'),
  timeFormat: choice(TIME_FORMATS, 'unix', 'The time field of JSON lines.'),
  consoleTimeFormat: choice(CONSOLE_TIME_FORMATS, 'RFC3339', 'The time of console lines.'),
  noColor: flag(false, 'No colours on the console.'),
  fileName: text('gatewayd.log', 'The file of the output `file`.'),
  maxSize: count(500, 0, INT_MAX, 'Megabytes of the log file before it is rotated.'),
  maxBackups: count(5, 0, INT_MAX, 'Rotated files kept; 0 with maxAge 0 keeps all.'),
  maxAge: count(30, 0, INT_MAX, 'Days that rotated files are kept.'),
  compress: flag(true, 'Rotated files are compressed.'),
  localTime: flag(false, 'Local time instead of UTC in the names of rotated files.'),
  rsyslogNetwork: choice(NETWORKS, 'tcp', 'Network of the output `rsyslog`.'),
  rsyslogAddress: text('localhost:514', 'Address of the output `rsyslog`.'),
  syslogPriority: choice(SYSLOG_PRIORITIES, 'info', 'Priority of lines sent to syslog.'),
})

const metrics = section('The page of Prometheus metrics; only the group `default` is served.', {
  enabled: flag(true, 'Serve the page.'),
  address: address('localhost:9090', 'Where the page is served.'),
  path: formedText('/metrics', 'a path that starts with /', /^\/\S*$/, 'The path of the page.'),
  readHeaderTimeout: duration('10s', 'Time to read the headers of a request.'),
  timeout: duration('10s', 'Time to read a request, to answer it, and to stay idle.'),
  certFile: text('', 'Certificate (PEM) to serve the page over HTTPS.'),
  keyFile: text('', 'Key (PEM) of that certificate.'),
}).refine((at) => (at.certFile === '') === (at.keyFile === ''), {
  path: ['keyFile'],
  error: 'must be given together with certFile',
  when: whereRead('certFile', 'keyFile'),
})

const startupParams = secret(
  section('Who the gateway logs in as on the connections of its pool.', {
    user: text('', 'The role.'),
    database: text('', 'The database; empty: the one with the name of the role.'),
    password: secret(text('', 'The password: a text, a variable or file:PATH.')),
  }),
)

const probeParams = secret(
  section('Who the gateway logs in as to ask a database for its role.', {
    user: text('', 'A role without any privilege.'),
    database: text('', 'A database; empty: the one with the name of the role.'),
    password: secret(text('', 'The password: a text, a variable or file:PATH.')),
  }),
)

interface Addressed {
  readonly network: string
  readonly address: string
}

/** An address is a path where the network is `unix`. */
const addressFits = (at: Addressed): boolean => addressFlaw(at.address, at.network) === null

const ADDRESS_RULE = {
  path: ['address'],
  error: ({ input }: { readonly input?: unknown }) => {
    const { address = '', network = '' } = isMap(input) ? input : {}
    return addressFlaw(String(address), String(network)) ?? undefined
  },
  when: whereRead('network', 'address'),
}

const client = section('How the gateway connects to a database.', {
  network: choice(NETWORKS, 'tcp', 'Either tcp, unix with a path as the address, or udp.'),
  address: text('localhost:5432', 'The address of the database.'),
  tcpKeepAlive: flag(false, 'TCP keep-alive on these connections.'),
  tcpKeepAlivePeriod: duration('30s', 'Time between keep-alive probes.'),
  receiveChunkSize: count(8192, 0, GIB, 'Bytes a read.'),
  receiveDeadline: duration('0s', 'Longest life of a connection, from its start; 0: none.'),
  receiveTimeout: duration('0s', 'Longest wait for bytes while a reply is owed; 0: none.'),
  sendDeadline: duration('0s', 'Longest wait for bytes to be taken; 0: none.'),
  dialTimeout: duration('60s', 'Longest wait for one attempt to connect; 0: none.'),
  retries: count(3, 0, 1000, 'Attempts to connect after the first.'),
  backoff: duration('1s', 'Wait before the second attempt; it grows by backoffMultiplier.'),
  backoffMultiplier: decimal(2, 1000, 'Growth of the wait; at most 10 unless disableBackoffCaps.'),
  disableBackoffCaps: flag(false, 'No caps on the growth (10) and the wait (60s).'),
  sslMode: choice(
    SSL_MODES,
    'disable',
    'TLS to the database, with the words of libpq; allow is as prefer.',
  ),
  sslRootCert: text('', 'Authorities (PEM) that the database is checked against, or system.'),
  sslCert: text('', 'Certificate (PEM) shown to the database.'),
  sslKey: text('', 'Key (PEM) of that certificate.'),
  startupParams: startupParams.optional(),
  role: choice(
    ROLES,
    'any',
    'What the database must be: primary (of these blocks the one that is gets the writes), or ' +
      'standby (gets what is routed there).',
  ),
  probeParams: probeParams.optional(),
})
  .refine(addressFits, ADDRESS_RULE)
  .refine((at) => !at.sslMode.startsWith('verify-') || at.sslRootCert !== '', {
    path: ['sslRootCert'],
    error: 'must name a file of authorities (PEM), or be system, for this sslMode',
    when: whereRead('sslMode', 'sslRootCert'),
  })
  .refine((at) => at.sslRootCert !== 'system' || at.sslMode === 'verify-full', {
    path: ['sslRootCert'],
    error: 'may be system with sslMode verify-full only: anybody can get a certificate of those',
    when: whereRead('sslMode', 'sslRootCert'),
  })
  .refine((at) => (at.sslCert === '') === (at.sslKey === ''), {
    path: ['sslKey'],
    error: 'must be given together with sslCert',
    when: whereRead('sslCert', 'sslKey'),
  })
  .refine((at) => at.network !== 'unix' || !INSISTING_MODES.includes(at.sslMode), {
    path: ['sslMode'],
    error: 'must be disable, allow or prefer for the network unix, where no TLS is spoken',
    when: whereRead('network', 'sslMode'),
  })

const proxy = section('The path between the clients of a server and one block.', {
  healthCheckPeriod: duration(
    '60s',
    'Time between probes of a database that is up, and of its idle connections; 0: none.',
  ),
})

const weight = section('The share of one block.', {
  proxyName: requiredText('The name of the block.'),
  weight: requiredCount(1, 1_000_000, 'Its share, against the sum of all.'),
})

const balancingRule = section('How connections are shared out.', {
  condition: choice(['DEFAULT'], 'DEFAULT', 'When the rule holds.'),
  distribution: sections(weight, 'The shares of the blocks.').refine((all) => all.length > 0, {
    error: 'must name at least one block',
  }),
})

const consistentHash = section(
  'Keeps a client on one block, whatever the strategy; with weights where it has them.',
  {
    useSourceIp: flag(false, 'By the IP address of the client alone, without its port.'),
  },
)

const loadBalancer = section('Which block a new connection goes to.', {
  strategy: choice(STRATEGIES, 'ROUND_ROBIN', 'How the next block is found.'),
  consistentHash: consistentHash.optional(),
  loadBalancingRules: sections(
    balancingRule,
    'Shares for WEIGHTED_ROUND_ROBIN or LEAST_CONNECTIONS; the first rule holds.',
  ),
}).refine((at) => at.strategy !== 'WEIGHTED_ROUND_ROBIN' || at.loadBalancingRules.length > 0, {
  path: ['loadBalancingRules'],
  error: 'must hold at least one rule for the strategy WEIGHTED_ROUND_ROBIN',
  when: whereRead('strategy', 'loadBalancingRules'),
})

const MODE = /^0[0-7]{3}$/

const PROTOCOLS = ['postgres', 'raw'] as const
/** Empty: the server asks, or a plugin. */
const AUTH_METHODS = ['', 'trust', 'scram-sha-256', 'md5'] as const

const certificate = section('A certificate for some names of servers.', {
  serverNames: formedTexts(
    'a name such as db.example.org or *.example.org',
    /^(\*\.)?[\w-]+(\.[\w-]+)*$/,
    'The names that clients ask for.',
  ),
  certFile: requiredText('Certificate (PEM) shown to those clients.'),
  keyFile: requiredText('Key (PEM) of that certificate.'),
}).refine((at) => at.serverNames.length > 0, {
  path: ['serverNames'],
  error: 'must hold at least one name: the certificate for all others is that of certFile',
  when: whereRead('serverNames'),
})

const server = section('Where clients connect, and what they may use up.', {
  network: choice(NETWORKS, 'tcp', 'Either tcp, unix with a path as the address, or udp.'),
  address: text(
    SERVER_ADDRESS,
    'Where the gateway listens; psql -h /run finds /run/.s.PGSQL.5432.',
  ),
  socketMode: formedText(
    '0777',
    'four octal digits such as "0660"',
    MODE,
    'Mode of a Unix socket.',
  ),
  protocol: choice(PROTOCOLS, 'postgres', 'What the bytes are: postgres, or raw for any other.'),
  sessionsMax: count(10_000, 1, 1_000_000, 'Clients at once; one more is refused.'),
  idleTimeout: duration('0s', 'Longest silence of a client; 0: none, with udp 1m.'),
  loginTimeout: duration('1m', 'Longest time until a client has logged in; 0: none.'),
  messageBytesMax: count(16 * MIB, 1024, GIB, 'Longest message or reply given to a plugin.'),
  bufferedBytesMax: count(256 * MIB, 1024, 1024 * GIB, 'Bytes held for all clients together.'),
  enableTicker: flag(false, 'Call the hook onTick.'),
  tickInterval: duration('5s', 'Time between calls of onTick.'),
  enableTLS: flag(false, 'Offer TLS to clients.'),
  requireTLS: flag(false, 'Refuse clients without TLS.'),
  certFile: text('', 'Certificate (PEM) shown to clients.'),
  keyFile: text('', 'Key (PEM) of that certificate.'),
  handshakeTimeout: duration('5s', 'Longest TLS handshake; 0: none.'),
  auth: choice(AUTH_METHODS, '', 'How the gateway checks who a client is; empty: not at all.'),
  authFile: text('', 'Users and their secrets, in the format of PgBouncer’s auth_file.'),
  authTrustRemote: flag(false, 'Permits auth: trust where not only this machine can connect.'),
  tlsMinVersion: choice(TLS_VERSIONS, '1.2', 'The oldest version of TLS that is spoken.'),
  certificates: sections(certificate, 'Other certificates, by the name that clients ask for.'),
  clientCert: choice(CLIENT_CERTS, 'none', 'Certificates of clients: whether they are asked for.'),
  clientCaFile: text('', 'Authorities (PEM) that certificates of clients are checked against.'),
  loadBalancer: loadBalancer.prefault({}),
})
  .refine(addressFits, ADDRESS_RULE)
  .refine((at) => at.bufferedBytesMax >= at.messageBytesMax, {
    path: ['bufferedBytesMax'],
    error: 'must be at least messageBytesMax',
    when: whereRead('messageBytesMax', 'bufferedBytesMax'),
  })
  .refine((at) => !at.enableTLS || at.certFile !== '', {
    path: ['certFile'],
    error: 'must name a certificate (PEM), because enableTLS is true',
    when: whereRead('enableTLS', 'certFile'),
  })
  .refine((at) => !at.enableTLS || at.keyFile !== '', {
    path: ['keyFile'],
    error: 'must name the key (PEM) of the certificate, because enableTLS is true',
    when: whereRead('enableTLS', 'keyFile'),
  })
  .refine((at) => !at.enableTLS || at.protocol === 'postgres', {
    path: ['enableTLS'],
    error: 'must be false for the protocol raw: TLS is begun with messages of PostgreSQL',
    when: whereRead('enableTLS', 'protocol'),
  })
  .refine((at) => at.network !== 'udp' || at.protocol === 'raw', {
    path: ['protocol'],
    error: 'must be raw for the network udp: PostgreSQL speaks in streams',
    when: whereRead('network', 'protocol'),
  })
  .refine((at) => !at.requireTLS || at.enableTLS, {
    path: ['requireTLS'],
    error: 'must be false where enableTLS is: nobody could connect',
    when: whereRead('enableTLS', 'requireTLS'),
  })
  .refine((at) => at.clientCert === 'none' || at.clientCaFile !== '', {
    path: ['clientCaFile'],
    error: 'must name a file of authorities (PEM), because clientCert asks for certificates',
    when: whereRead('clientCert', 'clientCaFile'),
  })
  .refine((at) => at.clientCert === 'none' || at.enableTLS, {
    path: ['clientCert'],
    error: 'must be none where enableTLS is false: certificates are shown within TLS only',
    when: whereRead('clientCert', 'enableTLS'),
  })

const api = section('The administration API.', {
  enabled: flag(true, 'Serve it.'),
  httpAddress: address('localhost:18080', 'Where JSON over HTTP is served.'),
  grpcNetwork: choice(NETWORKS, 'tcp', 'Network of the gRPC address.'),
  grpcAddress: text('localhost:19090', 'Where gRPC is served.'),
})

const peer = section('Another gateway.', {
  id: requiredText('Its nodeId.'),
  address: requiredText('Its Raft address.'),
  grpcAddress: requiredText('Its gRPC address.'),
})

const raft = section('State shared between several gateways.', {
  address: address('127.0.0.1:2223', 'Where Raft listens.'),
  nodeId: text('node1', 'The name of this gateway among its peers; empty: the host name.'),
  isBootstrap: flag(true, 'This gateway starts the cluster.'),
  isSecure: flag(false, 'TLS between gateways.'),
  certFile: text('', 'Certificate (PEM) for it.'),
  keyFile: text('', 'Key (PEM) of that certificate.'),
  grpcAddress: address('127.0.0.1:50051', 'Where peers call this gateway.'),
  directory: text('raft', 'The folder of the shared state.'),
  peers: sections(peer, 'The other gateways.'),
})

/** The whole of the global file. */
export const globalSchema = section('The gateway.', {
  loggers: groups(logger, 'Loggers by group.'),
  metrics: groups(metrics, 'Metrics by group.'),
  clients: groups(blocks(client, 'Databases of one group.'), 'Databases by group and block.'),
  pools: groups(blocks(pool, 'Pools of one group.'), 'Pools by group and block.'),
  proxies: groups(blocks(proxy, 'Proxies of one group.'), 'Proxies by group and block.'),
  servers: groups(server, 'Servers by group; each uses all blocks of its group.'),
  api: api.prefault({}),
  raft: raft.prefault({}),
  workers: countOrAuto(1, 1, 256, 'Processes that serve clients; auto: one a processor.'),
  workerTimeout: limit('30s', 'A worker that says nothing for longer is replaced; 0: never.'),
  drainTimeout: limit('30s', 'Longest wait for clients to finish, at a stop or a reload.'),
  generationsMax: count(4, 2, 100, 'Configurations that clients may use at once, over reloads.'),
  upgradeTimeout: limit('60s', 'Longest wait for another executable to be ready to take over.'),
  upgradesMax: count(8, 1, 100, 'Earlier processes whose clients may still be there, by upgrades.'),
})

/** Everything inside is read only: a configuration is replaced, never changed. */
export type Immutable<T> = T extends readonly (infer Item)[]
  ? readonly Immutable<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Immutable<T[Key]> }
    : T

/** The global configuration; durations are milliseconds. */
export type Config = Immutable<z.output<typeof globalSchema>>
export type LoggerConfig = Immutable<z.output<typeof logger>>
export type MetricsConfig = Immutable<z.output<typeof metrics>>
export type ClientConfig = Immutable<z.output<typeof client>>
export type PoolConfig = Immutable<z.output<typeof pool>>
export type ProxyConfig = Immutable<z.output<typeof proxy>>
export type ServerConfig = Immutable<z.output<typeof server>>
