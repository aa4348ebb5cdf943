/** What a plugin's process finds in its environment: little of ours, and the handshake last. */
import { GatewayError } from '../../base/errors.ts'
import type { PluginSpec } from '../plugin.ts'

/** Name and value by which GatewayD's plugins know that a gateway started them. */
export const COOKIE_NAME = 'GATEWAYD_PLUGIN'
export const COOKIE_VALUE = '5712b87aa5d7e9f9e9ab643e6603181c5b796015cb1c09d6f5ada882bf2a1872'

/** Ours, our runtime's and the database's hold secrets and switches: never by a wildcard. */
const PROTECTED = ['BUN_', 'POSTERN_', 'GATEWAYD_', 'PG']

type Environment = Readonly<Record<string, string | undefined>>

/** What the handshake adds, beside what is always the same. */
export interface HandshakeSettings {
  /** PEM of the certificate by which the gateway identifies itself. */
  readonly certificate: string
  /** Where the plugin's socket should be made. */
  readonly socketFolder: string
}

function isInherited(name: string, patterns: readonly string[]): boolean {
  if (patterns.includes(name)) return true
  if (PROTECTED.some((prefix) => name.startsWith(prefix))) return false
  return patterns.some((each) => each.endsWith('*') && name.startsWith(each.slice(0, -1)))
}

function inherited(ours: Environment, inheritEnv: PluginSpec['inheritEnv']): [string, string][] {
  const taken: [string, string][] = []
  for (const [name, value] of Object.entries(ours)) {
    if (value === undefined) continue
    if (inheritEnv === true || isInherited(name, inheritEnv)) taken.push([name, value])
  }
  return taken
}

function entries(plugin: string, env: readonly string[]): [string, string][] {
  return env.map((entry, index) => {
    const equals = entry.indexOf('=')
    if (equals > 0) return [entry.slice(0, equals), entry.slice(equals + 1)]
    // The value is not shown: without its name in front it may well be a secret.
    const problem = `env[${index}] of plugin ${plugin} is not NAME=value; give it a name`
    throw new GatewayError('CONFIG_INVALID', problem)
  })
}

/**
 * The whole environment of a plugin's process. The entry's own `env` beats what is inherited,
 * which beats GatewayD's defaults; nothing beats the handshake.
 */
export function environmentOf(
  plugin: string,
  spec: Pick<PluginSpec, 'env' | 'inheritEnv'>,
  ours: Environment,
  handshake: HandshakeSettings,
): Record<string, string> {
  const environment = Object.fromEntries([
    ['MAGIC_COOKIE_KEY', COOKIE_NAME],
    ['MAGIC_COOKIE_VALUE', COOKIE_VALUE],
    ...inherited(ours, spec.inheritEnv),
    ...entries(plugin, spec.env),
    [COOKIE_NAME, COOKIE_VALUE],
    ['PLUGIN_MIN_PORT', '50000'],
    ['PLUGIN_MAX_PORT', '60000'],
    ['PLUGIN_PROTOCOL_VERSIONS', '1'],
    ['PLUGIN_CLIENT_CERT', handshake.certificate],
    ['PLUGIN_UNIX_SOCKET_DIR', handshake.socketFolder],
  ])
  // Set, it would make the plugin expect a broker that we do not speak.
  delete environment['PLUGIN_MULTIPLEX_GRPC']
  return environment
}
