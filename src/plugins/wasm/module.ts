/**
 * What an agreement with the host rests on, and the engine does not tell: the exact types of a
 * module's imports and exports. Reads the sections that say so.
 */
import type { BinaryReader } from './binary.ts'
import { MODULE_ITEMS_MAX, MODULE_TYPE_VALUES_MAX, TYPE_VALUES_MAX } from './limits.ts'
import { featureFlaw, VALUE_TYPES } from './opcodes.ts'
import { readValueType } from './scan.ts'
import type { Sections } from './sections.ts'

/** A function's type as text, such as `(i32, i32) -> i32`; equal texts are equal types. */
export type FunctionType = string

export interface ModuleImport {
  readonly module: string
  readonly name: string
  readonly type: FunctionType
}

/** What can be known of a module without running it. */
export interface ModuleShape {
  readonly imports: readonly ModuleImport[]
  /** The exported functions and their types. */
  readonly functions: ReadonlyMap<string, FunctionType>
  /** The names under which a memory is exported. */
  readonly memories: ReadonlySet<string>
}

/** A type of functions. */
export interface ModuleType {
  readonly text: FunctionType
  /** The parameters' types, a byte each. */
  readonly params: Uint8Array
  /** The results' types, a byte each. */
  readonly results: Uint8Array
}

/** The parts of a module that stand before its code. */
export interface Outline {
  readonly sections: Sections
  readonly types: readonly ModuleType[]
  readonly imports: readonly ModuleImport[]
  /** For every function the index of its type, the imported ones first. */
  readonly functions: readonly number[]
}

/** Kinds of imports and exports, by their number. */
export const EXTERNAL = { function: 0, table: 1, memory: 2, global: 3, tag: 4 } as const
const EXTERNAL_NAMES = ['function', 'table', 'memory', 'global', 'tag']

const FUNCTION_TYPE = 0x60
/** First bytes of the types of the garbage collection proposal: rec, sub, struct and array. */
const COLLECTED_TYPES: ReadonlySet<number> = new Set([0x4e, 0x4f, 0x50, 0x5e, 0x5f])

function readValueTypes(reader: BinaryReader): Uint8Array {
  const count = reader.count('values of a type', TYPE_VALUES_MAX)
  const start = reader.at
  for (let left = count; left > 0; left--) readValueType(reader)
  return reader.between(start, reader.at)
}

function listed(types: Uint8Array): string {
  return Array.from(types, (byte) => VALUE_TYPES.get(byte)).join(', ')
}

function readType(reader: BinaryReader): ModuleType {
  const form = reader.byte()
  if (COLLECTED_TYPES.has(form)) reader.fail(featureFlaw('garbage collection'))
  if (form !== FUNCTION_TYPE) reader.fail(`0x${form.toString(16)} begins no type`)
  const params = readValueTypes(reader)
  const results = readValueTypes(reader)
  const result = results.length === 1 ? listed(results) : `(${listed(results)})`
  return { text: `(${listed(params)}) -> ${result}`, params, results }
}

function readTypes(sections: Sections): readonly ModuleType[] {
  const types: ModuleType[] = []
  const reader = sections.reader('types')
  let values = 0
  for (let left = reader?.count('types', MODULE_ITEMS_MAX) ?? 0; left > 0; left--) {
    const type = readType(reader!)
    values += type.params.length + type.results.length
    if (values > MODULE_TYPE_VALUES_MAX) {
      reader!.fail(`its types have over ${MODULE_TYPE_VALUES_MAX} parameters and results`)
    }
    types.push(type)
  }
  reader?.finish('types')
  return types
}

/** Only functions are granted; their types go to `functions`, which they are the first of. */
function readImports(
  sections: Sections,
  types: readonly ModuleType[],
  functions: number[],
): readonly ModuleImport[] {
  const imports: ModuleImport[] = []
  const reader = sections.reader('imports')
  for (let left = reader?.count('imports', MODULE_ITEMS_MAX) ?? 0; left > 0; left--) {
    const module = reader!.name()
    const name = reader!.name()
    const kind = reader!.byte()
    if (kind !== EXTERNAL.function) {
      const what = EXTERNAL_NAMES[kind] ?? `kind ${kind}`
      reader!.fail(`it imports ${module}.${name}, a ${what}; only functions are granted`)
    }
    const type = reader!.index('type', types.length)
    functions.push(type)
    imports.push({ module, name, type: types[type]!.text })
  }
  reader?.finish('imports')
  return imports
}

function readFunctions(sections: Sections, types: number, functions: number[]): void {
  const reader = sections.reader('functions')
  for (let left = reader?.count('functions', MODULE_ITEMS_MAX) ?? 0; left > 0; left--) {
    functions.push(reader!.index('type', types))
  }
  reader?.finish('functions')
}

/** Reads what a module declares before its code. */
export function readOutline(sections: Sections): Outline {
  const types = readTypes(sections)
  const functions: number[] = []
  const imports = readImports(sections, types, functions)
  readFunctions(sections, types.length, functions)
  return { sections, types, imports, functions }
}
