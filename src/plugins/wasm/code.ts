/**
 * Meters the body of one function: every loop and every entry pays for its instructions, and asks
 * the host for more where the fuel is used up. Nothing else of what the function does is changed.
 *
 * Fuel is a global. A function with a loop that calls little keeps it in a local meanwhile, for
 * the global is read from memory and written back at every turn; around calls and at the end the
 * global is brought up to date. A trap leaves it behind, but then the instance is thrown away.
 */
import type { BinaryReader, BinaryWriter } from './binary.ts'
import { shifted } from './expression.ts'
import { type FuelPlace, NOTHING_SAVED, writeCheck, writeFetch, writeStore } from './fuel.ts'
import { FUNCTION_BYTES_MAX, FUNCTION_LOCALS_MAX } from './limits.ts'
import { BULK, I32, OP } from './opcodes.ts'
import { type Saved, spareFor } from './saved.ts'
import { BodyScan, COST, type CodeSpace, type Edit, readValueType } from './scan.ts'

/** The function whose body is metered. */
export interface Signature {
  /** The parameters' types, a byte each. */
  readonly params: Uint8Array
  /** The type of a block that takes nothing and has the function's results, as it is written. */
  readonly blockType: Uint8Array
}

/** Functions of so few instructions, without a call or a loop, are paid for by their callers. */
const SMALL_INSTRUCTIONS = 16
/** Bringing the global up to date around a call is worth it for so many instructions of a loop. */
const CALL_WORTH = 24
/** No function and no loop pays more at once, so that the fuel cannot pass below its type. */
const COST_MAX = 1 << 20

/** Up to here every instruction is paid for, and a part of those beyond it. */
const PAID_WHOLE = 64
/** Most of a long loop is passed over in most turns: this part of it is paid for in each. */
const PAID_PART = 4
/** A call and what a small function does, which is paid for by its caller. */
const PAID_CALL = COST.call + 1

/** What the entry, or a turn of a loop, pays for the instructions that stand there. */
function priceOf({ costs, calls }: BodyScan, payer: number): number {
  const paidWhole = Math.min(costs[payer]!, PAID_WHOLE + calls[payer]! * PAID_CALL)
  return Math.min(paidWhole + Math.ceil((costs[payer]! - paidWhole) / PAID_PART), COST_MAX)
}

/** Groups of locals as they stand in the module, and how many locals there are in all. */
function readLocals(reader: BinaryReader, params: Uint8Array) {
  const count = reader.count('groups of locals', FUNCTION_LOCALS_MAX)
  const start = reader.at
  const groups: { readonly end: number; readonly type: number }[] = []
  let locals = params.length
  for (let left = count; left > 0; left--) {
    locals += reader.u32()
    groups.push({ end: locals, type: readValueType(reader) })
    if (locals > FUNCTION_LOCALS_MAX) {
      reader.fail(`a function has ${locals} locals, at most ${FUNCTION_LOCALS_MAX}`)
    }
  }
  return { types: { params, groups }, locals, declared: reader.between(start, reader.at) }
}

/** Where a function that was read keeps its fuel: in a local, if it has a loop that gains by it. */
function placeOf({ costs, calls }: BodyScan, space: CodeSpace, locals: number): FuelPlace {
  const { fuel, refuel } = space
  const gains = costs.some((cost, payer) => payer > 0 && cost >= calls[payer]! * CALL_WORTH)
  return { fuel, refuel, local: gains ? locals : null }
}

/** Its locals are set to zero by each call, so they count as instructions do. */
function isSmall({ costs, calls }: BodyScan, locals: number): boolean {
  return costs.length === 1 && calls[0] === 0 && costs[0]! + locals <= SMALL_INSTRUCTIONS
}

/** Writes a call, with the global brought up to date for whoever is called. */
function writeCall(edit: Edit, space: CodeSpace, place: FuelPlace, out: BinaryWriter): void {
  writeStore(place, out)
  out.byte(edit.value)
  out.u32(edit.kind === 'charge' ? edit.index : shifted(edit.index, space))
  if (edit.value !== OP.returnCall) writeFetch(place, out)
}

/** Charges by what a table holds, which is on its way to grow. */
function writeGrowth(edit: Edit, space: CodeSpace, place: FuelPlace, out: BinaryWriter): void {
  out.byte(OP.bulk)
  out.u32(BULK.tableSize)
  out.u32(edit.value)
  writeCall({ ...edit, kind: 'charge', value: OP.call }, space, place, out)
  out.byte(OP.drop)
}

/** A body that was read, and how it is to be metered. */
interface Body {
  readonly scan: BodyScan
  readonly place: FuelPlace
  /** The locals that every loop puts aside while it asks for fuel. */
  readonly spare: readonly Saved[]
}

/** Copies the instructions, each edit in its place. */
function writeEdited(reader: BinaryReader, body: Body, space: CodeSpace, out: BinaryWriter): void {
  const { scan, place, spare } = body
  let copied = scan.start
  for (const edit of scan.edits) {
    out.raw(reader.between(copied, edit.from))
    copied = edit.to
    switch (edit.kind) {
      case 'check':
        writeCheck(place, priceOf(scan, edit.value), spare, out)
        break
      case 'call':
      case 'charge':
        writeCall(edit, space, place, out)
        break
      case 'growth':
        writeGrowth(edit, space, place, out)
        break
      case 'indirect call':
        writeStore(place, out)
        out.raw(reader.between(edit.from, edit.to))
        writeFetch(place, out)
        break
      case 'return':
        writeStore(place, out)
        break
      case 'function':
        out.byte(OP.refFunc)
        out.u32(shifted(edit.index, space))
    }
  }
  out.raw(reader.between(copied, reader.end))
}

/** What a body adds to the sums of its module. */
export interface BodySize {
  readonly locals: number
  readonly loops: number
}

/** Reads one body to its end and writes it metered; returns what counts for the module. */
export function meterBody(
  reader: BinaryReader,
  signature: Signature,
  space: CodeSpace,
  out: BinaryWriter,
): BodySize {
  if (reader.end - reader.at > FUNCTION_BYTES_MAX) {
    reader.fail(`a function has ${reader.end - reader.at} bytes, at most ${FUNCTION_BYTES_MAX}`)
  }
  const { types, locals, declared } = readLocals(reader, signature.params)
  const scan = new BodyScan(reader, space, locals)
  scan.run()
  const size = { locals, loops: scan.costs.length - 1 }
  const place = placeOf(scan, space, locals)
  const price = priceOf(scan, 0) + locals
  out.u32(place.local === null ? types.groups.length : types.groups.length + 1)
  out.raw(declared)
  if (place.local === null) {
    if (!isSmall(scan, locals)) writeCheck(place, price, NOTHING_SAVED, out)
    writeEdited(reader, { scan, place, spare: NOTHING_SAVED }, space, out)
    return size
  }
  const spare = spareFor(scan, types, space.fuel)
  out.u32(1)
  out.byte(I32)
  writeFetch(place, out)
  // At the entry only the parameters hold anything.
  const given = spare.filter(({ local }) => local < signature.params.length)
  writeCheck(place, price, given, out)
  // Branches out of the function end at this block, behind which the global is brought up to date.
  out.byte(OP.block)
  out.raw(signature.blockType)
  writeEdited(reader, { scan, place, spare }, space, out)
  writeStore(place, out)
  out.byte(OP.end)
  return size
}
