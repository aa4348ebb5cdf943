/**
 * The global configuration as plugins see it at onConfigLoaded: flat dotted keys, durations in
 * nanoseconds. Source: GatewayD's plugin contract, the table of hooks.
 */
import { Draft, type WrittenMap } from './draft.ts'
import { readTextFile } from './files.ts'
import { settle } from './load.ts'
import { Problems } from './problem.ts'
import type { Config } from './schema.ts'

const NANOSECONDS = 1_000_000
/** The keys whose values are durations, wherever they stand. */
const DURATIONS: ReadonlySet<string> = new Set([
  'lifetime',
  'backoff',
  'dialTimeout',
  'drainTimeout',
  'handshakeTimeout',
  'healthCheckPeriod',
  'idleTimeout',
  'loginTimeout',
  'readHeaderTimeout',
  'receiveDeadline',
  'receiveTimeout',
  'sendDeadline',
  'tcpKeepAlivePeriod',
  'tickInterval',
  'timeout',
  'upgradeTimeout',
  'waitTimeout',
  'workerTimeout',
])
/** Sections of a block that are never shown to a plugin, which could not give them back either. */
const SECRETS = ['startupParams', 'probeParams'] as const
const SECRET_NAMES: ReadonlySet<string> = new Set(SECRETS)

/** Every key with its value; maps become dots, lists stay lists. */
export function dottedKeys(config: Config): Readonly<Record<string, unknown>> {
  const flat: Record<string, unknown> = {}
  const visit = (value: unknown, path: readonly string[]): void => {
    const key = path.at(-1) ?? ''
    if (SECRET_NAMES.has(key)) return
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const [name, inner] of Object.entries(value)) visit(inner, [...path, name])
    } else if (typeof value === 'number' && DURATIONS.has(key)) {
      flat[path.join('.')] = value * NANOSECONDS
    } else if (value !== undefined) flat[path.join('.')] = value
  }
  visit(config, [])
  return flat
}

/** The same as a tree again, as a file would hold it. */
function written(flat: Readonly<Record<string, unknown>>): WrittenMap {
  const tree: WrittenMap = {}
  for (const [path, value] of Object.entries(flat)) {
    const keys = path.split('.')
    let section = tree
    for (const key of keys.slice(0, -1)) {
      const inner = (section[key] ?? {}) as WrittenMap
      section[key] = inner
      section = inner
    }
    section[keys.at(-1)!] = value as WrittenMap[string]
  }
  return tree
}

/**
 * The configuration with what plugins changed, checked like any other. Throws a ConfigError naming
 * every change that is refused; notices name the keys that nobody knows.
 */
export function withChanges(
  config: Config,
  changes: Readonly<Record<string, unknown>>,
): { readonly config: Config; readonly notices: readonly string[] } {
  const drafts = {
    global: new Draft('onConfigLoaded', written({ ...dottedKeys(config), ...namesIn(config) })),
    plugins: new Draft('plugins file'),
  }
  const overrides = { source: 'onConfigLoaded', values: changes }
  const surroundings = { env: {}, readFile: readTextFile, overrides }
  const settled = settle(drafts, surroundings, new Problems())
  return { config: restored(settled.config, config), notices: settled.notices }
}

type Block = Config['clients'][string][string]

/** Of what was not shown, as much as the rules ask for: who logs in where, without a password. */
function namesIn(config: Config): Readonly<Record<string, unknown>> {
  const names: Record<string, unknown> = {}
  for (const [group, blocks] of Object.entries(config.clients)) {
    for (const [block, client] of Object.entries(blocks)) {
      for (const section of SECRETS) {
        const params = client[section]
        if (params === undefined) continue
        const path = `clients.${group}.${block}.${section}`
        names[`${path}.user`] = params.user
        names[`${path}.database`] = params.database
      }
    }
  }
  return names
}

/** Secrets were not shown, so they are taken over as they were. */
function restored(parsed: Config, before: Config): Config {
  const clients = Object.fromEntries(
    Object.entries(parsed.clients).map(([group, blocks]) => [
      group,
      Object.fromEntries(
        Object.entries(blocks).map(([block, client]) => {
          return [block, { ...client, ...secretsOf(before.clients[group]?.[block]) }]
        }),
      ),
    ]),
  )
  return { ...parsed, clients: { ...parsed.clients, ...clients } }
}

function secretsOf(client: Block | undefined): Partial<Block> {
  const { startupParams, probeParams } = client ?? {}
  return {
    ...(startupParams === undefined ? {} : { startupParams }),
    ...(probeParams === undefined ? {} : { probeParams }),
  }
}
