/**
 * The JSON Schema that a manifest gives for its plugin's configuration: the part of the language
 * that settings need, checked strictly. A keyword that would be ignored is refused instead, which
 * is why no general library does this.
 */
import { GatewayError } from '../../base/errors.ts'
import { SCHEMA_DEPTH_MAX } from './limits.ts'

const TYPES = ['object', 'array', 'string', 'integer', 'number', 'boolean', 'null'] as const
type TypeName = (typeof TYPES)[number]

/** Says something to people and nothing about values. */
const ANNOTATIONS = ['$schema', '$id', '$comment', 'title', 'description', 'examples', 'deprecated']
const KEYWORDS = new Set([
  ...ANNOTATIONS,
  'type',
  'properties',
  'required',
  'additionalProperties',
  'items',
  'enum',
  'default',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'pattern',
])

type JsonObject = Readonly<Record<string, unknown>>

export interface ConfigSchema {
  /** Null: any type. */
  readonly types: readonly TypeName[] | null
  readonly properties: ReadonlyMap<string, ConfigSchema>
  readonly required: readonly string[]
  /** Null: further properties are as they like. */
  readonly additional: ConfigSchema | 'none' | null
  readonly items: ConfigSchema | null
  readonly allowed: readonly unknown[] | null
  readonly fallback: { readonly value: unknown } | null
  readonly minimum: number
  readonly maximum: number
  readonly minLength: number
  readonly maxLength: number
  readonly pattern: RegExp | null
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isTypeName(value: unknown): value is TypeName {
  return TYPES.some((name) => name === value)
}

/** One schema object of the manifest, with its place for errors. */
class SchemaReader {
  readonly #raw: JsonObject
  readonly #path: string
  readonly #depth: number

  constructor(raw: unknown, path: string, depth: number) {
    if (depth > SCHEMA_DEPTH_MAX) fail(path, `nests deeper than ${SCHEMA_DEPTH_MAX}`)
    if (!isObject(raw)) fail(path, 'must be an object')
    const unknown = Object.keys(raw).filter((key) => !KEYWORDS.has(key))
    if (unknown.length > 0) {
      fail(path, `uses ${unknown.join(', ')}, which Postern does not check; leave it out`)
    }
    this.#raw = raw
    this.#path = path
    this.#depth = depth
  }

  read(): ConfigSchema {
    const schema: ConfigSchema = {
      types: this.#types(),
      properties: this.#properties(),
      required: this.#list('required', (name) => typeof name === 'string') ?? [],
      additional: this.#additional(),
      items: 'items' in this.#raw ? this.#child(this.#raw['items'], 'items') : null,
      allowed: this.#list('enum', (_value): _value is unknown => true),
      fallback: 'default' in this.#raw ? { value: this.#raw['default'] } : null,
      minimum: this.#number('minimum', Number.NEGATIVE_INFINITY),
      maximum: this.#number('maximum', Number.POSITIVE_INFINITY),
      minLength: this.#number('minLength', 0),
      maxLength: this.#number('maxLength', Number.POSITIVE_INFINITY),
      pattern: this.#pattern(),
    }
    if (schema.fallback !== null) {
      const flaw = firstFlaw(fillDefaults(schema, schema.fallback.value), schema, 'default')
      if (flaw !== null) fail(this.#path, `has a default of its own that does not fit: ${flaw}`)
    }
    return schema
  }

  #child(raw: unknown, key: string): ConfigSchema {
    return new SchemaReader(raw, `${this.#path}.${key}`, this.#depth + 1).read()
  }

  #types(): readonly TypeName[] | null {
    const raw = this.#raw['type']
    if (raw === undefined) return null
    const names: readonly unknown[] = Array.isArray(raw) ? raw : [raw]
    if (names.every(isTypeName)) return names
    return fail(`${this.#path}.type`, `must be one of ${TYPES.join(', ')}`)
  }

  #properties(): ReadonlyMap<string, ConfigSchema> {
    const raw = this.#raw['properties'] ?? {}
    if (!isObject(raw)) return fail(`${this.#path}.properties`, 'must be an object')
    return new Map(
      Object.entries(raw).map(([name, child]) => [name, this.#child(child, `properties.${name}`)]),
    )
  }

  #additional(): ConfigSchema | 'none' | null {
    const raw = this.#raw['additionalProperties']
    if (raw === undefined || raw === true) return null
    return raw === false ? 'none' : this.#child(raw, 'additionalProperties')
  }

  #list<Item>(key: string, fits: (item: unknown) => item is Item): readonly Item[] | null {
    const raw = this.#raw[key]
    if (raw === undefined) return null
    const items: readonly unknown[] | null = Array.isArray(raw) ? raw : null
    if (items?.every(fits)) return items
    return fail(`${this.#path}.${key}`, 'must be a list of values that fit it')
  }

  #number(key: string, absent: number): number {
    const raw = this.#raw[key]
    if (raw === undefined) return absent
    return typeof raw === 'number' ? raw : fail(`${this.#path}.${key}`, 'must be a number')
  }

  #pattern(): RegExp | null {
    const raw = this.#raw['pattern']
    if (raw === undefined) return null
    try {
      if (typeof raw === 'string') return new RegExp(raw, 'u')
    } catch {
      // Told below, like a pattern of a wrong type.
    }
    return fail(`${this.#path}.pattern`, 'must be a regular expression')
  }
}

function fail(path: string, sentence: string): never {
  throw new GatewayError('PLUGIN_MANIFEST', `${path} ${sentence}`)
}

/** Reads a schema; `path` is its place, for errors. Throws PLUGIN_MANIFEST naming what is wrong. */
export function parseConfigSchema(raw: unknown, path: string): ConfigSchema {
  return new SchemaReader(raw, path, 0).read()
}

/** A copy of `value` with the defaults of the schema wherever nothing is set. */
export function fillDefaults(schema: ConfigSchema, value: unknown): unknown {
  if (value === undefined) {
    return schema.fallback === null ? undefined : fillDefaults(schema, schema.fallback.value)
  }
  if (Array.isArray(value)) {
    const { items } = schema
    return items === null ? value : value.map((item: unknown) => fillDefaults(items, item))
  }
  return isObject(value) ? fillObject(schema, value) : value
}

/** The same for an object, such as the configuration of an entry. */
export function fillObject(schema: ConfigSchema, value: JsonObject): JsonObject {
  const filled = new Map<string, unknown>()
  for (const [name, item] of Object.entries(value)) {
    const further = schema.additional === 'none' ? null : schema.additional
    const child = schema.properties.get(name) ?? further
    filled.set(name, child === null ? item : fillDefaults(child, item))
  }
  for (const [name, child] of schema.properties) {
    const item = filled.has(name) ? undefined : fillDefaults(child, undefined)
    if (item !== undefined) filled.set(name, item)
  }
  return Object.fromEntries(filled)
}

function typeNameOf(value: unknown): TypeName {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  if (typeof value === 'string') return 'string'
  return typeof value === 'boolean' ? 'boolean' : 'object'
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

function textFlaw(text: string, schema: ConfigSchema): string | null {
  const { length } = [...text]
  if (length < schema.minLength) return `must have at least ${schema.minLength} characters`
  if (length > schema.maxLength) return `must have at most ${schema.maxLength} characters`
  if (schema.pattern === null || schema.pattern.test(text)) return null
  return `must match ${schema.pattern.source}`
}

function objectFlaw(value: JsonObject, schema: ConfigSchema, path: string): string | null {
  const missing = schema.required.find((name) => !Object.hasOwn(value, name))
  if (missing !== undefined) return `${path}.${missing} is required`
  for (const [name, item] of Object.entries(value)) {
    const child = schema.properties.get(name) ?? schema.additional
    if (child === 'none') {
      const known = [...schema.properties.keys()].join(', ')
      return `${path}.${name} is unknown; known: ${known === '' ? 'nothing' : known}`
    }
    const flaw = child === null ? null : firstFlaw(item, child, `${path}.${name}`)
    if (flaw !== null) return flaw
  }
  return null
}

/** The first thing in `value` that does not fit, as a sentence with its path; null if all does. */
export function firstFlaw(value: unknown, schema: ConfigSchema, path: string): string | null {
  const { types, allowed } = schema
  const type = typeNameOf(value)
  const fits = types?.some((name) => name === type || (name === 'number' && type === 'integer'))
  if (fits === false) return `${path} must be ${types?.join(' or ')}, not ${type}`
  if (allowed !== null && !allowed.some((one) => isSame(one, value))) {
    return `${path} must be one of ${JSON.stringify(allowed)}`
  }
  if (typeof value === 'number') {
    if (value < schema.minimum) return `${path} must be at least ${schema.minimum}`
    if (value > schema.maximum) return `${path} must be at most ${schema.maximum}`
  }
  if (typeof value === 'string') {
    const flaw = textFlaw(value, schema)
    return flaw === null ? null : `${path} ${flaw}`
  }
  if (Array.isArray(value) && schema.items !== null) {
    for (const [index, item] of value.entries()) {
      const flaw = firstFlaw(item, schema.items, `${path}[${index}]`)
      if (flaw !== null) return flaw
    }
  }
  return isObject(value) ? objectFlaw(value, schema, path) : null
}
