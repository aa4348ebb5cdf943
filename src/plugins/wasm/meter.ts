/**
 * Rewrites a module so that it can be stopped: one pass over its sections, in which loops and
 * functions are made to pay with fuel, memory and tables are clamped, and whatever cannot be
 * bounded is refused by name. What a module computes stays the same. The engine still validates
 * everything; here every index is checked, so that nothing added is within the guest's reach.
 *
 * Format: WebAssembly 2.0 (chapter 5 of the specification) with tail calls.
 */
import { BinaryWriter } from './binary.ts'
import { MODULE_ITEMS_MAX, TABLES_MAX } from './limits.ts'
import { type ModuleShape, type Outline, readOutline } from './module.ts'
import { type MeterLimits, type Renaming, type Rewriting, writeSection } from './rewrite.ts'
import type { CodeSpace } from './scan.ts'
import { HEADER, SECTION, SECTIONS_IN_ORDER, Sections } from './sections.ts'

export interface Metered {
  /** A module that imports `refuel: () -> i32` from METER_MODULE: the next grant, or it throws. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /** What the original imports and exports, by its own names. */
  readonly shape: ModuleShape
}

export const METER_MODULE = 'postern:meter'
/**
 * What `refuel` normally returns, in instructions: a quarter of a millisecond of them, or a few
 * where the engine has not compiled them yet.
 */
export const FUEL_GRANT = 250_000

/** Our names of what an engine or a library might take care of by itself. */
export const WASI_MODULE = 'postern:wasi'
export const INITIALIZE = 'postern:initialize'
const RENAMING: Renaming = {
  modules: new Map([['wasi_snapshot_preview1', WASI_MODULE]]),
  exports: new Map([
    ['_initialize', INITIALIZE],
    ['_start', 'postern:start'],
    // What Haskell's compiler wants called, and Extism's SDK would call by itself.
    ['hs_init', 'postern:hs_init'],
  ]),
  reserved: 'postern:',
  meter: METER_MODULE,
}

/** Where the module's things are, and what is added behind them. */
function spaceOf({ sections, types, functions, imports }: Outline): CodeSpace {
  const globals = sections.count('globals', MODULE_ITEMS_MAX)
  const manyResults = types.filter(({ results }) => results.length > 1).length
  // One import stands before them.
  const behind = functions.length + 1
  return {
    types: types.length,
    functions: functions.length,
    functionsImported: imports.length,
    globals,
    tables: sections.count('tables', TABLES_MAX),
    dataSegments: sections.count('data', MODULE_ITEMS_MAX),
    elementSegments: sections.count('elements', MODULE_ITEMS_MAX),
    refuel: imports.length,
    refuelType: types.length + manyResults,
    fuel: globals,
    chargeBytes: behind,
    chargeElements: behind + 1,
    chargePages: behind + 2,
  }
}

/** Meters a module. Throws PLUGIN_WASM, naming `where` and the first thing that is refused. */
export function meter(bytes: Uint8Array, where: string, limits: MeterLimits): Metered {
  const outline = readOutline(new Sections(bytes, where))
  const out = new BinaryWriter(where, limits.moduleBytesMax)
  const part = new BinaryWriter(where, limits.moduleBytesMax)
  const exported = new Map<string, number>()
  const memories = new Set<string>()
  const space = spaceOf(outline)
  const all: Rewriting = {
    ...outline,
    where,
    limits,
    renaming: RENAMING,
    space,
    part,
    exported,
    memories,
  }
  out.raw(bytes.subarray(0, HEADER.length))
  for (const name of SECTIONS_IN_ORDER) {
    part.clear()
    if (!writeSection(all, name)) continue
    out.byte(SECTION[name])
    out.u32(part.length)
    out.raw(part.written())
  }
  const functions = new Map([...exported].map(([name, type]) => [name, outline.types[type]!.text]))
  return { bytes: out.written(), shape: { imports: outline.imports, functions, memories } }
}
