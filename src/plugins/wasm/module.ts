/**
 * Reads from a WebAssembly binary what the engine does not tell: the exact types of its imports
 * and exports, and how much memory it asks for. Pure; the engine validates the rest.
 */
import { GatewayError } from '../../base/errors.ts'
import { MEMORY_PAGES_MAX, MODULE_ITEMS_MAX, TABLE_ELEMENTS_MAX } from './limits.ts'

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

const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]
const SECTION = { types: 1, imports: 2, functions: 3, tables: 4, memories: 5, exports: 7 } as const
const EXTERNAL = { function: 0, memory: 2 } as const
const FUNCTION_TYPE = 0x60
/** First bytes of the types of the garbage collection proposal: rec, sub, struct and array. */
const COLLECTED_TYPES: ReadonlySet<number> = new Set([0x4e, 0x4f, 0x50, 0x5e, 0x5f])
const VALUE_TYPES: ReadonlyMap<number, string> = new Map([
  [0x7f, 'i32'],
  [0x7e, 'i64'],
  [0x7d, 'f32'],
  [0x7c, 'f64'],
  [0x7b, 'v128'],
  [0x70, 'funcref'],
  [0x6f, 'externref'],
])
/** What may be imported or exported, by its number. */
const EXTERNAL_NAMES = ['function', 'table', 'memory', 'global', 'tag']

/** A place in the binary; every read is checked against the end of its section. */
class Cursor {
  readonly #bytes: Uint8Array
  readonly #end: number
  /** The file, for errors. */
  readonly #where: string
  at: number

  constructor(bytes: Uint8Array, at: number, end: number, where: string) {
    this.#bytes = bytes
    this.at = at
    this.#end = end
    this.#where = where
  }

  fail(sentence: string): never {
    throw new GatewayError('PLUGIN_WASM', `${this.#where}: ${sentence}`)
  }

  get done(): boolean {
    return this.at >= this.#end
  }

  byte(): number {
    if (this.done) this.fail('the module is cut short; build or copy it again')
    return this.#bytes[this.at++]!
  }

  /** An unsigned number of at most 32 bits, in LEB128. */
  number(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value <= 0xffff_ffff ? value : this.fail('a number is too large')
    }
    return this.fail('a number is longer than five bytes')
  }

  /** How many items follow; each takes a byte at least, so that no count is taken on trust. */
  count(what: string): number {
    const count = this.number()
    if (count > MODULE_ITEMS_MAX) this.fail(`${count} ${what}, at most ${MODULE_ITEMS_MAX}`)
    return count
  }

  skip(length: number): void {
    if (length > this.#end - this.at) this.fail('the module is cut short; build or copy it again')
    this.at += length
  }

  section(): Cursor {
    const length = this.number()
    const start = this.at
    this.skip(length)
    return new Cursor(this.#bytes, start, this.at, this.#where)
  }

  name(): string {
    const length = this.number()
    const start = this.at
    this.skip(length)
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(this.#bytes.subarray(start, this.at))
    } catch {
      return this.fail('a name in it is not UTF-8')
    }
  }
}

function readValueTypes(cursor: Cursor): string {
  const names: string[] = []
  for (let left = cursor.count('values of a type'); left > 0; left--) {
    const code = cursor.byte()
    // Typed references carry a heap type; none of our functions takes one, so its name is enough.
    if (code === 0x63 || code === 0x64) cursor.number()
    names.push(VALUE_TYPES.get(code) ?? `type 0x${code.toString(16)}`)
  }
  return names.join(', ')
}

function readTypes(cursor: Cursor): FunctionType[] {
  const types: FunctionType[] = []
  for (let left = cursor.count('types'); left > 0; left--) {
    const form = cursor.byte()
    if (COLLECTED_TYPES.has(form)) {
      cursor.fail('it uses garbage-collected types; build it for WebAssembly without them')
    }
    if (form !== FUNCTION_TYPE) cursor.fail(`0x${form.toString(16)} begins no type`)
    const params = readValueTypes(cursor)
    const results = readValueTypes(cursor)
    types.push(
      `(${params}) -> ${results.includes(',') || results === '' ? `(${results})` : results}`,
    )
  }
  return types
}

function typeAt(cursor: Cursor, types: readonly FunctionType[], index: number): FunctionType {
  return types[index] ?? cursor.fail(`type ${index} does not exist`)
}

function readImports(cursor: Cursor, types: readonly FunctionType[]): ModuleImport[] {
  const imports: ModuleImport[] = []
  for (let left = cursor.count('imports'); left > 0; left--) {
    const module = cursor.name()
    const name = cursor.name()
    const kind = cursor.byte()
    if (kind !== EXTERNAL.function) {
      const what = EXTERNAL_NAMES[kind] ?? `kind ${kind}`
      cursor.fail(`it imports ${module}.${name}, a ${what}; only functions are granted`)
    }
    imports.push({ module, name, type: typeAt(cursor, types, cursor.number()) })
  }
  return imports
}

/** The least size in the limits of a memory or a table. */
function readMinimum(cursor: Cursor, what: string): number {
  const flags = cursor.byte()
  if (flags > 1)
    cursor.fail(`its ${what} is shared, 64-bit or of odd pages; only plain 32-bit ones`)
  const minimum = cursor.number()
  if (flags === 1) cursor.number()
  return minimum
}

function checkTables(cursor: Cursor): void {
  for (let left = cursor.count('tables'); left > 0; left--) {
    const code = cursor.byte()
    if (code === 0x40) cursor.fail('its table has an initial expression, which is not supported')
    if (code === 0x63 || code === 0x64) cursor.number()
    const elements = readMinimum(cursor, 'table')
    if (elements > TABLE_ELEMENTS_MAX) {
      cursor.fail(`its table has ${elements} elements, at most ${TABLE_ELEMENTS_MAX}`)
    }
  }
}

function checkMemories(cursor: Cursor): void {
  const count = cursor.count('memories')
  if (count > 1) cursor.fail(`it has ${count} memories; only one is supported`)
  if (count === 0) return
  const pages = readMinimum(cursor, 'memory')
  if (pages > MEMORY_PAGES_MAX) {
    cursor.fail(`it asks for ${pages} pages of memory at the start, at most ${MEMORY_PAGES_MAX}`)
  }
}

/** What has been read so far; sections come in the order of their numbers. */
interface Parts {
  types: readonly FunctionType[]
  imports: readonly ModuleImport[]
  /** The types of all functions by their index, the imported ones first. */
  readonly indexed: FunctionType[]
  readonly functions: Map<string, FunctionType>
  readonly memories: Set<string>
}

function readExports(cursor: Cursor, { indexed, functions, memories }: Parts): void {
  for (let left = cursor.count('exports'); left > 0; left--) {
    const name = cursor.name()
    const kind = cursor.byte()
    const index = cursor.number()
    if (kind === EXTERNAL.memory) memories.add(name)
    if (kind !== EXTERNAL.function) continue
    const type = indexed[index]
    if (type === undefined) cursor.fail(`export ${name} is function ${index}, which is none`)
    functions.set(name, type)
  }
}

function readSection(id: number, cursor: Cursor, parts: Parts): void {
  switch (id) {
    case SECTION.types:
      parts.types = readTypes(cursor)
      return
    case SECTION.imports:
      parts.imports = readImports(cursor, parts.types)
      for (const { type } of parts.imports) parts.indexed.push(type)
      return
    case SECTION.functions:
      for (let left = cursor.count('functions'); left > 0; left--) {
        parts.indexed.push(typeAt(cursor, parts.types, cursor.number()))
      }
      return
    case SECTION.tables:
      checkTables(cursor)
      return
    case SECTION.memories:
      checkMemories(cursor)
      return
    case SECTION.exports:
      readExports(cursor, parts)
      return
    default:
  }
}

/** Reads the parts of `bytes` that an agreement with the host rests on; `where` is for errors. */
export function readModule(bytes: Uint8Array, where: string): ModuleShape {
  const cursor = new Cursor(bytes, 0, bytes.length, where)
  if (HEADER.some((byte, index) => bytes[index] !== byte)) {
    cursor.fail('not a WebAssembly 1.0 module; `localPath` must name the .wasm file of the plugin')
  }
  cursor.skip(HEADER.length)
  const parts: Parts = {
    types: [],
    imports: [],
    indexed: [],
    functions: new Map(),
    memories: new Set(),
  }
  while (!cursor.done) {
    const id = cursor.byte()
    readSection(id, cursor.section(), parts)
  }
  return { imports: parts.imports, functions: parts.functions, memories: parts.memories }
}
