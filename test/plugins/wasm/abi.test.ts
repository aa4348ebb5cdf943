/** Which modules keep to ABI 1, and that everything else is refused by name. */
import { describe, expect, test } from 'bun:test'
import { checkAbi } from '../../../src/plugins/wasm/abi.ts'
import { WASI_NAMES } from '../../../src/plugins/wasm/wasi.ts'
import { assemble, modulePath, readBytes } from '../../fixtures/wasm/kit.ts'
import { metered } from '../../fixtures/wasm/metering.ts'

const MEMORY = '(memory (export "memory") 1)'
const DESCRIBE = '(func (export "describe") (result i32) (i32.const 0))'
const ALLOC = '(func (export "postern_alloc") (param i32) (result i32) (i32.const 8))'
const DIRECT = '(param i32 i32) (result i32) (i32.const 0)'

function check(text: string) {
  return checkAbi(metered(assemble(`(module ${text})`)).shape, 'p.wasm', WASI_NAMES)
}

describe('checkAbi', () => {
  test('tells the two forms of hooks apart by their exact type', () => {
    const shape = check(`${MEMORY} ${DESCRIBE} ${ALLOC}
      (func (export "on_traffic_from_client") ${DIRECT})
      (func (export "on_opening") (result i32) (i32.const 0))
      (func (export "_initialize"))
      (func (export "other") (param f64))`)
    expect([...shape.hooks]).toEqual([
      ['onOpening', 'pdk'],
      ['onTrafficFromClient', 'direct'],
    ])
    expect(shape.initialize).toBe(true)
  })

  test('accepts the modules of both forms that are built here', async () => {
    for (const name of ['audit', 'verdicts', 'verdicts-pdk', 'raw', 'caller']) {
      const { shape } = metered(readBytes(modulePath(name)), { memoryPagesMax: 1024 })
      expect(checkAbi(shape, name, WASI_NAMES).hooks.has('onTrafficFromClient')).toBe(true)
    }
  })

  test('grants WASI, Extism and abort beside its own module', () => {
    expect(() =>
      check(`(import "wasi_snapshot_preview1" "path_open" (func))
        (import "extism:host/env" "http_request" (func (param i64 i64) (result i64)))
        (import "env" "abort" (func (param i32 i32 i32 i32)))
        (import "postern" "metric" (func (param i32 f64 i32 i32))) ${MEMORY} ${DESCRIBE}`),
    ).not.toThrow()
  })

  const refused: readonly (readonly [string, string, string])[] = [
    [
      'an import that nobody grants',
      `(import "env" "seed" (func (result f64))) ${MEMORY} ${DESCRIBE}`,
      'p.wasm: it imports env.seed, which is not granted to plugins',
    ],
    [
      'an import of an unknown module',
      `(import "toString" "x" (func)) ${MEMORY} ${DESCRIBE}`,
      'p.wasm: it imports toString.x, which is not granted to plugins',
    ],
    [
      'a name that only looks granted',
      `(import "postern" "constructor" (func)) ${MEMORY} ${DESCRIBE}`,
      'p.wasm: it imports postern.constructor, which is not granted to plugins',
    ],
    [
      'a granted import of another type',
      `(import "postern" "output" (func (param i64 i64))) ${MEMORY} ${DESCRIBE}`,
      'p.wasm: it imports postern.output as (i64, i64) -> (), but the host gives (i32, i32) -> ()',
    ],
    [
      'a WASI function that preview 1 does not have',
      `(import "wasi_snapshot_preview1" "exec" (func)) ${MEMORY} ${DESCRIBE}`,
      'p.wasm: it imports wasi_snapshot_preview1.exec, which WASI preview 1 does not have',
    ],
    ['no memory', DESCRIBE, 'p.wasm: it does not export its memory as `memory`'],
    ['no describe', MEMORY, 'p.wasm: it does not export the function describe'],
    [
      'describe of another type',
      `${MEMORY} (func (export "describe"))`,
      'p.wasm: it exports describe as () -> (), but it must be () -> i32',
    ],
    [
      'a hook of no form',
      `${MEMORY} ${DESCRIBE} (func (export "on_closed") (param i64) (result i32) (i32.const 0))`,
      'p.wasm: it exports on_closed as (i64) -> i32; a hook is (i32, i32) -> i32 or () -> i32',
    ],
    [
      'a direct hook without an allocator',
      `${MEMORY} ${DESCRIBE} (func (export "on_closed") ${DIRECT})`,
      'p.wasm: it does not export the function postern_alloc',
    ],
    [
      'an allocator of another type',
      `${MEMORY} ${DESCRIBE} ${ALLOC.replace('param i32', 'param i64')}`,
      'p.wasm: it exports postern_alloc as (i64) -> i32, but it must be (i32) -> i32',
    ],
    [
      'an _initialize that takes or gives something',
      `${MEMORY} ${DESCRIBE} (func (export "_initialize") (param i32))`,
      'p.wasm: it exports _initialize as (i32) -> (), but it must be () -> ()',
    ],
  ]
  for (const [what, text, sentence] of refused) {
    test(`refuses ${what}`, () => {
      expect(() => check(text)).toThrow(sentence)
    })
  }
})
