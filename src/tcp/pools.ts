/** Makes the pools of a service, and the gate where the gateway itself lets clients in. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isLocal, parseAddress } from '../base/address.ts'
import { GatewayError } from '../base/errors.ts'
import { poolSize } from '../config/pool-size.ts'
import {
  type ClientConfig,
  INSISTING_MODES,
  type PoolConfig,
  type ProxyConfig,
  type ServerConfig,
} from '../config/schema.ts'
import { certificateBinding } from '../protocols/postgres/login/certificate-binding.ts'
import { ServerLogin } from '../protocols/postgres/login/server-login.ts'
import { parseUserFile } from '../protocols/postgres/login/user-file.ts'
import { Users } from '../protocols/postgres/login/users.ts'
import { type SharingTerms, sharingTerms } from '../protocols/postgres/sharing/terms.ts'
import type {
  Gate,
  PoolLogin,
  Protocol,
  RoleErrands,
  ShownCertificate,
} from '../protocols/protocol.ts'
import { Pool } from '../upstream/pool.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { KeptServer } from './kept-server.ts'
import { ServerPool } from './server-pool.ts'

/** What the configuration says of one block. */
export interface BlockConfig {
  readonly client: ClientConfig
  readonly pool: PoolConfig
  readonly proxy: ProxyConfig
}

/** One for the process: a user's salt is the same over reloads. */
const saltKey = randomBytes(32)

/**
 * The pool of one upstream; null where every client has a connection of its own. `share` says what
 * of its size is for this process.
 */
export function createServerPool(
  upstream: Upstream,
  protocol: Protocol,
  { client, pool, proxy }: BlockConfig,
  share: (size: number) => number = (size) => size,
): ServerPool | null {
  const login = loginOf(client, pool)
  if (login === null && pool.mode === 'none') return null
  const connections = new Pool<KeptServer>({
    sizeMax: pool.mode === 'none' ? Number.POSITIVE_INFINITY : share(poolSize(pool.size)),
    waitTimeoutMs: pool.waitTimeout,
  })
  const errands = login === null ? null : (protocol.errands?.(login) ?? null)
  return new ServerPool({
    upstream,
    pool: connections,
    keeping:
      errands === null
        ? null
        : {
            errands,
            pool: connections,
            baseline: null,
            terms: pool.mode === 'transaction' ? termsOf(pool) : null,
            lifetimeMs: pool.lifetime,
            now: performance.now(),
          },
    checkPeriodMs: proxy.healthCheckPeriod,
    idleTimeoutMs: pool.idleTimeout,
    lifetimeMs: pool.lifetime,
  })
}

function termsOf(pool: PoolConfig): SharingTerms {
  return sharingTerms({
    strict: pool.strict,
    serverStatementsMax: pool.preparedStatementsMax,
    clientStatementsMax: pool.clientStatementsMax,
    statementBytesMax: pool.statementBytesMax,
  })
}

function loginOf(client: ClientConfig, pool: PoolConfig): PoolLogin | null {
  const { startupParams } = client
  if (startupParams === undefined) return null
  const shares = pool.mode === 'transaction'
  return { ...accountOf(startupParams, client), resetQuery: pool.resetQuery, shares }
}

function accountOf(params: NonNullable<ClientConfig['startupParams']>, client: ClientConfig) {
  const { sslMode, address, network } = client
  return {
    user: params.user,
    database: databaseOf(params),
    password: params.password,
    cleartextPermitted:
      INSISTING_MODES.includes(sslMode) || isLocal(parseAddress(address, network)!),
  }
}

/** What a database is asked about its role; null where that does not matter. */
export function roleErrandsOf(client: ClientConfig, protocol: Protocol): RoleErrands | null {
  const params = client.probeParams ?? client.startupParams
  if (client.role === 'any' || params === undefined) return null
  return protocol.roleErrands?.(accountOf(params, client)) ?? null
}

function databaseOf({ database, user }: NonNullable<ClientConfig['startupParams']>): string {
  return database || user
}

export interface GateOptions {
  readonly group: string
  readonly server: ServerConfig
  /** The blocks of the group. */
  readonly clients: Readonly<Record<string, ClientConfig>>
  readonly pools: Readonly<Record<string, PoolConfig>>
  /** True where a plugin may answer logins. */
  readonly hasDecider: boolean
  readonly turnedAway: (reason: string) => void
}

/**
 * How the clients of a server are let in; null where their database asks them. Throws
 * CONFIG_INVALID where the user file cannot be used, and where nobody would let anybody in.
 */
export function createGate(options: GateOptions): Gate | null {
  const { group, server, clients, pools, hasDecider, turnedAway } = options
  const { startupParams } = Object.values(clients).find((client) => client.startupParams) ?? {}
  if (startupParams === undefined) return null
  const { auth } = server
  const database = databaseOf(startupParams)
  const shares = Object.values(pools).some(({ mode }) => mode === 'transaction')
  if (auth === '') {
    if (hasDecider) return { doorkeeper: null, database, shares, turnedAway }
    const problem = `servers.${group}: the gateway logs in to the database by itself, and nobody`
    const cure = `set servers.${group}.auth, or a plugin that answers logins`
    throw new GatewayError(
      'CONFIG_INVALID',
      `${problem} would ask its clients who they are; ${cure}`,
    )
  }
  const key = `servers.${group}.authFile`
  const users = auth === 'trust' ? new Users([]) : readUsers(server.authFile, key)
  const doorkeeper: Gate['doorkeeper'] = (certificate) =>
    new ServerLogin({ method: auth, users, binding: certificate && bindingOf(certificate) })
  return { doorkeeper, database, shares, turnedAway }
}

const bindings = new WeakMap<ShownCertificate, Uint8Array | null>()

/** What channel binding binds to; looked up once for each certificate. */
function bindingOf(certificate: ShownCertificate): Uint8Array | null {
  const known = bindings.get(certificate)
  if (known !== undefined) return known
  const binding = certificateBinding(certificate.pem)
  bindings.set(certificate, binding)
  return binding
}

function readUsers(path: string, key: string): Users {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (cause) {
    throw new GatewayError('CONFIG_INVALID', `${key}: ${path} cannot be read`, { cause })
  }
  const file = parseUserFile(bytes, { saltKey })
  if (file.kind === 'users') return file.users
  const lines = file.problems.map(({ line, message }) =>
    line === 0 ? `${path}: ${message}` : `${path}:${line}: ${message}`,
  )
  throw new GatewayError('CONFIG_INVALID', `${key} cannot be used:\n${lines.join('\n')}`)
}
