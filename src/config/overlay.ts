/** Lays variables of the environment, and settings from elsewhere, over what the files say. */
import { resolve } from 'node:path'
import * as z from 'zod'
import type { Draft, Written } from './draft.ts'
import { type Environment, fromVariable } from './expand.ts'
import type { ReadFile } from './files.ts'
import { nearestName } from './nearest.ts'
import { clipped, type Problems } from './problem.ts'
import { inside, isSections, keysOf, NAME, type Spot, spotOf } from './shape.ts'

/** A draft and the schema that it will be checked against. */
export interface Layer {
  readonly draft: Draft
  readonly schema: z.ZodType
}

/** Later prefixes win. */
const PREFIXES = ['GATEWAYD_', 'POSTERN_'] as const

/** Lists whose order and names matter too much to be replaced from outside the file. */
const FILE_ONLY = new Set(['plugins', 'policies'])

/** Which variables were used, and which look like ours but match no key. */
export interface VariablesLaid {
  readonly used: readonly string[]
  readonly unused: readonly string[]
}

/** Lays every variable with one of our prefixes over the first layer that knows its key. */
export function layVariables(
  layers: readonly Layer[],
  env: Environment,
  readFile: ReadFile,
  problems: Problems,
): VariablesLaid {
  const used: string[] = []
  const unused: string[] = []
  for (const prefix of PREFIXES) {
    const names = Object.keys(env).filter((name) => name.startsWith(prefix))
    for (const name of names.sort()) {
      const value = env[name]
      if (value === undefined) continue
      const parts = name.slice(prefix.length).toLowerCase().split('_')
      const target = targetOf(layers, parts)
      if (target !== undefined) layVariable(target, name, value, { env, readFile, problems })
      const list = target === undefined ? unused : used
      list.push(name)
    }
  }
  return { used, unused }
}

interface Target {
  readonly layer: Layer
  readonly spot: Spot
}

function targetOf(layers: readonly Layer[], parts: readonly string[]): Target | undefined {
  for (const layer of layers) {
    const spot = addressed(layer.schema, parts)
    if (spot !== undefined) return { layer, spot }
  }
  return undefined
}

/** The place that the parts of a variable's name lead to, or undefined. */
function addressed(schema: z.ZodType, parts: readonly string[]): Spot | undefined {
  let spot = spotOf(schema)
  for (const part of parts) {
    if (spot.reading !== 'section' || spot.schema === undefined) return undefined
    const known = keysOf(spot.schema).find((key) => key.toLowerCase() === part)
    const key = spot.named && NAME.test(part) ? part : known
    if (key === undefined) return undefined
    spot = inside(spot, key)
  }
  return isSettable(spot) ? spot : undefined
}

/** A value can be replaced as a whole, and so can lists of sections but those of plugins. */
function isSettable({ schema, reading, path }: Spot): boolean {
  if (reading === 'text') return true
  if (schema === undefined || reading !== 'section') return false
  return isSections(schema) && !FILE_ONLY.has(path.join('.'))
}

interface Laying {
  readonly env: Environment
  readonly readFile: ReadFile
  readonly problems: Problems
}

function layVariable(target: Target, name: string, value: string, laying: Laying): void {
  const { spot, layer } = target
  const place = { file: name, line: 0, column: 0 }
  const shown = spot.secret ? null : JSON.stringify(clipped(value))
  layer.draft.restand(spot.path, { key: place, value: place, shown })
  const written = fromText(spot, value, laying)
  if ('refused' in written) {
    laying.problems.add(place, spot.path, `${spot.path.join('.')} ${written.refused}`)
  } else {
    layer.draft.put(spot.path, written.value)
  }
}

type FromText = { readonly value: Written } | { readonly refused: string }

function fromText(spot: Spot, text: string, { env, readFile }: Laying): FromText {
  if (spot.reading === 'section') {
    const list = parsedJson(text)
    return Array.isArray(list) ? { value: list } : { refused: 'must be a JSON array' }
  }
  const expanded = fromVariable(text, spot.secret, { env, readFile, folder: resolve('.') })
  return expanded.kind === 'text' ? { value: expanded.text } : { refused: expanded.message }
}

function parsedJson(text: string): Written | undefined {
  try {
    return z.json().safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

/** Settings from elsewhere than files and variables, by dotted key. */
export interface Overrides {
  /** Who says so: `--listen`, `onConfigLoaded`. */
  readonly source: string
  readonly values: Readonly<Record<string, unknown>>
}

/** Lays settings over everything else; returns a notice for each that cannot be one. */
export function layOverrides(layer: Layer, overrides: Overrides): readonly string[] {
  const notices: string[] = []
  const place = { file: overrides.source, line: 0, column: 0 }
  for (const [key, value] of Object.entries(overrides.values)) {
    const spot = key.split('.').reduce(inside, spotOf(layer.schema))
    const written = z.json().safeParse(value)
    const name = `${overrides.source}: "${clipped(key)}"`
    if (spot.reading === 'unknown') {
      const nearest = nearestName(key.split('.').at(-1) ?? '', keysAbove(layer, key))
      const hint = nearest === undefined ? '' : ` (did you mean "${nearest}"?)`
      notices.push(`${name} matches no key${hint}`)
    } else if (!written.success) {
      notices.push(`${name} has a value that no setting can have`)
    } else {
      layer.draft.restand(spot.path, { key: place, value: place, shown: null })
      layer.draft.put(spot.path, written.data)
    }
  }
  return notices
}

function keysAbove(layer: Layer, key: string): readonly string[] {
  const above = key.split('.').slice(0, -1).reduce(inside, spotOf(layer.schema))
  return above.schema === undefined ? [] : keysOf(above.schema)
}
