/** A configuration out of flags alone, for a run without any file. */
import { parseAddress } from '../base/address.ts'
import { GatewayError } from '../base/errors.ts'
import { Draft, type WrittenMap } from './draft.ts'
import type { Environment } from './expand.ts'
import { readTextFile } from './files.ts'
import { type LoadedConfig, settle } from './load.ts'
import type { Overrides } from './overlay.ts'
import { Problems } from './problem.ts'

/** A plugin named by `--plugin PATH[@sha256:HEX]`; its name is the manifest's. */
export interface PluginFlag {
  readonly localPath: string
  /** 64 lowercase hexadecimal digits, or null. */
  readonly checksum: string | null
}

const PIN = '@sha256:'
const DIGEST = /^[0-9A-Fa-f]{64}$/

/** Reads `PATH[@sha256:HEX]`; throws USAGE for anything else. */
export function parsePluginFlag(text: string): PluginFlag {
  const at = text.lastIndexOf(PIN)
  const localPath = at === -1 ? text : text.slice(0, at)
  if (localPath === '') {
    throw new GatewayError('USAGE', `--plugin ${text}: name a file, as in --plugin FILE`)
  }
  if (at === -1) return { localPath, checksum: null }
  const digest = text.slice(at + PIN.length)
  if (!DIGEST.test(digest)) {
    const message = `--plugin ${localPath}: 64 hexadecimal digits must follow ${PIN}`
    throw new GatewayError('USAGE', `${message} (sha256sum ${localPath} prints them)`)
  }
  return { localPath, checksum: digest.toLowerCase() }
}

/** The flags of a run without files. */
export interface FlagOptions {
  /** Where the database is: `HOST:PORT`, or the path of a Unix socket. */
  readonly upstream: string
  /** Where clients connect: `HOST:PORT`, or the path of a Unix socket. */
  readonly listen: string
  /** Where metrics are served; left out: nowhere. */
  readonly metrics?: string | undefined
  readonly plugins: readonly PluginFlag[]
  /** Variables set what no flag sets; left out: none. */
  readonly env?: Environment | undefined
  /** Further settings, by dotted key. */
  readonly overrides?: Readonly<Record<string, unknown>> | undefined
}

/** An address of a flag as the keys `network` and `address`. */
function place(flag: string, text: string): WrittenMap {
  if (text.startsWith('/')) return { network: 'unix', address: text }
  if (parseAddress(text, 'tcp') !== null) return { network: 'tcp', address: text }
  const forms = 'HOST:PORT, [V6]:PORT, :PORT or the path of a Unix socket'
  throw new GatewayError('USAGE', `${flag} ${text}: must be ${forms}`)
}

function metricsOf(text: string | undefined): Overrides['values'] {
  if (text === undefined) return { 'metrics.default.enabled': false }
  if (parseAddress(text, 'tcp') === null) {
    throw new GatewayError('USAGE', `--metrics ${text}: must be HOST:PORT, [V6]:PORT or :PORT`)
  }
  return { 'metrics.default.enabled': true, 'metrics.default.address': text }
}

/** Settings by dotted key out of a map of them. */
function under(prefix: string, map: WrittenMap): Overrides['values'] {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [`${prefix}.${key}`, value]))
}

/**
 * The configuration that the flags mean, with the defaults for all else. Throws USAGE for a flag
 * that cannot be read, and a ConfigError for variables that cannot.
 */
export function configFromFlags(options: FlagOptions): LoadedConfig {
  const values = {
    ...under('clients.default.writes', place('--upstream', options.upstream)),
    ...under('servers.default', place('--listen', options.listen)),
    ...metricsOf(options.metrics),
    ...options.overrides,
  }
  // Parsed under a name that stands for the missing one, which the manifest gives later.
  const plugins = options.plugins.map((flag, position) => ({
    name: `--plugin ${position + 1}`,
    localPath: flag.localPath,
    checksum: flag.checksum ?? '',
  }))
  const drafts = { global: new Draft('flags'), plugins: new Draft('flags', { plugins }) }
  const surroundings = {
    env: options.env ?? {},
    readFile: readTextFile,
    overrides: { source: 'flags', values },
  }
  const settled = settle(drafts, surroundings, new Problems())
  const unnamed = settled.plugins.plugins.map((entry) => ({ ...entry, name: null }))
  return { ...settled, plugins: { ...settled.plugins, plugins: unnamed }, sources: [] }
}
