/** That every way to die is called by its name, in the engine's words of today. */
import { describe, expect, test } from 'bun:test'
import { noTraps, TRAP_KINDS, Trap, type TrapKind, trapOf } from '../../../src/plugins/wasm/trap.ts'
import { assemble } from '../../fixtures/wasm/kit.ts'

const INDIRECT = '(type $t (func (result i32))) (table $a 2 funcref)'
const F = '(func $f (export "f") (result i32)'

const cases: readonly (readonly [string, TrapKind, string])[] = [
  ['unreachable code', 'unreachable', `${F} unreachable)`],
  ['a division by zero', 'arithmetic', `${F} (i32.div_s (i32.const 1) (i32.load (i32.const 0))))`],
  ['a remainder of zero', 'arithmetic', `${F} (i32.rem_u (i32.const 1) (i32.load (i32.const 0))))`],
  [
    'a quotient that does not fit',
    'arithmetic',
    `${F} (i32.div_s (i32.const -2147483648) (i32.sub (i32.load (i32.const 0)) (i32.const 1))))`,
  ],
  [
    'a number too large for an integer',
    'arithmetic',
    `${F} (i32.trunc_f64_s (f64.div (f64.const 1) (f64.load (i32.const 0)))))`,
  ],
  ['a load outside', 'memory', `${F} (i32.load (i32.const 65536)))`],
  ['a store outside', 'memory', `${F} (i64.store (i32.const -8) (i64.const 1)) (i32.const 0))`],
  [
    'a fill outside',
    'memory',
    `${F} (memory.fill (i32.const 65530) (i32.const 1) (i32.const 100)) (i32.const 0))`,
  ],
  ['endless recursion', 'stack', `${F} (i32.add (i32.const 1) (call $f)))`],
  ['a call of null', 'indirect', `${INDIRECT} ${F} (call_indirect (type $t) (i32.const 0)))`],
  ['a call outside', 'indirect', `${INDIRECT} ${F} (call_indirect (type $t) (i32.const 9)))`],
  [
    'a call of another type',
    'indirect',
    `${INDIRECT} (elem (i32.const 0) $g) (func $g (param i32))
     ${F} (call_indirect (type $t) (i32.const 0)))`,
  ],
  [
    'a table read outside',
    'indirect',
    `${INDIRECT} ${F} (drop (table.get $a (i32.const 9))) (i32.const 0))`,
  ],
  ['data outside', 'memory', `${F} (i32.const 0)) (data (i32.const 65536) "a")`],
  ['elements outside', 'indirect', `${INDIRECT} (elem (i32.const 5) $f) ${F} (i32.const 0))`],
]

async function trapIn(text: string): Promise<Trap> {
  const module = await WebAssembly.compile(new Uint8Array(assemble(`(module (memory 1) ${text})`)))
  try {
    const { exports } = await WebAssembly.instantiate(module)
    if (typeof exports['f'] === 'function') exports['f']()
  } catch (thrown) {
    return trapOf(thrown)
  }
  throw new Error('it did not trap')
}

describe('a trap', () => {
  for (const [what, kind, text] of cases) {
    test(`by ${what} is of kind ${kind}`, async () => {
      const trap = await trapIn(text)
      expect(trap.kind).toBe(kind)
      expect(trap.message).not.toContain('evaluating')
      expect(trap.message).not.toBe('')
    })
  }

  test('that the host threw stays what it is', () => {
    const trap = new Trap('limit', 'too much', 'outputBytesMax')
    expect(trapOf(trap)).toBe(trap)
  })

  test('by anything else is of kind other, with its sentence', () => {
    expect(trapOf(new TypeError('odd'))).toMatchObject({ kind: 'other', message: 'odd' })
    expect(trapOf('text')).toMatchObject({ kind: 'other', message: 'text' })
    expect(trapOf(undefined)).toMatchObject({ kind: 'other', message: 'undefined' })
  })
})

test('traps are counted by kind, and those that never happened are zero', () => {
  const counts = noTraps()
  counts.add('stack')
  counts.add('stack')
  expect(counts.of('stack')).toBe(2)
  expect([...counts.entries()].map(([kind]) => kind)).toEqual([...TRAP_KINDS])
  expect(counts.of('deadline')).toBe(0)
})
