/**
 * The table of instructions against the engine, which has its own: every opcode that is permitted
 * has exactly the immediates that the engine reads, and every other one is refused by name.
 */
import { describe, expect, test } from 'bun:test'
import {
  bulkFlaw,
  type Immediates,
  immediatesOf,
  opcodeFlaw,
  VALUE_TYPES,
  valueTypeFlaw,
  vectorImmediatesOf,
} from '../../../src/plugins/wasm/opcodes.ts'
import { type Bytes, body, leb, moduleOf, vector } from '../../fixtures/wasm/binaries.ts'
import { metered, refusal } from '../../fixtures/wasm/metering.ts'

/** Of everything there are twelve, so that each index may be 11: the byte that ends a function. */
const TWELVE = 12
const LAST = 11
const twelve = (item: Bytes): Bytes => vector(Array<Bytes>(TWELVE).fill(item))

/**
 * An instruction behind its operands, by default behind `unreachable`, where any operands are
 * taken; in blocks, so that labels are there too.
 */
function moduleWith(instruction: Bytes, operands: Bytes = [0x00]): Uint8Array {
  const code = [
    ...Array<Bytes>(TWELVE).fill([0x02, 0x40]).flat(),
    // Behind it a constant that is dropped, so that nothing is eaten unseen.
    ...[...operands, ...instruction, 0x41, 0x07, 0x1a, 0x00],
    ...Array<number>(TWELVE).fill(0x0b),
  ]
  const bodies = [body(code, [1, TWELVE, 0x7f]), ...Array<Bytes>(LAST).fill(body([]))]
  return moduleOf({
    types: twelve([0x60, 0, 0]),
    functions: twelve([0]),
    tables: twelve([0x70, 0, 1]),
    memories: [1, 0, 1],
    globals: twelve([0x7f, 1, 0x41, 0, 0x0b]),
    elements: vector([[0, 0x41, 0, 0x0b, 1, LAST], ...Array<Bytes>(LAST).fill([1, 0, 0])]),
    dataCount: [TWELVE],
    code: vector(bodies),
    data: twelve([1, 0]),
  })
}

/** What stands behind an opcode; where it can be, a byte that would end the function. */
const IMMEDIATE_BYTES: Readonly<Partial<Record<Immediates, Bytes>>> = {
  none: [],
  block: [0x40, 0x0b],
  loop: [0x40, 0x0b],
  label: [LAST],
  labels: [1, LAST, LAST],
  return: [],
  call: [LAST],
  call_indirect: [LAST, LAST],
  return_call: [LAST],
  return_call_indirect: [LAST, LAST],
  types: [1, 0x7f],
  local: [LAST],
  global: [LAST],
  table: [LAST],
  'memory access': [0, LAST],
  memory: [0],
  'memory.grow': [0],
  number: [LAST],
  'four bytes': Array<number>(4).fill(LAST),
  'eight bytes': Array<number>(8).fill(LAST),
  'reference type': [0x70],
  function: [LAST],
}
const VECTOR_BYTES = {
  none: [],
  'memory access': [0, LAST],
  'sixteen bytes': Array<number>(16).fill(LAST),
  lane: [1],
  'access, lane': [0, LAST, 1],
} as const
const BULK_BYTES: readonly Bytes[] = [
  ...Array<Bytes>(8).fill([]),
  [LAST, 0],
  [LAST],
  [0, 0],
  [0],
  [LAST, LAST],
  [LAST],
  ...[[LAST, LAST], [LAST], [LAST], [LAST]],
]
const ELSE = 0x05
const END = 0x0b

/** A value of each type, as an instruction. */
const VALUES: readonly Bytes[] = [
  [0x41, 0],
  [0x42, 0],
  [0x43, ...Array<number>(4).fill(0)],
  [0x44, ...Array<number>(8).fill(0)],
  [0xfd, 12, ...Array<number>(16).fill(0)],
  [0xd0, 0x70],
  [0xd0, 0x6f],
]
const I32 = VALUES[0]!
const V128 = VALUES[4]!
/** Every combination of operands that any instruction takes. */
const OPERANDS: readonly Bytes[] = [
  [],
  ...VALUES.flatMap((value) =>
    [
      [value],
      [value, value],
      [value, value, value],
      [I32, value],
      [value, I32],
      [value, value, I32],
      [I32, value, I32],
      [V128, value],
    ].map((operands) => operands.flat()),
  ),
]

function expectPermitted(instruction: Bytes): void {
  const hex = instruction.map((byte) => byte.toString(16)).join(' ')
  // The engine reads code that is never reached in another way.
  const reached = OPERANDS.find((operands) =>
    WebAssembly.validate(moduleWith(instruction, operands)),
  )
  expect({ hex, reached: reached !== undefined }).toEqual({ hex, reached: true })
  for (const bytes of [moduleWith(instruction), moduleWith(instruction, reached)]) {
    expect({ hex, valid: WebAssembly.validate(bytes) }).toEqual({ hex, valid: true })
    expect({ hex, valid: WebAssembly.validate(metered(bytes).bytes) }).toEqual({ hex, valid: true })
  }
}

describe('an opcode', () => {
  const all = Array.from({ length: 256 }, (_, opcode) => opcode)
  const permitted = all.filter((opcode) => IMMEDIATE_BYTES[immediatesOf(opcode)] !== undefined)

  test('that is permitted has the immediates that the engine reads', () => {
    // 172 of WebAssembly 1.0 but for `end`, five that extend signs, two tail calls, six of tables.
    expect(permitted.length).toBe(171 + 5 + 2 + 6)
    for (const opcode of permitted) {
      const immediates = IMMEDIATE_BYTES[immediatesOf(opcode)] ?? []
      if (opcode !== ELSE && opcode !== END) expectPermitted([opcode, ...immediates])
    }
    expectPermitted([0x04, 0x40, ELSE, END])
  })

  test('that is not permitted is refused by its feature, or unknown to the engine as well', () => {
    const unknown = all.filter((opcode) => immediatesOf(opcode) === 'unknown')
    for (const opcode of unknown) {
      expect(refusal(moduleWith([opcode]))).toBe(`p.wasm: ${opcodeFlaw(opcode)}`)
      if (opcodeFlaw(opcode).includes('which is not permitted')) continue
      for (const immediates of [[], [0], [0, 0], [0x40, 0x0b], [0x70]]) {
        expect(WebAssembly.validate(moduleWith([opcode, ...immediates]))).toBe(false)
      }
    }
  })

  const named: readonly (readonly [string, readonly number[]])[] = [
    ['exception handling', [0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f]],
    ['typed function references', [0x14, 0x15, 0xd4, 0xd5, 0xd6]],
    ['garbage collection', [0xd3, 0xfb]],
    ['threads', [0xfe]],
    ['stack switching', [0xe0, 0xe3, 0xe6]],
  ]
  for (const [feature, opcodes] of named) {
    test(`of ${feature} is refused by that name`, () => {
      for (const opcode of opcodes) expect(refusal(moduleWith([opcode]))).toContain(feature)
    })
  }
})

describe('a number behind the prefix 0xfc', () => {
  test('that is permitted has the immediates that the engine reads', () => {
    for (const [number, immediates] of BULK_BYTES.entries()) {
      expectPermitted([0xfc, number, ...immediates])
    }
  })

  test('that is not permitted is refused, by its feature where there is one', () => {
    for (let number = BULK_BYTES.length; number < 300; number++) {
      expect(refusal(moduleWith([0xfc, ...leb(number)]))).toBe(`p.wasm: ${bulkFlaw(number)}`)
      const valid = WebAssembly.validate(moduleWith([0xfc, ...leb(number)]))
      expect({ number, valid }).toEqual({ number, valid: number >= 19 && number <= 22 })
    }
    expect(bulkFlaw(19)).toContain('wide arithmetic')
  })
})

describe('a vector instruction', () => {
  test('is permitted exactly where the engine has one, with the immediates it reads', () => {
    let found = 0
    for (let number = 0; number < 400; number++) {
      const kind = vectorImmediatesOf(number)
      const instruction = [0xfd, ...leb(number), ...VECTOR_BYTES[kind ?? 'none']]
      const bytes = moduleWith(instruction)
      if (WebAssembly.validate(bytes)) {
        expectPermitted(instruction)
        found++
        continue
      }
      if (kind === null) expect(refusal(bytes)).toContain('no instruction of WebAssembly 2.0')
      else expect(WebAssembly.validate(metered(bytes).bytes)).toBe(false)
    }
    // All of the fixed and the relaxed ones.
    expect(found).toBe(236 + 20)
  })
})

describe('a type of a value', () => {
  const typed = (byte: number) => moduleOf({ types: vector([[0x60, 1, byte, 0]]) })

  test('is permitted exactly where the engine has it, but for refused features', () => {
    for (let byte = 0; byte < 256; byte++) {
      const valid = WebAssembly.validate(typed(byte))
      if (VALUE_TYPES.has(byte)) expect({ byte, valid }).toEqual({ byte, valid: true })
      else expect(refusal(typed(byte))).toBe(`p.wasm: ${valueTypeFlaw(byte)}`)
      if (valid && !VALUE_TYPES.has(byte)) expect(valueTypeFlaw(byte)).toContain('not permitted')
    }
  })

  test('of a refused feature is refused by that name', () => {
    expect(valueTypeFlaw(0x69)).toContain('exception handling')
    expect(valueTypeFlaw(0x64)).toContain('typed function references')
    expect(valueTypeFlaw(0x6e)).toContain('garbage collection')
    expect(valueTypeFlaw(0x68)).toContain('stack switching')
    expect(valueTypeFlaw(0x01)).toBe('0x1 is no type of a value')
  })
})
