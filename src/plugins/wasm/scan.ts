/**
 * Reads the body of one function: how many instructions each loop and the entry must pay for, and
 * where something is to be written. Indices are checked here against the module as it came, for
 * what the meter adds behind its functions, globals, types and locals is not the guest's to name.
 */
import type { BinaryReader } from './binary.ts'
import { FUNCTION_LOOPS_MAX, NESTING_MAX } from './limits.ts'
import {
  BULK,
  bulkFlaw,
  featureFlaw,
  immediatesOf,
  NO_RESULT,
  OP,
  opcodeFlaw,
  VALUE_TYPES,
  valueTypeFlaw,
  vectorImmediatesOf,
} from './opcodes.ts'

/** Where everything is, in the module as it is read and as it is written. */
export interface CodeSpace {
  readonly types: number
  readonly functions: number
  readonly functionsImported: number
  readonly globals: number
  readonly tables: number
  readonly dataSegments: number
  readonly elementSegments: number
  /** The imported function that grants fuel, behind the other imports. */
  readonly refuel: number
  /** Its type; the next is that of the functions that charge. */
  readonly refuelType: number
  /** The global that holds the fuel, behind all others. */
  readonly fuel: number
  /** Functions that charge by a length and hand it on; behind all others. */
  readonly chargeBytes: number
  readonly chargeElements: number
  readonly chargePages: number
}

/** What is paid beyond one for each instruction, in instructions. */
export const COST = {
  check: 6,
  call: 4,
  indirectCall: 6,
  branchTable: 4,
  // The engine leaves the compiled code for these.
  elementGet: 16,
  elementSet: 128,
  segment: 16,
} as const
/** Locals of a loop that are remembered; what uses more is slow in any case. */
const TOUCHED_MAX = 32
/** Set in an access's alignment where the number of a memory follows. */
const MEMORY_INDEX_FOLLOWS = 0x40

export type EditKind =
  | 'check'
  | 'call'
  | 'indirect call'
  | 'charge'
  | 'growth'
  | 'function'
  | 'return'

/** A place of the body where something is written instead of, or before, what stands there. */
export interface Edit {
  readonly kind: EditKind
  /** What stands between these places is left out. */
  readonly from: number
  readonly to: number
  /** check: the loop's number. call, charge: the opcode of the call. growth: the table. */
  readonly value: number
  /** call, function: the index in the module as it came; charge, growth: as it is written. */
  readonly index: number
}

/** Reads one body and remembers what is to be changed in it. */
export class BodyScan {
  readonly edits: Edit[] = []
  /** Instructions paid for by the entry (0) and by each loop (its number). */
  readonly costs = [0]
  /** By the same numbers: how many calls stand there. */
  readonly calls = [0]
  /** By the same numbers: the locals used there, loops within counted; null: too many to say. */
  readonly touched: (number[] | null)[] = [null]
  /** Where the instructions begin, behind the locals. */
  readonly start: number
  readonly #reader: BinaryReader
  readonly #space: CodeSpace
  readonly #locals: number
  /** For each open block: who pays for its instructions. */
  readonly #payers = [0]
  #payer = 0

  constructor(reader: BinaryReader, space: CodeSpace, locals: number) {
    this.start = reader.at
    this.#reader = reader
    this.#space = space
    this.#locals = locals
  }

  /** Reads to the function's own `end`, which must be the last byte. */
  run(): void {
    const reader = this.#reader
    while (this.#payers.length > 0) this.#instruction(reader.at, reader.byte())
    reader.finish('body of a function')
  }

  #edit(kind: EditKind, from: number, value = 0, index = 0): void {
    this.edits.push({ kind, from, to: this.#reader.at, value, index })
  }

  /** Something to be written before the instruction at a place, which stays. */
  #insert(kind: EditKind, at: number, value = 0): void {
    this.edits.push({ kind, from: at, to: at, value, index: 0 })
  }

  /** A call of a function that charges for the instruction at a place. */
  #charge(at: number, index: number): void {
    this.edits.push({ kind: 'charge', from: at, to: at, value: OP.call, index })
  }

  /** A table that grows is copied by the engine: what it holds is paid for, and what is added. */
  #growth(at: number, table: number): void {
    const { chargeElements } = this.#space
    this.#charge(at, chargeElements)
    this.edits.push({ kind: 'growth', from: at, to: at, value: table, index: chargeElements })
  }

  #pay(instructions: number): void {
    this.costs[this.#payer]! += instructions
  }

  #instruction(at: number, opcode: number): void {
    const reader = this.#reader
    this.#pay(1)
    switch (immediatesOf(opcode)) {
      case 'none':
        return
      case 'local':
        this.#touch(reader.index('local', this.#locals))
        return
      case 'global':
        reader.index('global', this.#space.globals)
        return
      case 'table':
        this.#pay(opcode === OP.tableSet ? COST.elementSet : COST.elementGet)
        reader.index('table', this.#space.tables)
        return
      case 'number':
        reader.skipNumber()
        return
      case 'four bytes':
        reader.skip(4)
        return
      case 'eight bytes':
        reader.skip(8)
        return
      case 'memory access':
        this.#memoryAccess()
        return
      case 'reference type':
        readValueType(reader)
        return
      case 'types':
        for (let left = reader.u32(); left > 0; left--) readValueType(reader)
        return
      default:
        this.#control(at, opcode)
    }
  }

  #control(at: number, opcode: number): void {
    switch (immediatesOf(opcode)) {
      case 'block':
        this.#open(this.#payer)
        return
      case 'loop':
        this.#loop()
        return
      case 'end':
        this.#close()
        return
      case 'label':
        this.#label()
        return
      case 'labels':
        this.#pay(COST.branchTable)
        for (let left = this.#reader.u32() + 1; left > 0; left--) this.#label()
        return
      case 'return':
        this.#insert('return', at)
        return
      default:
        this.#callOrCharge(at, opcode)
    }
  }

  #callOrCharge(at: number, opcode: number): void {
    const reader = this.#reader
    const { functions, chargePages } = this.#space
    switch (immediatesOf(opcode)) {
      case 'call':
      case 'return_call':
        this.#calls(COST.call)
        this.#edit('call', at, opcode, reader.index('function', functions))
        return
      case 'call_indirect':
      case 'return_call_indirect':
        this.#calls(COST.indirectCall)
        reader.index('type', this.#space.types)
        reader.index('table', this.#space.tables)
        if (opcode === OP.returnCallIndirect) this.#insert('return', at)
        else this.#edit('indirect call', at)
        return
      case 'function':
        this.#edit('function', at, opcode, reader.index('function', functions))
        return
      case 'memory':
        this.#memoryIndex()
        return
      case 'memory.grow':
        this.#memoryIndex()
        this.#charge(at, chargePages)
        return
      case 'bulk prefix':
        this.#bulk(at, reader.u32())
        return
      case 'vector prefix':
        this.#vector(reader.u32())
        return
      default:
        reader.fail(opcodeFlaw(opcode))
    }
  }

  /** Reads a block's type and opens it. */
  #open(payer: number): void {
    const reader = this.#reader
    const first = reader.peek()
    if (first === NO_RESULT || VALUE_TYPES.has(first)) reader.byte()
    else {
      const type = reader.s33()
      if (type < 0) reader.fail(valueTypeFlaw(first))
      if (type >= this.#space.types) reader.fail(`type ${type} does not exist`)
    }
    if (this.#payers.length > NESTING_MAX) {
      reader.fail(`a function nests more than ${NESTING_MAX} blocks; build it with smaller ones`)
    }
    this.#payers.push(payer)
    this.#payer = payer
  }

  #close(): void {
    const ended = this.#payers.pop()!
    this.#payer = this.#payers.at(-1) ?? 0
    if (ended === this.#payer) return
    const touched = this.touched[ended]!
    if (touched === null) this.touched[this.#payer] = null
    else for (const local of touched) this.#touch(local)
  }

  #touch(local: number): void {
    const touched = this.touched[this.#payer]!
    if (touched === null || touched.includes(local)) return
    if (touched.length < TOUCHED_MAX) touched.push(local)
    else this.touched[this.#payer] = null
  }

  #loop(): void {
    const number = this.costs.length
    this.costs.push(COST.check)
    this.calls.push(0)
    this.touched.push([])
    this.#open(number)
    if (number > FUNCTION_LOOPS_MAX) {
      this.#reader.fail(`a function has more than ${FUNCTION_LOOPS_MAX} loops`)
    }
    this.#insert('check', this.#reader.at, number)
  }

  /** A branch out of the function by more than its own label would pass the last accounting. */
  #label(): void {
    this.#reader.index('label', this.#payers.length)
  }

  #calls(cost: number): void {
    this.#pay(cost)
    this.calls[this.#payer]! += 1
  }

  #memoryAccess(): void {
    const alignment = this.#reader.u32()
    if ((alignment & MEMORY_INDEX_FOLLOWS) !== 0) this.#reader.fail(featureFlaw('multi-memory'))
    this.#reader.skipNumber()
  }

  #memoryIndex(): void {
    if (this.#reader.byte() !== 0) this.#reader.fail(featureFlaw('multi-memory'))
  }

  #bulk(at: number, number: number): void {
    const reader = this.#reader
    const { chargeBytes, chargeElements, dataSegments, elementSegments, tables } = this.#space
    if (number <= BULK.lastConversion) return
    switch (number) {
      case BULK.memoryInit:
        reader.index('data segment', dataSegments)
        this.#memoryIndex()
        return this.#charge(at, chargeBytes)
      case BULK.memoryCopy:
        this.#memoryIndex()
        this.#memoryIndex()
        return this.#charge(at, chargeBytes)
      case BULK.memoryFill:
        this.#memoryIndex()
        return this.#charge(at, chargeBytes)
      case BULK.dataDrop:
        this.#pay(COST.segment)
        reader.index('data segment', dataSegments)
        return
      case BULK.elementDrop:
        this.#pay(COST.segment)
        reader.index('element segment', elementSegments)
        return
      case BULK.tableInit:
        reader.index('element segment', elementSegments)
        reader.index('table', tables)
        return this.#charge(at, chargeElements)
      case BULK.tableCopy:
        reader.index('table', tables)
        reader.index('table', tables)
        return this.#charge(at, chargeElements)
      case BULK.tableGrow:
        return this.#growth(at, reader.index('table', tables))
      case BULK.tableFill:
        reader.index('table', tables)
        return this.#charge(at, chargeElements)
      case BULK.tableSize:
        reader.index('table', tables)
        return
      default:
        reader.fail(bulkFlaw(number))
    }
  }

  #vector(number: number): void {
    const reader = this.#reader
    switch (vectorImmediatesOf(number)) {
      case 'none':
        return
      case 'memory access':
        this.#memoryAccess()
        return
      case 'sixteen bytes':
        reader.skip(16)
        return
      case 'lane':
        reader.skip(1)
        return
      case 'access, lane':
        this.#memoryAccess()
        reader.skip(1)
        return
      case null:
        reader.fail(`0xfd ${number} is no instruction of WebAssembly 2.0`)
    }
  }
}

/** Reads one byte that must be a permitted type of a value; returns it. */
export function readValueType(reader: BinaryReader): number {
  const byte = reader.byte()
  return VALUE_TYPES.has(byte) ? byte : reader.fail(valueTypeFlaw(byte))
}
