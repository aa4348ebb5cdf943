/** Constant expressions: copied with functions by their new index, and free of anything else. */
import { describe, expect, test } from 'bun:test'
import { type Bytes, codeModule, moduleOf, named, vector } from '../../fixtures/wasm/binaries.ts'
import { fromText, globalOf, refusal, running } from '../../fixtures/wasm/metering.ts'

/** A module with one function and one global of type i32 by this expression. */
function refusalOf(...expression: Bytes): string {
  return refusal(codeModule([], { globals: [1, 0x7f, 0, ...expression, 0x0b] }))
}

describe('a constant expression', () => {
  test('has the value that it had', () => {
    const guest = running(
      fromText(`(global (export "a") i32 (i32.const -77))
        (global (export "b") i32
          (i32.add (i32.const 7) (i32.mul (i32.const 3) (i32.sub (i32.const 9) (i32.const 2)))))
        (global (export "c") i64 (i64.mul (i64.const 4294967296) (i64.add (i64.const 2)
          (i64.sub (i64.const 5) (i64.const 4)))))
        (global (export "d") f32 (f32.const 1.5)) (global (export "e") f64 (f64.const -0.25))
        (global $v v128 (v128.const i32x4 1 2 3 4)) (global (export "n") funcref (ref.null func))
        (func (export "v") (result i32) (i32x4.extract_lane 2 (global.get $v)))`),
    )
    const values = ['a', 'b', 'c', 'd', 'e'].map((name) => globalOf(guest, name))
    expect(values).toEqual([-77, 28, 3 * 2 ** 32, 1.5, -0.25])
    expect(guest.call('v')).toBe(3)
  })

  test('names the same function as before', () => {
    const guest = running(
      fromText(`(import "m" "f" (func $imported (result i32)))
        (table 2 funcref) (global $i funcref (ref.func $imported))
        (global $own funcref (ref.func $seven))
        (func $six (result i32) (i32.const 6)) (func $seven (result i32) (i32.const 7))
        (func (export "imported") (result i32)
          (table.set 0 (i32.const 0) (global.get $i)) (call_indirect (result i32) (i32.const 0)))
        (func (export "own") (result i32)
          (table.set 0 (i32.const 1) (global.get $own))
          (call_indirect (result i32) (i32.const 1)))`),
      { imports: { m: { f: () => 5 } } },
    )
    expect([guest.call('imported'), guest.call('own')]).toEqual([5, 7])
  })

  test('cannot name what is added', () => {
    expect(refusalOf(0x23, 1)).toBe('p.wasm: global 1 does not exist')
    for (const index of [1, 2, 3, 4]) {
      const sentence = `p.wasm: function ${index} does not exist`
      expect(refusalOf(0xd2, index)).toBe(sentence)
      const elements = vector([[4, 0x41, 0, 0x0b, 1, 0xd2, index, 0x0b]])
      expect(refusal(codeModule([], { elements }))).toBe(sentence)
    }
    expect(refusal(codeModule([], { data: vector([[0, 0x23, 1, 0x0b, 0]]) }))).toContain('global 1')
  })

  test('computes with nothing but constants', () => {
    expect(refusalOf(0x10, 0)).toBe('p.wasm: in a constant expression: 0x10 is not constant')
    expect(refusalOf(0x20, 0)).toContain('0x20 is not constant')
    expect(refusalOf(0xfd, 0x0e)).toContain('computes with vectors')
    expect(refusalOf(0xfb, 0)).toContain('in a constant expression: it uses garbage collection')
    expect(refusalOf(0xd0, 0x6e)).toContain('garbage collection')
    expect(refusalOf(0x27)).toContain('0x27 is no instruction')
  })

  test('that does not end is refused', () => {
    expect(refusal(codeModule([], { globals: [1, 0x7f, 0, 0x41, 0] }))).toContain('cut short')
    expect(refusal(moduleOf({ globals: [1, 0x7d, 0, 0x43, 1] }))).toContain('cut short')
    expect(refusal(moduleOf({ exports: [1, ...named('x'), 3, 0] }))).toContain('global 0')
  })
})
