/** What Extism's SDK is trusted with: making an instance, and freeing its memory. */
import { expect, test } from 'bun:test'
import { instantiate } from '../../../src/plugins/wasm/extism.ts'
import type { PdkFunction } from '../../../src/plugins/wasm/pdk.ts'
import { assemble } from '../../fixtures/wasm/kit.ts'

const compile = (text: string) => WebAssembly.compile(new Uint8Array(assemble(text)))

test('instances get our functions, and Extism’s own where we have none', async () => {
  const module = await compile(`(module
    (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
    (import "extism:host/env" "length" (func $length (param i64) (result i64)))
    (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
    (func (export "run") (result i64) (call $length (call $alloc (i64.const 5))))
    (func (export "yield") (result i32) (call $yield)))`)
  let allocated = 0n
  const alloc: PdkFunction = (context, bytes) => {
    allocated += bytes ?? 0n
    return context.alloc(bytes ?? 0n)
  }
  const { exports, free } = await instantiate(module, {
    'extism:host/env': { alloc },
    wasi_snapshot_preview1: { sched_yield: () => 42 },
  })
  const { run, yield: yields } = exports
  if (typeof run !== 'function' || typeof yields !== 'function') throw new Error('no functions')
  expect(run()).toBe(5n)
  expect(allocated).toBe(5n)
  expect(yields()).toBe(42)
  free()
})

test('memory that was freed is freed when `free` returns', async () => {
  const module = await compile(`(module
    (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
    (import "extism:host/env" "length" (func $length (param i64) (result i64)))
    (func (export "run") (result i64) (call $alloc (i64.const 5)))
    (func (export "length") (param i64) (result i64) (call $length (local.get 0))))`)
  const { exports, free } = await instantiate(module, {})
  const { run, length } = exports
  if (typeof run !== 'function' || typeof length !== 'function') throw new Error('no functions')
  const address: unknown = run()
  expect(length(address)).toBe(5n)
  free()
  expect(length(address)).toBe(0n)
  expect(run()).toBe(address)
})

test('a module that traps at its start gives no instance', async () => {
  const module = await compile('(module (func $s (unreachable)) (start $s))')
  await expect(instantiate(module, {})).rejects.toThrow()
})
