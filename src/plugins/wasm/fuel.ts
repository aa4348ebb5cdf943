/** The instructions that account for fuel. What each costs is decided by who asks for them. */
import type { BinaryWriter } from './binary.ts'
import { I32, NO_RESULT, OP, VALUE_BYTES } from './opcodes.ts'
import { type Saved, SPARE_GLOBALS } from './saved.ts'

export const NOTHING_SAVED: readonly Saved[] = []

/** Where a function finds its fuel. */
export interface FuelPlace {
  /** The global's index. */
  readonly fuel: number
  /** The index of the imported function that grants more, or throws. */
  readonly refuel: number
  /** The local that holds the fuel while the function runs; null: the global itself does. */
  readonly local: number | null
}

function writeIndexed(out: BinaryWriter, opcode: number, index: number): void {
  out.byte(opcode)
  out.u32(index)
}

function writeConstant(out: BinaryWriter, value: number): void {
  out.byte(OP.i32Const)
  out.s32(value)
}

/** Behind the fuel on the stack: if there is none left, asks for more and keeps it. */
function writeRefuel(
  { fuel, refuel, local }: FuelPlace,
  saved: readonly Saved[],
  out: BinaryWriter,
): void {
  writeConstant(out, 0)
  out.byte(OP.i32LtS)
  out.byte(OP.if)
  out.byte(NO_RESULT)
  for (const aside of saved) {
    writeIndexed(out, OP.localGet, aside.local)
    writeIndexed(out, OP.globalSet, aside.global)
  }
  writeIndexed(out, OP.call, refuel)
  if (local === null) writeIndexed(out, OP.globalSet, fuel)
  else writeIndexed(out, OP.localSet, local)
  for (const aside of saved) {
    writeIndexed(out, OP.globalGet, aside.global)
    writeIndexed(out, OP.localSet, aside.local)
  }
  out.byte(OP.end)
}

/** Pays for a turn of a loop, or for the entry of a function whose fuel is in the global. */
export function writeCheck(
  place: FuelPlace,
  cost: number,
  saved: readonly Saved[],
  out: BinaryWriter,
): void {
  const { fuel, local } = place
  if (local === null) writeIndexed(out, OP.globalGet, fuel)
  else writeIndexed(out, OP.localGet, local)
  writeConstant(out, cost)
  out.byte(OP.i32Sub)
  if (local === null) {
    writeIndexed(out, OP.globalSet, fuel)
    writeIndexed(out, OP.globalGet, fuel)
  } else writeIndexed(out, OP.localTee, local)
  writeRefuel(place, saved, out)
}

/** From the global to the local. */
export function writeFetch({ fuel, local }: FuelPlace, out: BinaryWriter): void {
  if (local === null) return
  writeIndexed(out, OP.globalGet, fuel)
  writeIndexed(out, OP.localSet, local)
}

/** From the local to the global. */
export function writeStore({ fuel, local }: FuelPlace, out: BinaryWriter): void {
  if (local === null) return
  writeIndexed(out, OP.localGet, local)
  writeIndexed(out, OP.globalSet, fuel)
}

/** What an operation over a length costs: the length, masked and scaled, and something always. */
export interface LengthPrice {
  /** Larger lengths than any that can succeed are cut, so that the fuel stays within its type. */
  readonly mask: number
  readonly scale: 'shift right' | 'shift left'
  readonly bits: number
  readonly base: number
}

/**
 * Prices in instructions, of well under a nanosecond each. Memory is filled at some 10 bytes a
 * nanosecond; an element of a table is written with a barrier; a page is asked of the system.
 */
export const PRICES = {
  bytes: { mask: 0x7fff_ffff, scale: 'shift right', bits: 3, base: 64 },
  elements: { mask: 0xff_ffff, scale: 'shift left', bits: 3, base: 64 },
  pages: { mask: 0x1_ffff, scale: 'shift left', bits: 10, base: 4096 },
} as const satisfies Readonly<Record<string, LengthPrice>>

/** The body of a function `(i32) -> i32` that charges by the length it is given and returns it. */
export function writeCharge(place: FuelPlace, price: LengthPrice, out: BinaryWriter): void {
  const { fuel } = place
  // No groups of locals.
  out.byte(0)
  writeIndexed(out, OP.globalGet, fuel)
  writeIndexed(out, OP.localGet, 0)
  writeConstant(out, price.mask)
  out.byte(OP.i32And)
  writeConstant(out, price.bits)
  out.byte(price.scale === 'shift left' ? OP.i32Shl : OP.i32ShrU)
  writeConstant(out, price.base)
  out.byte(OP.i32Add)
  out.byte(OP.i32Sub)
  writeIndexed(out, OP.globalSet, fuel)
  writeIndexed(out, OP.globalGet, fuel)
  writeRefuel(place, NOTHING_SAVED, out)
  writeIndexed(out, OP.localGet, 0)
  out.byte(OP.end)
}

/** How many globals are added. */
export const ADDED_GLOBALS = [...SPARE_GLOBALS.values()].reduce((sum, count) => sum + count, 1)

/** First values of the types of numbers: the constant's opcode and its bytes, all zero. */
const ZEROES: ReadonlyMap<number, Uint8Array> = new Map([
  [I32, Uint8Array.of(OP.i32Const, 0)],
  [VALUE_BYTES.i64, Uint8Array.of(OP.i64Const, 0)],
  [VALUE_BYTES.f32, Uint8Array.of(OP.f32Const, 0, 0, 0, 0)],
  [VALUE_BYTES.f64, Uint8Array.of(OP.f64Const, 0, 0, 0, 0, 0, 0, 0, 0)],
])

function writeGlobal(type: number, out: BinaryWriter): void {
  out.byte(type)
  // It is a variable.
  out.byte(1)
  out.raw(ZEROES.get(type)!)
  out.byte(OP.end)
}

/** The global that holds the fuel, which begins without any, and those for locals put aside. */
export function writeAddedGlobals(out: BinaryWriter): void {
  writeGlobal(I32, out)
  for (const [type, count] of SPARE_GLOBALS) {
    for (let left = count; left > 0; left--) writeGlobal(type, out)
  }
}
