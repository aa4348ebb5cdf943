/** What Extism's SDK is trusted with: making an instance. */
import { expect, test } from 'bun:test'
import { instantiate } from '../../../src/plugins/wasm/extism.ts'
import { assemble } from '../../fixtures/wasm/kit.ts'

const compile = (text: string) => WebAssembly.compile(new Uint8Array(assemble(text)))

test('instances get our functions in the place of Extism’s own', async () => {
  const module = await compile(`(module
    (import "extism:host/env" "length" (func $length (param i64) (result i64)))
    (import "postern:wasi" "sched_yield" (func $yield (result i32)))
    (func (export "run") (result i64) (call $length (i64.const 5)))
    (func (export "yield") (result i32) (call $yield)))`)
  const { exports } = await instantiate(module, {
    'extism:host/env': { length: (_context: unknown, address?: bigint) => 2n * (address ?? 0n) },
    'postern:wasi': { sched_yield: () => 42 },
  })
  const { run, yield: yields } = exports
  if (typeof run !== 'function' || typeof yields !== 'function') throw new Error('no functions')
  expect(run()).toBe(10n)
  expect(yields()).toBe(42)
})

test('a module that traps at its start gives no instance', async () => {
  const module = await compile('(module (func $s (unreachable)) (start $s))')
  await expect(instantiate(module, {})).rejects.toThrow()
})

test('an export that is named `then` is not called by our waiting', async () => {
  const module = await compile(`(module (global $called (mut i32) (i32.const 0))
    (func (export "then") (param i32 i32) (global.set $called (i32.const 1)))
    (func (export "called") (result i32) (global.get $called)))`)
  const { exports } = await instantiate(module, {})
  if (typeof exports['called'] !== 'function') throw new Error('no function')
  expect(exports['called']()).toBe(0)
})
