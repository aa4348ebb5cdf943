/** Writes the sections of a metered module, one after the other, from those of the original. */
import { type BinaryReader, BinaryWriter, refuse } from './binary.ts'
import { meterBody, type Signature } from './code.ts'
import { copyExpression, shifted } from './expression.ts'
import { ADDED_GLOBALS, PRICES, writeAddedGlobals, writeCharge } from './fuel.ts'
import {
  FUNCTION_METERED_BYTES_MAX,
  MODULE_ELEMENTS_MAX,
  MODULE_ITEMS_MAX,
  MODULE_LOCALS_MAX,
  MODULE_LOOPS_MAX,
} from './limits.ts'
import { EXTERNAL, type Outline } from './module.ts'
import { featureFlaw, I32, NO_RESULT } from './opcodes.ts'
import { type CodeSpace, readValueType } from './scan.ts'
import type { SectionName } from './sections.ts'

/** What a module may ask for. */
export interface MeterLimits {
  /** Pages of 64 KiB. */
  readonly memoryPagesMax: number
  /** Elements of each table. */
  readonly tableElementsMax: number
  /** Bytes of the module as it is written. */
  readonly moduleBytesMax: number
}

/** New names of modules and functions, so that nobody but us takes care of what they stand for. */
export interface Renaming {
  readonly modules: ReadonlyMap<string, string>
  readonly exports: ReadonlyMap<string, string>
  /** Names that begin so are ours. */
  readonly reserved: string
  /** Where `refuel` is imported from. */
  readonly meter: string
}

/** A module on its way from what was read to what is written. */
export interface Rewriting extends Outline {
  readonly where: string
  readonly limits: MeterLimits
  readonly renaming: Renaming
  readonly space: CodeSpace
  /** The section that is being written; its length is known only at its end. */
  readonly part: BinaryWriter
  /** Names of the exported functions, with the index of each one's type. */
  readonly exported: Map<string, number>
  readonly memories: Set<string>
}

const FUNCTION_TYPE = 0x60
const REFUEL = 'refuel'
/** How many functions are added behind those of the module: they charge by lengths. */
export const ADDED_FUNCTIONS = 3

/** Copies all items of a section as they are; their count was written before. */
function copyItems({ sections, part }: Rewriting, name: SectionName): void {
  const reader = sections.reader(name)
  if (reader === null) return
  reader.u32()
  part.raw(reader.rest())
}

/** Behind the module's types: one for each block of many results, and those of added functions. */
function writeTypes(all: Rewriting): void {
  const { types, space, part } = all
  part.u32(space.refuelType + 2)
  copyItems(all, 'types')
  for (const { results } of types) {
    if (results.length < 2) continue
    part.byte(FUNCTION_TYPE)
    part.u32(0)
    part.u32(results.length)
    part.raw(results)
  }
  part.raw(Uint8Array.of(FUNCTION_TYPE, 0, 1, I32, FUNCTION_TYPE, 1, I32, 1, I32))
}

function writeImports(all: Rewriting): void {
  const { imports, part, functions, space, renaming } = all
  part.u32(imports.length + 1)
  for (const [at, { module, name }] of imports.entries()) {
    if (module.startsWith(renaming.reserved)) {
      refuse(all.where, `it imports ${module}.${name}; such names are the gateway's own`)
    }
    part.name(renaming.modules.get(module) ?? module)
    part.name(name)
    part.byte(EXTERNAL.function)
    part.u32(functions[at]!)
  }
  part.name(renaming.meter)
  part.name(REFUEL)
  part.byte(EXTERNAL.function)
  part.u32(space.refuelType)
}

function writeFunctions(all: Rewriting): void {
  const { space, part } = all
  part.u32(space.functions - space.functionsImported + ADDED_FUNCTIONS)
  copyItems(all, 'functions')
  for (let left = ADDED_FUNCTIONS; left > 0; left--) part.u32(space.refuelType + 1)
}

const LIMITS = { hasMaximum: 1, shared: 2, wide: 4 } as const
/** What 32 bits can address: pages of memory, elements of a table. */
const ADDRESSABLE = { pages: 65_536, elements: 2 ** 32 - 1 } as const

interface Clamp {
  readonly what: string
  /** The plugin's limit. */
  readonly most: number
  readonly addressable: number
}

/** Copies the limits of a memory or a table, with a maximum of ours at most. */
function copyLimits(reader: BinaryReader, part: BinaryWriter, clamp: Clamp): void {
  const { what, most, addressable } = clamp
  const flags = reader.byte()
  if (flags & LIMITS.shared) reader.fail(featureFlaw('threads (shared memory)'))
  if (flags & LIMITS.wide) reader.fail(featureFlaw('memory64'))
  if (flags > LIMITS.hasMaximum) reader.fail(featureFlaw('custom page sizes'))
  const minimum = reader.u32()
  const maximum = flags === LIMITS.hasMaximum ? reader.u32() : most
  if (minimum > most) reader.fail(`it asks for ${minimum} ${what} at the start, at most ${most}`)
  if (maximum > addressable) reader.fail(`it has ${maximum} ${what}, at most ${addressable}`)
  if (minimum > maximum) reader.fail(`it asks for ${minimum} ${what}, over its own ${maximum}`)
  part.byte(LIMITS.hasMaximum)
  part.u32(minimum)
  part.u32(Math.min(maximum, most))
}

function writeTables(all: Rewriting, reader: BinaryReader): void {
  const { part, limits } = all
  const count = reader.u32()
  const most = limits.tableElementsMax
  part.u32(count)
  for (let left = count; left > 0; left--) {
    if (reader.peek() === NO_RESULT) reader.fail(featureFlaw('tables with a first value'))
    part.byte(readValueType(reader))
    copyLimits(reader, part, {
      what: 'elements of a table',
      most,
      addressable: ADDRESSABLE.elements,
    })
  }
}

function writeMemories(all: Rewriting, reader: BinaryReader): void {
  const { part, limits } = all
  const count = reader.u32()
  if (count > 1) reader.fail(featureFlaw('multi-memory'))
  part.u32(count)
  const most = limits.memoryPagesMax
  const clamp = { what: 'pages of memory', most, addressable: ADDRESSABLE.pages }
  if (count === 1) copyLimits(reader, part, clamp)
}

function writeGlobals(all: Rewriting): void {
  const { part, space } = all
  const reader = all.sections.reader('globals')
  part.u32(space.globals + ADDED_GLOBALS)
  reader?.u32()
  for (let left = space.globals; left > 0 && reader !== null; left--) {
    part.byte(readValueType(reader))
    part.byte(reader.byte())
    copyExpression(reader, part, space)
  }
  reader?.finish('globals')
  writeAddedGlobals(part)
}

function writeExports(all: Rewriting, reader: BinaryReader): void {
  const { part, renaming } = all
  const count = reader.count('exports', MODULE_ITEMS_MAX)
  part.u32(count)
  for (let left = count; left > 0; left--) {
    const name = reader.name()
    const kind = reader.byte()
    if (name.startsWith(renaming.reserved)) {
      reader.fail(`it exports ${name}; such names are the gateway's own`)
    }
    part.name(renaming.exports.get(name) ?? name)
    part.byte(kind)
    part.u32(exportedIndex(all, reader, name, kind))
  }
}

/** Reads what an export names; returns its index as it is written. */
function exportedIndex(all: Rewriting, reader: BinaryReader, name: string, kind: number): number {
  const { space, functions, exported, memories } = all
  switch (kind) {
    case EXTERNAL.function: {
      const index = reader.index('function', space.functions)
      exported.set(name, functions[index]!)
      return shifted(index, space)
    }
    case EXTERNAL.global:
      return reader.index('global', space.globals)
    case EXTERNAL.memory:
      memories.add(name)
      return reader.index('memory', 1)
    case EXTERNAL.table:
      return reader.index('table', space.tables)
    case EXTERNAL.tag:
      return reader.fail(featureFlaw('exception handling'))
    default:
      return reader.fail(`it exports ${name} as ${kind}, which is the number of no kind`)
  }
}

/** Bits of the first number of a segment of elements. */
const SEGMENT = { passive: 1, numbered: 2, expressions: 4, last: 7 } as const

/** Copies one segment, of `most` elements at most; returns how many it has. */
function copyElements(all: Rewriting, reader: BinaryReader, most: number): number {
  const { part, space } = all
  const flags = reader.u32()
  if (flags > SEGMENT.last) reader.fail(`${flags} begins no segment of elements`)
  part.u32(flags)
  if ((flags & SEGMENT.passive) === 0) {
    if (flags & SEGMENT.numbered) part.u32(reader.index('table', space.tables))
    copyExpression(reader, part, space)
  }
  // A kind of element, or with expressions the type of a reference.
  if (flags & (SEGMENT.passive | SEGMENT.numbered)) {
    const kind = flags & SEGMENT.expressions ? readValueType(reader) : reader.byte()
    part.byte(kind)
  }
  const count = reader.u32()
  if (count > most) reader.fail(`its segments have over ${MODULE_ELEMENTS_MAX} elements`)
  part.u32(count)
  for (let left = count; left > 0; left--) {
    if (flags & SEGMENT.expressions) copyExpression(reader, part, space)
    else part.u32(shifted(reader.index('function', space.functions), space))
  }
  return count
}

function writeElements(all: Rewriting, reader: BinaryReader): void {
  all.part.u32(reader.u32())
  let most = MODULE_ELEMENTS_MAX
  for (let left = all.space.elementSegments; left > 0; left--) {
    most -= copyElements(all, reader, most)
  }
}

/** For each type of function, how a body of it is to be wrapped. */
function readSignatures({ types, where }: Rewriting): readonly Signature[] {
  const blockType = new BinaryWriter(where, Number.POSITIVE_INFINITY)
  let added = types.length
  return types.map(({ params, results }) => {
    blockType.clear()
    if (results.length > 1) blockType.s32(added++)
    else blockType.byte(results[0] ?? NO_RESULT)
    return { params, blockType: blockType.written().slice() }
  })
}

function writeCode(all: Rewriting): void {
  const { part, space, functions, where } = all
  const reader = all.sections.reader('code')
  const count = reader?.u32() ?? 0
  const declared = space.functions - space.functionsImported
  if (count !== declared) refuse(where, `it has ${count} bodies for ${declared} functions`)
  part.u32(count + ADDED_FUNCTIONS)
  const signatures = readSignatures(all)
  const body = new BinaryWriter(where, FUNCTION_METERED_BYTES_MAX, 'a function')
  let locals = 0
  let loops = 0
  const endBody = (): void => {
    part.u32(body.length)
    part.raw(body.written())
    body.clear()
  }
  for (let at = space.functionsImported; at < space.functions; at++) {
    const size = meterBody(reader!.section(), signatures[functions[at]!]!, space, body)
    locals += size.locals
    loops += size.loops
    if (locals > MODULE_LOCALS_MAX) {
      refuse(where, `its functions have over ${MODULE_LOCALS_MAX} locals`)
    }
    if (loops > MODULE_LOOPS_MAX) {
      refuse(where, `its functions have over ${MODULE_LOOPS_MAX} loops`)
    }
    endBody()
  }
  reader?.finish('code')
  const place = { fuel: space.fuel, refuel: space.refuel, local: null }
  for (const price of [PRICES.bytes, PRICES.elements, PRICES.pages]) {
    writeCharge(place, price, body)
    endBody()
  }
}

/** Bits of the first number of a segment of data. */
const DATA_SEGMENT = { passive: 1, numbered: 2 } as const

function writeData(all: Rewriting, reader: BinaryReader): void {
  const { part, space } = all
  part.u32(reader.u32())
  for (let left = space.dataSegments; left > 0; left--) {
    const flags = reader.u32()
    if (flags > DATA_SEGMENT.numbered) reader.fail(`${flags} begins no segment of data`)
    part.u32(flags)
    if (flags === DATA_SEGMENT.numbered) part.u32(reader.index('memory', 1))
    if (flags !== DATA_SEGMENT.passive) copyExpression(reader, part, space)
    const bytes = reader.section().rest()
    part.u32(bytes.length)
    part.raw(bytes)
  }
}

type Writer = (all: Rewriting, reader: BinaryReader) => void

/** Sections that are written only where the module has them. */
const WRITERS: Readonly<Partial<Record<SectionName, Writer>>> = {
  tables: writeTables,
  memories: writeMemories,
  exports: writeExports,
  start: ({ part, space }, reader) =>
    part.u32(shifted(reader.index('function', space.functions), space)),
  elements: writeElements,
  dataCount: ({ part }, reader) => part.u32(reader.u32()),
  data: writeData,
}

/** Sections that are there in every metered module. */
const ADDING: Readonly<Partial<Record<SectionName, (all: Rewriting) => void>>> = {
  types: writeTypes,
  imports: writeImports,
  functions: writeFunctions,
  globals: writeGlobals,
  code: writeCode,
}

/** Writes one section into `part`; false where the module has none. */
export function writeSection(all: Rewriting, name: SectionName): boolean {
  const add = ADDING[name]
  if (add !== undefined) {
    add(all)
    return true
  }
  const reader = all.sections.reader(name)
  if (reader === null) return false
  WRITERS[name]!(all, reader)
  reader.finish(name)
  return true
}
