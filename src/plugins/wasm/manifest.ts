/** The manifest that a guest's `describe` outputs: read once, checked, with its defaults. */
import { z } from 'zod'
import { GatewayError } from '../../base/errors.ts'
import { type HookName, hookNamed, snakeCase } from '../../hooks/hook.ts'
import type { Unit } from '../../hooks/step.ts'
import type { MetricSpec } from '../../metrics/meter.ts'
import { POSTGRES } from '../../protocols/postgres/postgres.ts'
import type { GuestShape } from './abi.ts'
import { MANIFEST_BYTES_MAX, MANIFEST_ITEMS_MAX } from './limits.ts'
import { decodeText } from './memory.ts'
import { type ConfigSchema, parseConfigSchema } from './schema.ts'

/** A hook that the plugin wants, and how its input is cut. */
export interface ManifestHook {
  readonly name: HookName
  readonly unit: Unit
  /** Null: all messages. */
  readonly messages: readonly string[] | null
}

/** A manifest of ABI 1. */
export interface WasmManifest {
  readonly name: string
  readonly version: string
  readonly description: string
  readonly authors: readonly string[]
  readonly license: string
  readonly projectUrl: string
  readonly tags: readonly string[]
  readonly categories: readonly string[]
  readonly hooks: readonly ManifestHook[]
  readonly requires: readonly { readonly name: string; readonly version: string }[]
  readonly metrics: readonly MetricSpec[]
  readonly config: ConfigSchema
  /** With how many worker processes it does what it promises; null: with any number. */
  readonly workers: number | null
  /** `local`: each process has key-value data of its own, also where a shared store is set. */
  readonly store: 'shared' | 'local'
}

const ABI_VERSION = 1
const TEXT_CHARS_MAX = 4096
const LABELS_MAX = 16
/** Hooks whose input is traffic, and may be cut and chosen. */
const TRAFFIC: ReadonlySet<HookName> = new Set([
  'onTrafficFromClient',
  'onTrafficToServer',
  'onTrafficFromServer',
  'onTrafficToClient',
])
const FROM_CLIENT: ReadonlySet<HookName> = new Set(['onTrafficFromClient', 'onTrafficToServer'])
const TO_CLIENT: ReadonlySet<HookName> = new Set(['onTrafficFromServer', 'onTrafficToClient'])

const text = z.string().max(TEXT_CHARS_MAX)
const listOf = <Item extends z.ZodType>(item: Item) => z.array(item).max(MANIFEST_ITEMS_MAX)

const SHAPE = z.strictObject({
  abi: z.literal(ABI_VERSION, { error: `must be ${ABI_VERSION}, the ABI of this gateway` }),
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
    error: 'must be letters, digits, dots, dashes and underscores, at most 64',
  }),
  version: text.min(1),
  description: text.default(''),
  authors: listOf(text).default([]),
  license: text.default(''),
  projectUrl: text.default(''),
  tags: listOf(text).default([]),
  categories: listOf(text).default([]),
  hooks: listOf(
    z.strictObject({
      name: text,
      unit: z.enum(['message', 'batch', 'reply']).optional(),
      messages: listOf(text.min(1)).min(1).optional(),
    }),
  ),
  requires: listOf(z.strictObject({ name: text.min(1), version: text.min(1) })).default([]),
  metrics: listOf(
    z.strictObject({
      name: text.min(1),
      type: z.enum(['counter', 'gauge', 'histogram']),
      help: text.default(''),
      labels: z.array(text.min(1)).max(LABELS_MAX).default([]),
      buckets: listOf(z.number()).min(1).optional(),
    }),
  ).default([]),
  config: z.unknown().optional(),
  workers: z.number().int().min(1).nullable().default(null),
  store: z.enum(['shared', 'local']).default('shared'),
})

type Listed = z.infer<typeof SHAPE>

/** `hooks.0.name` as people write it: `hooks[0].name`. */
function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '')
}

function readHook(listed: Listed['hooks'][number], path: string): ManifestHook | string {
  const { name, unit, messages } = listed
  const row = hookNamed(name)
  if (row === undefined) return `${path}.name: no hook is called "${name}"`
  if (row.kind === 'reserved') return `${path}.name: ${name} is never called`
  if (!TRAFFIC.has(row.name) && (unit !== undefined || messages !== undefined)) {
    return `${path}: unit and messages are for the traffic hooks, not for ${name}`
  }
  if (unit === 'reply' && !TO_CLIENT.has(row.name)) {
    return `${path}.unit: there are no replies in ${name}; use message or batch`
  }
  const from = FROM_CLIENT.has(row.name) ? 'client' : 'server'
  const unknown = messages?.find((message) => POSTGRES.tag(from, message) === undefined)
  if (unknown !== undefined) return `${path}.messages: no ${from} sends a message "${unknown}"`
  return { name: row.name, unit: unit ?? 'message', messages: messages ?? null }
}

/** What is wrong between the listed hooks and the exported ones, or null. */
function exportFlaw(hooks: readonly ManifestHook[], shape: GuestShape): string | null {
  const listed = new Set<HookName>()
  for (const { name } of hooks) {
    if (listed.has(name)) return `hooks: ${name} is listed twice`
    if (!shape.hooks.has(name))
      return `hooks: ${name} is listed, but no ${snakeCase(name)} exported`
    listed.add(name)
  }
  const missing = [...shape.hooks.keys()].find((name) => !listed.has(name))
  if (missing === undefined) return null
  return `hooks: ${snakeCase(missing)} is exported, but ${missing} is not listed`
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decodeText(bytes))
  } catch {
    return undefined
  }
}

/**
 * Reads what `describe` output and compares it with what the module exports. Throws
 * PLUGIN_MANIFEST naming the field; `where` is the file.
 */
export function parseManifest(bytes: Uint8Array, shape: GuestShape, where: string): WasmManifest {
  const refuse = (sentence: string): never => {
    throw new GatewayError('PLUGIN_MANIFEST', `${where}: manifest: ${sentence}`)
  }
  if (bytes.length > MANIFEST_BYTES_MAX) {
    return refuse(`${bytes.length} bytes, at most ${MANIFEST_BYTES_MAX}`)
  }
  const raw = parseJson(bytes)
  if (raw === undefined) return refuse('describe must output JSON')
  const parsed = SHAPE.safeParse(raw)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    const path = pathText(issue?.path ?? [])
    return refuse(`${path === '' ? '' : `${path}: `}${issue?.message ?? 'invalid'}`)
  }
  const { abi: _abi, hooks: listed, config, ...rest } = parsed.data
  const hooks: ManifestHook[] = []
  for (const [index, item] of listed.entries()) {
    const hook = readHook(item, `hooks[${index}]`)
    if (typeof hook === 'string') refuse(hook)
    else hooks.push(hook)
  }
  const flaw = exportFlaw(hooks, shape)
  if (flaw !== null) return refuse(flaw)
  const schema = parseConfigSchema(config ?? { type: 'object' }, `${where}: manifest: config`)
  if (schema.types?.includes('object') === false) refuse('config: its type must be object')
  return { ...rest, hooks, config: schema }
}
