/** What the instructions of a body may name, and how deep they may nest. */
import { describe, expect, test } from 'bun:test'
import { NESTING_MAX } from '../../../src/plugins/wasm/limits.ts'
import { type Bytes, codeModule, leb, vector } from '../../fixtures/wasm/binaries.ts'
import { metered, refusal } from '../../fixtures/wasm/metering.ts'

const unreachable = 0x00
const end = 0x0b

/** A body that the engine takes whatever is on the stack. */
function refusalOf(...code: Bytes): string {
  return refusal(codeModule([unreachable, ...code]))
}

describe('a body', () => {
  test('cannot name what is added behind the functions, globals, locals and types', () => {
    // The function itself is 0; the grant would be 0 or 1, what charges 2 to 4.
    for (const index of [1, 2, 3, 4, 5]) {
      const sentence = `p.wasm: function ${index} does not exist`
      for (const opcode of [0x10, 0x12, 0xd2]) expect(refusalOf(opcode, index)).toBe(sentence)
    }
    for (const opcode of [0x23, 0x24]) {
      expect(refusalOf(opcode, 1)).toBe('p.wasm: global 1 does not exist')
    }
    for (const opcode of [0x20, 0x21, 0x22]) {
      expect(refusalOf(opcode, 0)).toBe('p.wasm: local 0 does not exist')
      const looping = codeModule([0x03, 0x40, end, unreachable, opcode, 3], {
        locals: [1, 3, 0x7f],
      })
      expect(refusal(looping)).toBe('p.wasm: local 3 does not exist')
    }
    for (const type of [1, 2]) {
      const sentence = `p.wasm: type ${type} does not exist`
      for (const opcode of [0x11, 0x13]) expect(refusalOf(opcode, type, 0)).toBe(sentence)
      for (const opcode of [0x02, 0x03, 0x04]) expect(refusalOf(opcode, type, end)).toBe(sentence)
    }
  })

  test('cannot name tables and segments that it does not have', () => {
    for (const code of [
      [0x25, 1],
      [0x26, 1],
      [0x11, 0, 1],
      [0x13, 0, 1],
      [0xfc, 14, 1, 0],
      [0xfc, 14, 0, 1],
      [0xfc, 15, 1],
      [0xfc, 16, 1],
      [0xfc, 17, 1],
    ]) {
      expect(refusalOf(...code)).toBe('p.wasm: table 1 does not exist')
    }
    for (const code of [
      [8, 0, 0],
      [9, 0],
    ]) {
      expect(refusalOf(0xfc, ...code)).toBe('p.wasm: data segment 0 does not exist')
    }
    for (const code of [
      [12, 0, 0],
      [13, 0],
    ]) {
      expect(refusalOf(0xfc, ...code)).toBe('p.wasm: element segment 0 does not exist')
    }
  })

  test('cannot branch beyond its own label, by any branch', () => {
    for (const wrap of [[], [0x03, 0x40, end]]) {
      for (const branch of [
        [0x0c, 1],
        [0x0d, 1],
        [0x0e, 0, 1],
        [0x0e, 1, 1, 0],
        [0x0e, 1, 0, 1],
      ]) {
        expect(refusalOf(...wrap, ...branch)).toBe('p.wasm: label 1 does not exist')
      }
      const own = [0x0c, 0]
      expect(WebAssembly.validate(metered(codeModule([...wrap, ...own])).bytes)).toBe(true)
    }
  })

  test('may write its numbers longer than they need to be, which changes nothing', () => {
    const long = (value: number): Bytes => [0x80 | value, 0x80, 0x80, 0x80, 0x00]
    const code = [
      ...[0x03, 0x80, 0x80, 0x80, 0x80, 0x00, 0x10, ...long(0), 0x23, ...long(0), 0x1a, end],
      ...[0x41, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x28, ...long(2), ...long(5), 0x1a],
    ]
    const module = codeModule(code)
    expect(WebAssembly.validate(module)).toBe(true)
    expect(WebAssembly.validate(metered(module).bytes)).toBe(true)
    expect(refusal(codeModule([0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0]))).toContain('five bytes')
  })

  test('uses one memory, of 32 bits', () => {
    const flaw = 'it uses multi-memory'
    expect(refusalOf(0x28, 0x42, 0, 0)).toContain(flaw)
    expect(refusalOf(0xfd, 0, 0x40, 0, 0)).toContain(flaw)
    for (const code of [
      [0x3f, 1],
      [0x40, 1],
      [0xfc, 10, 0, 1],
      [0xfc, 10, 1, 0],
      [0xfc, 11, 1],
    ]) {
      expect(refusalOf(...code)).toContain(flaw)
    }
  })

  test('ends with its last byte', () => {
    expect(refusalOf(end)).toContain('its body of a function is longer than what it holds')
    const open = codeModule([], { code: vector([[2, 0, unreachable]]) })
    expect(refusal(open)).toContain('cut short')
    expect(refusal(codeModule([0x02, 0x40]))).toContain('cut short')
  })

  test('has no types of references or blocks that are refused', () => {
    expect(refusalOf(0xd0, 0x6e)).toContain('garbage collection')
    expect(refusalOf(0xd0, 0x69)).toContain('exception handling')
    expect(refusalOf(0x02, 0x6d, end)).toContain('garbage collection')
    expect(refusalOf(0x02, 0x63, 0x70, end)).toContain('typed function references')
    expect(refusalOf(0x1c, 1, 0x6b)).toContain('garbage collection')
    expect(refusal(codeModule([], { locals: [1, 1, 0x6e] }))).toContain('garbage collection')
  })

  test(`nests ${NESTING_MAX} blocks at most`, () => {
    const nested = (depth: number): Bytes => [
      ...Array<Bytes>(depth).fill([0x02, 0x40]).flat(),
      ...Array<number>(depth).fill(end),
    ]
    const sentence = `a function nests more than ${NESTING_MAX} blocks; build it with smaller ones`
    expect(() => metered(codeModule(nested(NESTING_MAX)))).not.toThrow()
    expect(refusal(codeModule(nested(NESTING_MAX + 1)))).toContain(sentence)
  })

  test('takes no count of labels or types on trust', () => {
    expect(refusalOf(0x0e, ...leb(2 ** 32 - 1))).toContain('does not exist')
    expect(refusalOf(0x1c, ...leb(2 ** 32 - 1))).toContain('0xb is no type of a value')
  })
})
