/** Constant expressions: the first values of globals, and where segments of data begin. */
import type { BinaryReader, BinaryWriter } from './binary.ts'
import { immediatesOf, OP, opcodeFlaw } from './opcodes.ts'
import { type CodeSpace, readValueType } from './scan.ts'

const V128_CONST = 12
/** The arithmetic that may stand in one, as of WebAssembly 3.0. */
const ARITHMETIC: ReadonlySet<number> = new Set([
  OP.i32Add,
  OP.i32Sub,
  OP.i32Mul,
  OP.i64Add,
  OP.i64Sub,
  OP.i64Mul,
])

/** The index that a function has since the import of `refuel` was added. */
export function shifted(index: number, space: Pick<CodeSpace, 'functionsImported'>): number {
  return index < space.functionsImported ? index : index + 1
}

/** What is wrong with an instruction that may not stand in one. */
function flawOf(opcode: number): string {
  const known = immediatesOf(opcode) !== 'unknown'
  const flaw = known ? `0x${opcode.toString(16)} is not constant` : opcodeFlaw(opcode)
  return `in a constant expression: ${flaw}`
}

/** Passes what follows an opcode, checking whatever is named. */
function skipImmediates(reader: BinaryReader, opcode: number, space: CodeSpace): void {
  switch (opcode) {
    case OP.i32Const:
    case OP.i64Const:
      reader.skipNumber()
      return
    case OP.f32Const:
      reader.skip(4)
      return
    case OP.f64Const:
      reader.skip(8)
      return
    case OP.globalGet:
      reader.index('global', space.globals)
      return
    case OP.refNull:
      readValueType(reader)
      return
    case OP.vector:
      if (reader.u32() !== V128_CONST) reader.fail('a constant expression computes with vectors')
      reader.skip(16)
      return
    default:
      if (!ARITHMETIC.has(opcode)) reader.fail(flawOf(opcode))
  }
}

/** Copies an expression to its end, with functions named by their new index. */
export function copyExpression(reader: BinaryReader, out: BinaryWriter, space: CodeSpace): void {
  for (;;) {
    const start = reader.at
    const opcode = reader.byte()
    if (opcode === OP.refFunc) {
      out.byte(opcode)
      out.u32(shifted(reader.index('function', space.functions), space))
      continue
    }
    if (opcode !== OP.end) skipImmediates(reader, opcode, space)
    out.raw(reader.between(start, reader.at))
    if (opcode === OP.end) return
  }
}
