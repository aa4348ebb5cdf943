/** That a guest built for WASI starts, and reaches nothing of the world. */
import { describe, expect, test } from 'bun:test'
import { CALL_BYTES_MAX } from '../../../src/plugins/wasm/limits.ts'
import { createWasmPlugin } from '../../../src/plugins/wasm/plugin.ts'
import { WASI_NAMES } from '../../../src/plugins/wasm/wasi.ts'
import {
  assemble,
  describing,
  fileOf,
  makeScene,
  makeSpec,
  manifestOf,
} from '../../fixtures/wasm/kit.ts'

/** The answer of one WASI function: what it returned, or the trap's sentence. */
async function answer(name: string, type: string, call: string, after = '') {
  const text = describing(
    manifestOf({ hooks: [{ name: 'onRun' }] }),
    `(func (export "on_run") (result i32) (local $r i32)
      (local.set $r ${call}) ${after}
      (i32.store (i32.const 8192) (i32.const 0x203a2272))
      (i32.store8 (i32.const 8191) (i32.const 0x22)) (i32.store8 (i32.const 8190) (i32.const 0x7b))
      (i32.store8 (i32.const 8196)
        (i32.add (i32.const 48) (i32.div_u (local.get $r) (i32.const 10))))
      (i32.store8 (i32.const 8197)
        (i32.add (i32.const 48) (i32.rem_u (local.get $r) (i32.const 10))))
      (i32.store8 (i32.const 8195) (i32.const 49))
      (i32.store8 (i32.const 8194) (i32.const 0x3a))
      (i32.store8 (i32.const 8198) (i32.const 0x7d))
      (call $output (i32.const 8190) (i32.const 9)) (i32.const 0))`,
  ).replace('(module', `(module (import "wasi_snapshot_preview1" "${name}" (func $f ${type}))`)
  const scene = makeScene()
  const plugin = createWasmPlugin(makeSpec(await fileOf(assemble(text))), scene.surroundings)
  await plugin.start()
  const verdict = await plugin.steps.onRun?.decide({})
  // The guest writes `{"r":1dd}`: a one before the two digits keeps a leading zero legal.
  if (verdict?.kind === 'merge') return { code: Number(verdict.changes['r']) - 100, scene }
  return { cause: verdict?.kind === 'failure' ? verdict.cause : '', scene }
}

const TWO = '(param i32 i32) (result i32)'
const FOUR = '(param i32 i32 i32 i32) (result i32)'

describe('WASI', () => {
  test('has every function of preview 1', () => {
    expect(WASI_NAMES.size).toBe(46)
  })

  test('has no arguments, no environment, no files and no network', async () => {
    for (const name of ['args_sizes_get', 'environ_sizes_get']) {
      const { code } = await answer(
        name,
        TWO,
        '(call $f (i32.const 64) (i32.const 68))',
        '(local.set $r (i32.add (local.get $r) (i32.load (i32.const 64))))',
      )
      expect(code).toBe(0)
    }
    const call = '(call $f (i32.const 3) (i32.const 64))'
    expect((await answer('fd_prestat_get', TWO, call)).code).toBe(8)
    expect((await answer('fd_filestat_get', TWO, call)).code).toBe(8)
    expect((await answer('path_unlink_file', TWO, call)).code).toBe(76)
    expect((await answer('sock_shutdown', TWO, call)).code).toBe(76)
    expect((await answer('fd_fdstat_get', TWO, call)).code).toBe(8)
  })

  test('gives time and random bytes', async () => {
    const clock = await answer(
      'clock_time_get',
      '(param i32 i64 i32) (result i32)',
      '(call $f (i32.const 0) (i64.const 0) (i32.const 64))',
      '(if (i64.eqz (i64.load (i32.const 64))) (then (local.set $r (i32.const 1))))',
    )
    expect(clock.code).toBe(0)
    const random = await answer(
      'random_get',
      TWO,
      '(call $f (i32.const 64) (i32.const 16))',
      '(if (i64.eqz (i64.load (i32.const 64))) (then (local.set $r (i32.const 1))))',
    )
    expect(random.code).toBe(0)
  })

  test('writes standard output to the log', async () => {
    const { code, scene } = await answer(
      'fd_write',
      FOUR,
      `(block (result i32) (i32.store (i32.const 64) (i32.const 1024))
        (i32.store (i32.const 68) (i32.const 8))
        (call $f (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 72)))`,
      '(if (i32.ne (i32.load (i32.const 72)) (i32.const 8)) (then (local.set $r (i32.const 1))))',
    )
    expect(code).toBe(0)
    expect(scene.lines.at(-1)).toMatchObject({ level: 20, msg: '{"abi":1' })
    const file = '(call $f (i32.const 3) (i32.const 64) (i32.const 1) (i32.const 72))'
    expect((await answer('fd_write', FOUR, file)).code).toBe(8)
  })

  test('checks every pointer and every length', async () => {
    const far = '(call $f (i32.const -8) (i32.const -8))'
    expect((await answer('args_sizes_get', TWO, far)).cause).toContain('args_sizes_get was given')
    const much = `(call $f (i32.const 0) (i32.const ${CALL_BYTES_MAX + 1}))`
    expect((await answer('random_get', TWO, much)).cause).toContain('at most')
    const pieces = '(call $f (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 0))'
    expect((await answer('fd_write', FOUR, pieces)).cause).toContain('pieces')
  })

  test('ends a guest that exits', async () => {
    const exit = '(block (result i32) (call $f (i32.const 3)) (i32.const 0))'
    expect((await answer('proc_exit', '(param i32)', exit)).cause).toContain('exit(3)')
  })
})
