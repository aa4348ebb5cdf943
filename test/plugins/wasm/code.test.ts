/**
 * Nothing runs long without asking: every shape of endless code is ended by a host that grants no
 * more, and has then done about as much as it was granted. Code that ends pays on every way out.
 */
import { describe, expect, test } from 'bun:test'
import {
  FUNCTION_BYTES_MAX,
  FUNCTION_LOCALS_MAX,
  FUNCTION_LOOPS_MAX,
} from '../../../src/plugins/wasm/limits.ts'
import {
  type Bytes,
  body,
  codeModule,
  leb,
  moduleOf,
  type Parts,
  vector,
} from '../../fixtures/wasm/binaries.ts'
import {
  Exhausted,
  fromText,
  globalOf,
  metered,
  refusal,
  running,
} from '../../fixtures/wasm/metering.ts'

const GRANT = 2000
const GRANTS_MAX = 50
/** No more instructions than this may run for one that was paid, and no fewer than its inverse. */
const UNPAID_MAX = 8
const OVERPAID_MAX = 12

const WORK = '(global $work (export "work") (mut i32) (i32.const 0))'
/** Four instructions, counted once. */
const COUNT = '(global.set $work (i32.add (global.get $work) (i32.const 1)))'
const nops = (count: number): string => '(drop (i32.const 1))'.repeat(count)

interface Shape {
  readonly what: string
  readonly fields: string
  /** Instructions for each one that is counted. */
  readonly each: number
}

const run = (code: string): string => `(func (export "run") ${code})`

const ENDLESS: readonly Shape[] = [
  { what: 'a loop', fields: run(`(loop $l ${COUNT} (br $l))`), each: 5 },
  { what: 'a loop by br_if', fields: run(`(loop $l ${COUNT} (br_if $l (i32.const 1)))`), each: 6 },
  {
    what: 'a loop by br_table',
    fields: run(`(loop $l (block $a (block $b ${COUNT}
      (br_table $a $l $b (i32.and (global.get $work) (i32.const 1)))) (br $l)) (br $l))`),
    each: 9,
  },
  {
    what: 'a long loop that mostly goes round early',
    fields: run(`(loop $l ${COUNT} (br_if $l (i32.const 1)) ${nops(25)} (br $l))`),
    each: 6,
  },
  {
    what: 'nested loops',
    fields: run(`(loop $o (loop $m (loop $i ${COUNT} (br_if $i (i32.and (global.get $work)
      (i32.const 3))) (br_if $m (i32.and (global.get $work) (i32.const 7)))) (br $o)))`),
    each: 8,
  },
  {
    what: 'a loop with parameters and results',
    fields: `(func (export "run") (result i32 i64) (i32.const 1) (i64.const 2)
      (loop $l (param i32 i64) (result i32 i64) ${COUNT} (br $l)))`,
    each: 5,
  },
  {
    what: 'a loop in a function with parameters, locals and several results',
    fields: `(func $f (param i32 f64) (result f64 i32) (local i64 v128)
        (loop $l ${COUNT} (br_if $l (local.get 0))) (local.get 1) (local.get 0))
      ${run('(call $f (i32.const 1) (f64.const 1)) (drop) (drop)')}`,
    each: 7,
  },
  {
    what: 'recursion',
    fields: `(func $f (export "run") ${COUNT} (call $f) (drop (i32.const 1)))`,
    each: 5,
  },
  { what: 'tail recursion', fields: `(func $f (export "run") ${COUNT} (return_call $f))`, each: 5 },
  {
    what: 'tail recursion of two functions with different parameters',
    fields: `(func $a (param i32) ${COUNT} (return_call $b (local.get 0) (i64.const 1)))
      (func $b (param i32 i64) (return_call $a (local.get 0)))
      ${run('(return_call $a (i32.const 1))')}`,
    each: 9,
  },
  {
    what: 'tail recursion through a table',
    fields: `(type $v (func)) (table 1 funcref) (elem (i32.const 0) $f)
      (func $f (export "run") ${COUNT} (return_call_indirect (type $v) (i32.const 0)))`,
    each: 6,
  },
  {
    what: 'tail recursion out of a loop',
    fields: `(func $f (export "run")
      (loop $l ${COUNT} ${nops(20)} (br_if $l (i32.and (global.get $work) (i32.const 3))))
      (return_call $f))`,
    each: 48,
  },
  {
    what: 'calls of a small function',
    fields: `(func $s ${COUNT} ${nops(5)}) ${run('(loop $l (call $s) (br $l))')}`,
    each: 16,
  },
  {
    what: 'many calls of a small function',
    fields: `(func $s ${COUNT} ${nops(5)})
      ${run(`(loop $l ${'(call $s)'.repeat(100)} (br $l))`)}`,
    each: 15,
  },
  {
    what: 'calls of a small function through a table',
    fields: `(type $v (func)) (table 1 funcref) (elem (i32.const 0) $s)
      (func $s ${COUNT} ${nops(5)})
      ${run(`(loop $l ${'(call_indirect (type $v) (i32.const 0))'.repeat(20)} (br $l))`)}`,
    each: 16,
  },
  {
    what: 'calls of a function with many locals, which are set to zero',
    fields: `(func $s (local ${'i64 '.repeat(200)}) ${COUNT})
      ${run('(loop $l (call $s) (call $s) (br $l))')}`,
    each: 205,
  },
  ...['(return)', '(br 1)', '(br_table 1 1 (i32.const 0))', '(br_if 1 (i32.const 1))'].map(
    (exit) => ({
      what: `early exits from a loop by ${exit}`,
      fields: `(func $f (loop $i ${COUNT} ${nops(20)} ${exit} (br $i)))
        ${run('(loop $l (call $f) (br $l))')}`,
      each: 46,
    }),
  ),
]

describe('code without end is ended, and pays for what it does:', () => {
  for (const { what, fields, each } of ENDLESS) {
    test(what, () => {
      const guest = running(fromText(WORK + fields), { grant: GRANT, grantsMax: GRANTS_MAX })
      expect(guest.call('run')).toBeInstanceOf(Exhausted)
      const ratio = (globalOf(guest, 'work') * each) / (GRANT * GRANTS_MAX)
      expect(ratio).toBeLessThan(UNPAID_MAX)
      expect(ratio).toBeGreaterThan(1 / OVERPAID_MAX)
    })
  }
})

/** Over what any one check pays, for what is paid beyond a grant is forgiven. */
const FINE_GRANT = 4000

/** How much a call of `run` paid, as far as grants show it. */
function paidBy(fields: string): number {
  const guest = running(fromText(fields), { grant: FINE_GRANT })
  expect(guest.call('run')).not.toBeInstanceOf(Error)
  return guest.grants() * FINE_GRANT
}

describe('fuel that a function keeps in a local', () => {
  const quiet = `(local $i i32) (local.set $i (i32.const 100))
    (loop $l ${nops(12)} (local.set $i (i32.sub (local.get $i) (i32.const 1)))
      (br_if $l (local.get $i)))`
  const PER_CALL = 100 * 30

  const exits: readonly (readonly [string, string])[] = [
    ['its end', ''],
    ['return', '(return)'],
    ['a branch', '(br 0)'],
    ['a branch if', '(br_if 0 (i32.const 1))'],
    ['a table of branches', '(br_table 0 0 (i32.const 0))'],
    ['a tail call', '(return_call $other)'],
    ['an indirect tail call', '(return_call_indirect (type $v) (i32.const 0))'],
    ['a return within blocks', '(block (block (if (i32.const 1) (then (return)))))'],
  ]
  for (const [what, exit] of exits) {
    test(`is handed back by ${what}`, () => {
      const paid = paidBy(`(type $v (func)) (table 1 funcref) (elem (i32.const 0) $other)
        (func $other (drop (i32.const 1))) (func $f ${quiet} ${exit})
        ${run(
          '(local $n i32) (loop $l (call $f) (local.set $n (i32.add (local.get $n) ' +
            '(i32.const 1))) (br_if $l (i32.lt_u (local.get $n) (i32.const 40))))',
        )}`)
      expect(paid).toBeGreaterThan(40 * PER_CALL * 0.8)
      expect(paid).toBeLessThan(40 * PER_CALL * 2)
    })
  }

  const calls: readonly (readonly [string, string])[] = [
    ['a call', '(call $f)'],
    ['an indirect call', '(call_indirect (type $v) (i32.const 0))'],
    [
      'a call that charges by length',
      '(memory.fill (i32.const 0) (i32.const 0) (i32.const 24000))',
    ],
  ]
  for (const [what, call] of calls) {
    test(`knows what was spent in ${what}`, () => {
      const paid = paidBy(`(memory 1) (type $v (func)) (table 1 funcref) (elem (i32.const 0) $f)
        (func $f ${quiet})
        ${run(`(local $n i32) (loop $l ${nops(50)} ${call}
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $n) (i32.const 40))))`)}`)
      expect(paid).toBeGreaterThan(40 * PER_CALL * 0.6)
      expect(paid).toBeLessThan(40 * PER_CALL * 2)
    })
  }

  test('leaves results of every type as they were', () => {
    const loop = `(loop $l ${nops(12)} (br_if $l (i32.const 0)))`
    const guest = running(
      fromText(`(func (export "none") ${loop})
        (func (export "one") (result f64) ${loop} (f64.const 2.5))
        (func (export "by branch") (result i32) ${loop} (br 0 (i32.const 7)))
        (func (export "by return") (param i32) (result i32 i64) ${loop}
          (if (local.get 0) (then (return (i32.const 1) (i64.const 2))))
          (i32.const 3) (i64.const 4))
        (func (export "in table") (param i32) (result i32) ${loop}
          (block $b (result i32) (br_table $b 1 (i32.const 9) (local.get 0)))
          (drop) (i32.const 8))`),
    )
    expect(guest.call('none')).toBeUndefined()
    expect(guest.call('one')).toBe(2.5)
    expect(guest.call('by branch')).toBe(7)
    expect(guest.call('by return', 1)).toEqual([1, 2n])
    expect(guest.call('by return', 0)).toEqual([3, 4n])
    expect([guest.call('in table', 0), guest.call('in table', 1)]).toEqual([8, 9])
  })
})

describe('a body', () => {
  const long = (count: number, code: Bytes): Bytes =>
    Array.from({ length: count * code.length }, (_, at) => code[at % code.length]!)
  const locals = (count: number): Bytes => [1, ...leb(count), 0x7f]

  test('has 10,000 locals at most, its parameters among them, however they are grouped', () => {
    const sentence = `a function has ${FUNCTION_LOCALS_MAX + 1} locals, at most`
    const most = codeModule([0x03, 0x40, 0x0b], { locals: locals(FUNCTION_LOCALS_MAX) })
    expect(WebAssembly.validate(metered(most).bytes)).toBe(true)
    expect(refusal(codeModule([], { locals: locals(FUNCTION_LOCALS_MAX + 1) }))).toContain(sentence)
    const types = vector([[0x60, 1, 0x7f, 0]])
    const all = locals(FUNCTION_LOCALS_MAX)
    expect(refusal(codeModule([], { types, locals: all }))).toContain(sentence)
    const many = [2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 1, 0x7f]
    expect(refusal(codeModule([], { locals: many }))).toContain('4294967295 locals')
    const groups = leb(FUNCTION_LOCALS_MAX + 1)
    expect(refusal(codeModule([], { locals: groups }))).toContain('groups of locals')
  })

  test('shares a million locals with all others', () => {
    const functions = (count: number): Parts => ({
      functions: vector(Array<Bytes>(count).fill([0])),
      code: vector(Array<Bytes>(count).fill(body([], locals(FUNCTION_LOCALS_MAX)))),
    })
    expect(() => metered(moduleOf(functions(100)))).not.toThrow()
    expect(refusal(moduleOf(functions(101)))).toContain('its functions have over 1000000 locals')
  })

  test('has a mebibyte at most, and with its checks what the engine takes', () => {
    const nop = [0x01]
    expect(() => metered(codeModule(long(FUNCTION_BYTES_MAX - 2, nop)))).not.toThrow()
    const sentence = `a function has ${FUNCTION_BYTES_MAX + 1} bytes, at most ${FUNCTION_BYTES_MAX}`
    expect(refusal(codeModule(long(FUNCTION_BYTES_MAX - 1, nop)))).toContain(sentence)
    // Each return of a function that keeps its fuel in a local hands it back. The numbers of that
    // local and of the global have two bytes.
    const globals = vector(Array<Bytes>(200).fill([0x7f, 1, 0x41, 0, 0x0b]))
    const wide = (returns: number): Uint8Array =>
      codeModule([0x03, 0x40, 0x0b, ...long(returns, [0x0f])], { locals: locals(200), globals })
    expect(WebAssembly.validate(metered(wide(900_000)).bytes)).toBe(true)
    const over = 'with checks of time a function has over 7000000 bytes'
    expect(refusal(wide(1_040_000))).toContain(over)
  })

  test('has 100,000 loops at most', () => {
    const loops = (count: number) => codeModule(long(count, [0x03, 0x40, 0x0b]))
    expect(WebAssembly.validate(metered(loops(FUNCTION_LOOPS_MAX)).bytes)).toBe(true)
    const sentence = 'a function has more than 100000 loops'
    expect(refusal(loops(FUNCTION_LOOPS_MAX + 1))).toContain(sentence)
  })

  test('shares half a million loops with all others', () => {
    const looping = body(long(100_000, [0x03, 0x40, 0x0b]))
    const functions = (count: number): Uint8Array =>
      moduleOf({
        functions: vector(Array<Bytes>(count).fill([0])),
        code: vector(Array<Bytes>(count).fill(looping)),
      })
    expect(() => metered(functions(5))).not.toThrow()
    expect(refusal(functions(6))).toContain('its functions have over 500000 loops')
  })
})
