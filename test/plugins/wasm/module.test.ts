/** What is read from a binary, and that no bytes make the reader do anything but say no. */
import { describe, expect, test } from 'bun:test'
import { GatewayError } from '../../../src/base/errors.ts'
import { MEMORY_PAGES_MAX, TABLE_ELEMENTS_MAX } from '../../../src/plugins/wasm/limits.ts'
import { readModule } from '../../../src/plugins/wasm/module.ts'
import { assemble, modulePath, readBytes } from '../../fixtures/wasm/kit.ts'

const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]

function binary(...sections: readonly (readonly number[])[]): Uint8Array {
  return new Uint8Array([...HEADER, ...sections.flat()])
}

function refusal(bytes: Uint8Array): string {
  try {
    readModule(bytes, 'p.wasm')
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(GatewayError)
    if (thrown instanceof GatewayError && thrown.code === 'PLUGIN_WASM') return thrown.message
    throw thrown
  }
  throw new Error('was not refused')
}

describe('readModule', () => {
  test('tells the exact types of imports and exports', () => {
    const shape = readModule(
      assemble(`(module
        (import "env" "abort" (func $a (param i32 i32 i32 i32)))
        (import "m" "f" (func $f (param f64 i64) (result f32)))
        (memory (export "memory") 1)
        (func (export "none"))
        (func (export "pair") (result i32 i64) (i32.const 1) (i64.const 2))
        (export "again" (func $f)))`),
      'p.wasm',
    )
    expect(shape.imports).toEqual([
      { module: 'env', name: 'abort', type: '(i32, i32, i32, i32) -> ()' },
      { module: 'm', name: 'f', type: '(f64, i64) -> f32' },
    ])
    expect(Object.fromEntries(shape.functions)).toEqual({
      none: '() -> ()',
      pair: '() -> (i32, i64)',
      again: '(f64, i64) -> f32',
    })
    expect([...shape.memories]).toEqual(['memory'])
  })

  test('refuses what is no module, and says what the path must name', () => {
    expect(refusal(new TextEncoder().encode('#!/bin/sh'))).toContain('not a WebAssembly 1.0 module')
    expect(refusal(new Uint8Array(0))).toContain('localPath')
    expect(refusal(new Uint8Array([...HEADER.slice(0, 4), 2, 0, 0, 0]))).toContain('p.wasm')
  })

  test('refuses imports other than functions, by name', () => {
    const text = '(module (import "env" "memory" (memory 1)))'
    expect(refusal(assemble(text))).toContain('env.memory, a memory')
    const global = '(module (import "env" "g" (global i32)))'
    expect(refusal(assemble(global))).toContain('env.g, a global')
  })

  test('refuses memory and tables beyond the limits, shared and 64-bit ones', () => {
    const most = `(module (memory (export "memory") ${MEMORY_PAGES_MAX}))`
    expect(readModule(assemble(most), 'p.wasm').memories.size).toBe(1)
    const more = `(module (memory (export "memory") ${MEMORY_PAGES_MAX + 1}))`
    expect(refusal(assemble(more))).toContain(`at most ${MEMORY_PAGES_MAX}`)
    const table = `(module (table (export "t") ${TABLE_ELEMENTS_MAX + 1} funcref))`
    expect(refusal(assemble(table))).toContain(`at most ${TABLE_ELEMENTS_MAX}`)
    expect(refusal(assemble('(module (memory (export "m") 1 2 shared))'))).toContain('shared')
    expect(refusal(binary([5, 3, 1, 0x04, 1]))).toContain('64-bit')
    expect(refusal(binary([5, 5, 2, 0, 1, 0, 1]))).toContain('2 memories')
  })

  test('refuses garbage-collected types and unknown forms', () => {
    expect(refusal(binary([1, 2, 1, 0x5f]))).toContain('garbage-collected')
    expect(refusal(binary([1, 2, 1, 0x61]))).toContain('0x61')
  })

  test('takes no count and no length on trust', () => {
    expect(refusal(binary([1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]))).toContain('at most')
    expect(refusal(binary([1, 0xff, 0xff, 0xff, 0xff, 0x0f]))).toContain('cut short')
    expect(refusal(binary([1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]))).toContain('five bytes')
    expect(refusal(binary([1, 5, 0xff, 0xff, 0xff, 0xff, 0x7f]))).toContain('too large')
    expect(refusal(binary([3, 2, 1, 9]))).toContain('type 9')
    expect(refusal(binary([7, 5, 1, 1, 0x61, 0, 4]))).toContain('export a is function 4')
    expect(refusal(binary([7, 5, 1, 1, 0xff, 0, 0]))).toContain('UTF-8')
  })

  test('every truncation and every changed byte gives a shape or a refusal', async () => {
    const whole = readBytes(modulePath('audit'))
    for (let length = 0; length < whole.length; length += 3) expectAnswer(whole.subarray(0, length))
    for (let at = 0; at < whole.length; at++) {
      const changed = whole.slice()
      changed[at] = (changed[at]! ^ (1 << (at & 7))) & 0xff
      expectAnswer(changed)
    }
  })
})

function expectAnswer(bytes: Uint8Array): void {
  try {
    readModule(bytes, 'p.wasm')
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown
  }
}
