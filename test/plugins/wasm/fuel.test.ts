/** What costs by its length is paid by its length, before it is done. */
import { describe, expect, test } from 'bun:test'
import { Exhausted, fromText, running } from '../../fixtures/wasm/metering.ts'

const GRANT = 10_000
const FIELDS = `(memory 16 16) (table $t 64 100 funcref) (table $x 0 100 externref)
  (data $d "0123456789abcdef") (elem $e func $f $f) (func $f)`

/** How often fuel is asked for while an instruction is done `times` times. */
function grantsOf(instruction: string, times: number): number {
  const guest = running(
    fromText(`${FIELDS} (func (export "run") (local $n i32) (loop $l ${instruction}
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $n) (i32.const ${times})))))`),
    { grant: GRANT },
  )
  expect(guest.call('run')).toBeUndefined()
  return guest.grants()
}

describe('an operation over a length', () => {
  const long: readonly (readonly [string, string])[] = [
    ['memory.fill', '(memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576))'],
    ['memory.copy', '(memory.copy (i32.const 0) (i32.const 1) (i32.const 1048575))'],
  ]
  for (const [name, instruction] of long) {
    test(`asks before each ${name} of a mebibyte`, () => {
      // And once for the entry.
      expect(grantsOf(instruction, 20)).toBe(21)
    })
  }

  const short: readonly (readonly [string, string])[] = [
    ['memory.fill', '(memory.fill (i32.const 0) (i32.const 1) (i32.const 8))'],
    ['memory.copy', '(memory.copy (i32.const 0) (i32.const 1) (i32.const 8))'],
    ['memory.init', '(memory.init $d (i32.const 0) (i32.const 0) (i32.const 16))'],
    ['table.init', '(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 2))'],
    ['table.copy', '(table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 8))'],
    ['table.fill', '(table.fill $t (i32.const 0) (ref.func $f) (i32.const 8))'],
    ['table.set', '(table.set $t (i32.const 0) (ref.func $f))'],
    ['data.drop', '(data.drop $d)'],
    ['elem.drop', '(elem.drop $e)'],
  ]
  for (const [name, instruction] of short) {
    test(`asks within thousands of short ${name}`, () => {
      const grants = grantsOf(instruction, 4000)
      expect(grants).toBeGreaterThan((4000 * 20) / GRANT)
      expect(grants).toBeLessThan((4000 * 400) / GRANT)
    })
  }

  test('pays for growth, also for the growth that fails', () => {
    expect(grantsOf('(drop (memory.grow (i32.const 1)))', 40)).toBeGreaterThan(20)
    expect(grantsOf('(drop (memory.grow (i32.const -1)))', 40)).toBeGreaterThan(40)
  })

  test('pays for all that a growing table holds, which the engine copies', () => {
    const empty = grantsOf('(drop (table.grow $x (ref.null extern) (i32.const 0)))', 1000)
    const full = grantsOf('(drop (table.grow $t (ref.null func) (i32.const 0)))', 1000)
    expect(full - empty).toBeGreaterThan((1000 * 64 * 8 * 0.9) / GRANT)
  })

  test('of any length leaves the fuel within its type', () => {
    const lengths = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_ffff, 0xff_ffff]
    for (const length of lengths) {
      const guest = running(
        fromText(`${FIELDS} (func (export "grow") (result i32)
            (memory.grow (i32.const ${length | 0})))
          (func (export "fill") (memory.fill (i32.const 0) (i32.const 0) (i32.const ${length | 0})))
          (func (export "turn") (loop $l (br $l)))`),
        { grant: 1, grantsMax: 20 },
      )
      guest.call('grow')
      guest.call('fill')
      expect(guest.call('turn')).toBeInstanceOf(Exhausted)
    }
  })
})

test('the first instruction that is paid asks, for an instance begins without fuel', () => {
  const guest = running(fromText(`${FIELDS} (func (export "run") (call $f))`))
  guest.call('run')
  expect(guest.grants()).toBe(1)
})

test('a host that throws where it is asked ends the guest with what it threw', () => {
  const text = '(func (export "run") (loop $l (br $l)))'
  expect(running(fromText(text), { grantsMax: 0 }).call('run')).toBeInstanceOf(Exhausted)
})
