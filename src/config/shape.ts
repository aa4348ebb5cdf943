/** Asks a schema what it holds at a path: the keys it knows, and the facts of each. */
import * as z from 'zod'
import { type FieldFacts, fieldFacts } from './fields.ts'

/** A path in a configuration: keys, names of groups and positions in lists. */
export type Path = readonly string[]

/** Names of groups and blocks, in lower case: they are parts of variables and dotted paths. */
export const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/

/** The schema inside a default or an option. */
function bare(schema: z.core.$ZodType): z.core.$ZodType {
  let inner = schema
  while (inner instanceof z.ZodPrefault || inner instanceof z.ZodOptional) {
    inner = inner.def.innerType
  }
  return inner
}

/** The facts of a key or section; undefined where there are none. */
export function factsOf(schema: z.core.$ZodType): FieldFacts | undefined {
  const own = factsIn(schema)
  return own ?? factsIn(bare(schema))
}

function factsIn(schema: z.core.$ZodType): FieldFacts | undefined {
  return schema instanceof z.ZodType ? fieldFacts.get(schema) : undefined
}

/** The names of the keys that a section knows; empty for maps of groups and for values. */
export function keysOf(schema: z.core.$ZodType): readonly string[] {
  const inner = bare(schema)
  return inner instanceof z.ZodObject && !isNamed(schema) ? Object.keys(inner.def.shape) : []
}

/** True for a map of groups or blocks, whose names the operator gives. */
export function isNamed(schema: z.core.$ZodType): boolean {
  const inner = bare(schema)
  if (inner instanceof z.ZodRecord) return factsOf(schema)?.kind === 'section'
  return inner instanceof z.ZodObject && namedIn(inner) !== undefined
}

/** What a map of groups holds under every name. */
function namedIn(object: z.ZodObject): z.core.$ZodType | undefined {
  const { catchall } = object.def
  return catchall === undefined || catchall instanceof z.ZodNever ? undefined : catchall
}

/** True for a list of sections, such as `plugins`. */
export function isSections(schema: z.core.$ZodType): boolean {
  return bare(schema) instanceof z.ZodArray
}

/** True for a section whose presence alone means something, such as `consistentHash`. */
export function isOptional(schema: z.core.$ZodType): boolean {
  return schema instanceof z.ZodOptional && !isLeaf(schema)
}

/** True for a value that is read as one: a scalar, a list of scalars, or anything. */
export function isLeaf(schema: z.core.$ZodType): boolean {
  return factsOf(schema)?.kind !== 'section'
}

/** What stands under a key; undefined for a key that nobody knows. */
export function childOf(schema: z.core.$ZodType, key: string): z.core.$ZodType | undefined {
  const inner = bare(schema)
  if (inner instanceof z.ZodArray) return inner.def.element
  if (inner instanceof z.ZodRecord) {
    return factsOf(schema)?.kind === 'section' ? inner.def.valueType : undefined
  }
  if (!(inner instanceof z.ZodObject)) return undefined
  const { shape } = inner.def
  return Object.hasOwn(shape, key) ? shape[key] : namedIn(inner)
}

/** How a value is taken: by its keys, as text, as YAML types it, or not at all. */
type Reading = 'section' | 'text' | 'anything' | 'unknown'

/** A place in the schema, reached from its root. */
export interface Spot {
  readonly path: Path
  readonly schema: z.core.$ZodType | undefined
  readonly reading: Reading
  /** The key, or a section above it, is secret. */
  readonly secret: boolean
  /** Its keys are names of groups or blocks. */
  readonly named: boolean
  /** It is an item of a list of scalars. */
  readonly item: boolean
}

/** The root of a schema. */
export function spotOf(schema: z.core.$ZodType): Spot {
  return { path: [], schema, reading: 'section', secret: false, named: false, item: false }
}

/** The place one key further. */
export function inside(parent: Spot, key: string): Spot {
  const path = [...parent.path, key]
  const { reading, secret } = parent
  const further = { path, schema: undefined, reading, secret, named: false, item: false }
  if (reading === 'text') return { ...further, item: true }
  if (reading !== 'section' || parent.schema === undefined) return further
  const schema = childOf(parent.schema, key)
  if (schema === undefined) return { ...further, reading: 'unknown' }
  const facts = factsOf(schema)
  return {
    ...further,
    schema,
    reading: READINGS[facts?.kind ?? 'section'],
    secret: secret || facts?.secret === true,
    named: isNamed(schema),
  }
}

const READINGS: Readonly<Record<FieldFacts['kind'], Reading>> = {
  section: 'section',
  value: 'text',
  list: 'text',
  anything: 'anything',
}

/** The place at a path. */
export function spotAt(root: z.core.$ZodType, path: Path): Spot {
  return path.reduce(inside, spotOf(root))
}
