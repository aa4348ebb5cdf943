/** Makes a configuration out of files, variables and flags, or says all that is wrong with it. */
import { dirname } from 'node:path'
import type * as z from 'zod'
import type { Address } from '../base/address.ts'
import { addDefaults, checkGroups, checkPluginNames } from './complete.ts'
import { Draft } from './draft.ts'
import type { Environment } from './expand.ts'
import { type FoundFile, findFiles, type ReadFile, readTextFile } from './files.ts'
import { checkLogins } from './logins.ts'
import { layOverrides, layVariables, type Overrides } from './overlay.ts'
import { parseDraft } from './parse.ts'
import { type PluginsConfig, pluginsSchema, settledPlugins } from './plugin-schema.ts'
import { checkPolicies } from './policies.ts'
import { Problems } from './problem.ts'
import { checkRoles } from './roles.ts'
import { type Config, globalSchema } from './schema.ts'
import { keysOf } from './shape.ts'
import { checkSharing } from './sharing.ts'
import { dropLeaked, dropRetired, keysIgnored } from './support.ts'
import { readYaml } from './yaml.ts'

/** What a configuration is made of. */
export interface LoadOptions {
  /** `-c`; left out: the usual places. */
  readonly configPath?: string | undefined
  /** `-p`; left out: the usual places, and no plugins where there is no file. */
  readonly pluginsPath?: string | undefined
  readonly env: Environment
  /** Settings of the global configuration that beat files and variables, by dotted key. */
  readonly overrides?: Overrides | undefined
  /** Reads a file; tests hand in their own. */
  readonly readFile?: ReadFile | undefined
}

/** A configuration that has been checked, and what the operator should know about it. */
export interface LoadedConfig {
  readonly config: Config
  readonly plugins: PluginsConfig
  /** The files that were read. */
  readonly sources: readonly string[]
  /** The variables of the environment that set a key. */
  readonly variables: readonly string[]
  /** Sentences to be logged as warnings, once. */
  readonly notices: readonly string[]
  /** What another process has settled for all that serve; left out: nothing yet. */
  readonly handed?: HandedOver
}

/** What a process that serves is told, because its gateway has settled it once for all of them. */
export interface HandedOver {
  /** The number of the configuration. */
  readonly generation: number
  /** Where each group listens. */
  readonly addresses: Readonly<Record<string, Address>>
  /** The plugins that have started, by place in the order: their numbers; null: a module. */
  readonly plugins: ReadonlyMap<number, number | null>
}

/**
 * Loads the configuration. Throws a GatewayError: CONFIG_MISSING where there is no file, else a
 * ConfigError (CONFIG_INVALID) with every problem in it.
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const readFile = options.readFile ?? readTextFile
  const found = findFiles(options.configPath, options.pluginsPath, readFile)
  const problems = new Problems()
  const read = (file: FoundFile, schema: z.ZodType): Draft | undefined => {
    const folder = dirname(file.path)
    return readYaml(file.path, file.text, schema, problems, { env: options.env, readFile, folder })
  }
  const global = read(found.global, globalSchema)
  const plugins =
    found.plugins === null ? new Draft('plugins file') : read(found.plugins, pluginsSchema)
  if (global === undefined || plugins === undefined) throw problems.error()
  const files = found.plugins === null ? [found.global] : [found.global, found.plugins]
  const settled = settle({ global, plugins }, { ...options, readFile }, problems)
  return {
    ...settled,
    sources: files.map((file) => file.path),
    notices: [...found.notices, ...settled.notices],
  }
}

/** Both configurations as written. */
export interface Drafts {
  readonly global: Draft
  readonly plugins: Draft
}

/** What is laid over the files. */
export interface Surroundings {
  readonly env: Environment
  readonly readFile: ReadFile
  readonly overrides?: Overrides | undefined
}

/** Lays variables and overrides over the drafts, completes and checks them. */
export function settle(
  drafts: Drafts,
  { env, readFile, overrides }: Surroundings,
  problems: Problems,
): Omit<LoadedConfig, 'sources'> {
  const { global, plugins } = drafts
  const notices: string[] = []
  const layers = [
    { draft: global, schema: globalSchema },
    { draft: plugins, schema: pluginsSchema },
  ]
  const { used, unused } = layVariables(layers, env, readFile, problems)
  if (unused.length > 0) notices.push(`variables that match no key: ${unused.join(', ')}`)
  if (overrides !== undefined) {
    notices.push(...layOverrides({ draft: global, schema: globalSchema }, overrides))
  }
  dropLeaked(global)
  notices.push(...dropRetired(plugins), ...addDefaults(global))
  notices.push(...checkGroups(global, problems))
  checkLogins(global, problems)
  notices.push(...checkRoles(global, problems))
  checkSharing(global, problems)
  checkPluginNames(plugins, problems)
  const config = parseDraft(global, globalSchema, PLUGINS_KEYS, problems)
  const parsed = parseDraft(plugins, pluginsSchema, GLOBAL_KEYS, problems)
  notices.push(...checkPolicies(plugins, problems))
  const ignored = layers.flatMap(({ draft, schema }) => keysIgnored(draft, schema))
  if (ignored.length > 0) notices.push(`accepted, not acted on yet: ${ignored.join(', ')}`)
  if (config === undefined || parsed === undefined || problems.any()) throw problems.error()
  return { config, plugins: settledPlugins(parsed), variables: used, notices }
}

const PLUGINS_KEYS = { file: 'the plugins file', keys: keysOf(pluginsSchema) }
const GLOBAL_KEYS = { file: 'the global file', keys: keysOf(globalSchema) }
