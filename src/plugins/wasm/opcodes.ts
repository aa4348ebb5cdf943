/**
 * The instructions of WebAssembly, by opcode: their names, what follows them in the binary, and
 * which features are refused because their cost or effect cannot be bounded. Names and numbers are
 * those of the specification (release 2.0, appendix A.7, and tail calls of 3.0).
 */

/** What follows an opcode; the meter reads each kind in its own way. */
export const IMMEDIATES = [
  'unknown',
  'none',
  'block',
  'loop',
  'end',
  'label',
  'labels',
  'return',
  'call',
  'call_indirect',
  'return_call',
  'return_call_indirect',
  'types',
  'local',
  'global',
  'table',
  'memory access',
  'memory',
  'memory.grow',
  'number',
  'four bytes',
  'eight bytes',
  'reference type',
  'function',
  'bulk prefix',
  'vector prefix',
] as const
export type Immediates = (typeof IMMEDIATES)[number]

type Row = readonly [first: number, immediates: Immediates, names: string]

/** Instructions of one byte, in runs of consecutive opcodes. */
const PLAIN: readonly Row[] = [
  [0x00, 'none', 'unreachable nop'],
  [0x02, 'block', 'block'],
  [0x03, 'loop', 'loop'],
  [0x04, 'block', 'if'],
  [0x05, 'none', 'else'],
  [0x0b, 'end', 'end'],
  [0x0c, 'label', 'br br_if'],
  [0x0e, 'labels', 'br_table'],
  [0x0f, 'return', 'return'],
  [0x10, 'call', 'call'],
  [0x11, 'call_indirect', 'call_indirect'],
  [0x12, 'return_call', 'return_call'],
  [0x13, 'return_call_indirect', 'return_call_indirect'],
  [0x1a, 'none', 'drop select'],
  [0x1c, 'types', 'select_t'],
  [0x20, 'local', 'local.get local.set local.tee'],
  [0x23, 'global', 'global.get global.set'],
  [0x25, 'table', 'table.get table.set'],
  [0x28, 'memory access', 'i32.load i64.load f32.load f64.load'],
  [0x2c, 'memory access', 'i32.load8_s i32.load8_u i32.load16_s i32.load16_u'],
  [0x30, 'memory access', 'i64.load8_s i64.load8_u i64.load16_s i64.load16_u'],
  [0x34, 'memory access', 'i64.load32_s i64.load32_u'],
  [0x36, 'memory access', 'i32.store i64.store f32.store f64.store'],
  [0x3a, 'memory access', 'i32.store8 i32.store16 i64.store8 i64.store16 i64.store32'],
  [0x3f, 'memory', 'memory.size'],
  [0x40, 'memory.grow', 'memory.grow'],
  [0x41, 'number', 'i32.const i64.const'],
  [0x43, 'four bytes', 'f32.const'],
  [0x44, 'eight bytes', 'f64.const'],
  [0x45, 'none', 'i32.eqz i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s i32.gt_u i32.le_s i32.le_u'],
  [0x4e, 'none', 'i32.ge_s i32.ge_u i64.eqz i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u'],
  [0x57, 'none', 'i64.le_s i64.le_u i64.ge_s i64.ge_u f32.eq f32.ne f32.lt f32.gt f32.le f32.ge'],
  [0x61, 'none', 'f64.eq f64.ne f64.lt f64.gt f64.le f64.ge i32.clz i32.ctz i32.popcnt i32.add'],
  [0x6b, 'none', 'i32.sub i32.mul i32.div_s i32.div_u i32.rem_s i32.rem_u i32.and i32.or i32.xor'],
  [
    0x74,
    'none',
    'i32.shl i32.shr_s i32.shr_u i32.rotl i32.rotr i64.clz i64.ctz i64.popcnt i64.add',
  ],
  [0x7d, 'none', 'i64.sub i64.mul i64.div_s i64.div_u i64.rem_s i64.rem_u i64.and i64.or i64.xor'],
  [
    0x86,
    'none',
    'i64.shl i64.shr_s i64.shr_u i64.rotl i64.rotr f32.abs f32.neg f32.ceil f32.floor',
  ],
  [0x8f, 'none', 'f32.trunc f32.nearest f32.sqrt f32.add f32.sub f32.mul f32.div f32.min f32.max'],
  [0x98, 'none', 'f32.copysign f64.abs f64.neg f64.ceil f64.floor f64.trunc f64.nearest f64.sqrt'],
  [0xa0, 'none', 'f64.add f64.sub f64.mul f64.div f64.min f64.max f64.copysign i32.wrap_i64'],
  [0xa8, 'none', 'i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s i32.trunc_f64_u'],
  [0xac, 'none', 'i64.extend_i32_s i64.extend_i32_u i64.trunc_f32_s i64.trunc_f32_u'],
  [0xb0, 'none', 'i64.trunc_f64_s i64.trunc_f64_u f32.convert_i32_s f32.convert_i32_u'],
  [0xb4, 'none', 'f32.convert_i64_s f32.convert_i64_u f32.demote_f64 f64.convert_i32_s'],
  [0xb8, 'none', 'f64.convert_i32_u f64.convert_i64_s f64.convert_i64_u f64.promote_f32'],
  [0xbc, 'none', 'i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32'],
  [0xbf, 'none', 'f64.reinterpret_i64 i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s'],
  [0xc4, 'none', 'i64.extend32_s'],
  [0xd0, 'reference type', 'ref.null'],
  [0xd1, 'none', 'ref.is_null'],
  [0xd2, 'function', 'ref.func'],
  [0xfc, 'bulk prefix', 'bulk'],
  [0xfd, 'vector prefix', 'vector'],
]

/** Opcodes of refused proposals, from the first to the last. */
const REFUSED: readonly (readonly [first: number, last: number, feature: string])[] = [
  [0x06, 0x0a, 'exception handling'],
  [0x14, 0x15, 'typed function references'],
  [0x18, 0x19, 'exception handling'],
  [0x1f, 0x1f, 'exception handling'],
  [0xd3, 0xd6, 'typed function references and garbage collection'],
  [0xe0, 0xe6, 'stack switching'],
  [0xfb, 0xfb, 'garbage collection'],
  [0xfe, 0xfe, 'threads'],
]

/** What each byte means as the first of an instruction, as an index of IMMEDIATES. */
const KIND_OF = new Uint8Array(256)
for (const [first, immediates, names] of PLAIN) {
  KIND_OF.fill(IMMEDIATES.indexOf(immediates), first, first + names.split(' ').length)
}

/** What follows an instruction's first byte. */
export function immediatesOf(opcode: number): Immediates {
  return IMMEDIATES[KIND_OF[opcode]!]!
}

/** What is wrong with an opcode that is not among the permitted ones. */
export function opcodeFlaw(opcode: number): string {
  const row = REFUSED.find(([first, last]) => first <= opcode && opcode <= last)
  if (row !== undefined) return featureFlaw(row[2])
  return `0x${opcode.toString(16)} is no instruction of WebAssembly 2.0`
}

/** The sentence for a module that needs a feature which is refused. */
export function featureFlaw(feature: string): string {
  return `it uses ${feature}, which is not permitted to plugins; build it without`
}

/** What is wrong with a number behind the prefix 0xfc that is not among the permitted ones. */
export function bulkFlaw(number: number): string {
  if (number >= 19 && number <= 22) return featureFlaw('wide arithmetic')
  return `0xfc ${number} is no instruction of WebAssembly 2.0`
}

/** Instructions behind the prefix 0xfc, by number: saturating conversions and bulk operations. */
export const BULK = {
  lastConversion: 7,
  memoryInit: 8,
  dataDrop: 9,
  memoryCopy: 10,
  memoryFill: 11,
  tableInit: 12,
  elementDrop: 13,
  tableCopy: 14,
  tableGrow: 15,
  tableSize: 16,
  tableFill: 17,
} as const

/** What follows an instruction behind the prefix 0xfd. */
export type VectorImmediates = 'none' | 'memory access' | 'sixteen bytes' | 'lane' | 'access, lane'

/** Instructions of vectors that carry something, from the first to the last. */
const VECTOR: readonly (readonly [first: number, last: number, immediates: VectorImmediates])[] = [
  // v128.load, its widening and splatting forms, v128.store
  [0, 11, 'memory access'],
  // v128.const, i8x16.shuffle
  [12, 13, 'sixteen bytes'],
  // extract_lane and replace_lane
  [21, 34, 'lane'],
  // v128.load8_lane to v128.store64_lane
  [84, 91, 'access, lane'],
  // v128.load32_zero, v128.load64_zero
  [92, 93, 'memory access'],
]
/** The last of the relaxed vector instructions. */
const VECTOR_LAST = 0x113

/** What follows a vector instruction, or null where there is no such instruction. */
export function vectorImmediatesOf(number: number): VectorImmediates | null {
  if (number > VECTOR_LAST) return null
  return VECTOR.find(([first, last]) => first <= number && number <= last)?.[2] ?? 'none'
}

/** Types of values that a plugin may use, by their byte. */
export const VALUE_TYPES: ReadonlyMap<number, string> = new Map([
  [0x7f, 'i32'],
  [0x7e, 'i64'],
  [0x7d, 'f32'],
  [0x7c, 'f64'],
  [0x7b, 'v128'],
  [0x70, 'funcref'],
  [0x6f, 'externref'],
])

/** What is wrong with a byte that is no permitted type of a value. */
export function valueTypeFlaw(byte: number): string {
  if (byte === 0x69 || byte === 0x74) return featureFlaw('exception handling')
  if (byte === 0x68 || byte === 0x75) return featureFlaw('stack switching')
  if (byte === 0x63 || byte === 0x64) return featureFlaw('typed function references')
  if (byte >= 0x6a && byte <= 0x78) return featureFlaw('garbage collection')
  return `0x${byte.toString(16)} is no type of a value`
}

/** The few instructions that the meter itself writes. */
export const OP = {
  block: 0x02,
  if: 0x04,
  end: 0x0b,
  call: 0x10,
  returnCall: 0x12,
  returnCallIndirect: 0x13,
  drop: 0x1a,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  tableSet: 0x26,
  i32Const: 0x41,
  i64Const: 0x42,
  f32Const: 0x43,
  f64Const: 0x44,
  i32LtS: 0x48,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Mul: 0x6c,
  i32And: 0x71,
  i32Shl: 0x74,
  i32ShrU: 0x76,
  i64Add: 0x7c,
  i64Sub: 0x7d,
  i64Mul: 0x7e,
  refNull: 0xd0,
  refFunc: 0xd2,
  bulk: 0xfc,
  vector: 0xfd,
} as const

/** A block, loop or if without parameters and results. */
export const NO_RESULT = 0x40
/** The byte of the type i32. */
export const I32 = 0x7f
/** The bytes of the other types of numbers. */
export const VALUE_BYTES = { i64: 0x7e, f32: 0x7d, f64: 0x7c } as const
