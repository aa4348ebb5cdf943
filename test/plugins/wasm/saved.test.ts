import { expect, test } from 'bun:test'
import { METER_MODULE, meter } from '../../../src/plugins/wasm/meter.ts'
import { assemble } from '../../fixtures/wasm/kit.ts'

const LIMITS = { memoryPagesMax: 16, tableElementsMax: 100, moduleBytesMax: 1 << 20 }

/** Runs an exported function metered, with a grant of fuel so small that every turn asks. */
function runStarved(text: string, ...given: readonly number[]): { value: unknown; asked: number } {
  const { bytes } = meter(assemble(text), 'p.wasm', LIMITS)
  let asked = 0
  const refuel = (): number => {
    asked++
    return 1
  }
  const module = new WebAssembly.Module(bytes)
  const { exports } = new WebAssembly.Instance(module, { [METER_MODULE]: { refuel } })
  const { run } = exports
  if (typeof run !== 'function') throw new Error('nothing is exported to be run')
  const value: unknown = run(...given)
  return { value, asked }
}

test('locals of every type keep their values while fuel is asked for', () => {
  const { value, asked } = runStarved(
    `(module (func (export "run") (param $n i32) (result f64)
       (local $a i32) (local $b i64) (local $c f32) (local $d f64)
       (loop $l
         (local.set $a (i32.add (local.get $a) (i32.const 1)))
         (local.set $b (i64.add (local.get $b) (i64.const 5000000000)))
         (local.set $c (f32.add (local.get $c) (f32.const 0.5)))
         (local.set $d (f64.add (local.get $d) (f64.const 0.25)))
         (br_if $l (i32.lt_u (local.get $a) (local.get $n))))
       (f64.add (f64.add (f64.convert_i32_u (local.get $a)) (f64.convert_i64_u (local.get $b)))
         (f64.add (f64.promote_f32 (local.get $c)) (local.get $d)))))`,
    100,
  )
  expect(value).toBe(100 + 100 * 5_000_000_000 + 50 + 25)
  expect(asked).toBeGreaterThan(99)
})

function added(name: string, value: number): string {
  return `(local.set ${name} (i32.add (local.get ${name}) (i32.const ${value})))`
}

test('a loop with more locals than there is room for is as right as any other', () => {
  const names = Array.from({ length: 60 }, (_, at) => `$v${at}`)
  const { value } = runStarved(
    `(module (func (export "run") (param $n i32) (result i32)
       (local $at i32) ${names.map((name) => `(local ${name} i32)`).join(' ')}
       (loop $l
         ${names.map(added).join('\n')}
         (local.set $at (i32.add (local.get $at) (i32.const 1)))
         (br_if $l (i32.lt_u (local.get $at) (local.get $n))))
       ${names.reduce((sum, name) => `(i32.add ${sum} (local.get ${name}))`, '(i32.const 0)')}))`,
    10,
  )
  expect(value).toBe((10 * 59 * 60) / 2)
})

test('what one function has put aside is out of reach of the functions it calls', () => {
  const { value } = runStarved(
    `(module
       (func $inner (param $n i32) (result i32) (local $sum i32)
         (loop $l
           (local.set $sum (i32.add (local.get $sum) (i32.const 3)))
           (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
         (local.get $sum))
       (func (export "run") (param $n i32) (result i32) (local $sum i32) (local $i i32)
         (loop $l
           (local.set $sum (i32.add (local.get $sum) (call $inner (local.get $n))))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
         (local.get $sum)))`,
    7,
  )
  expect(value).toBe(7 * 7 * 3)
})
