/** The direct form at its edges: allocators that lie, inputs that grow, calls without trace. */
import { describe, expect, test } from 'bun:test'
import type { FromClientVerdict } from '../../../src/hooks/verdict.ts'
import { createWasmPlugin } from '../../../src/plugins/wasm/plugin.ts'
import {
  assemble,
  carried,
  describing,
  fileOf,
  makeScene,
  makeSession,
  makeSpec,
  manifestOf,
  modulePath,
  query,
} from '../../fixtures/wasm/kit.ts'

const HOOK = 'onTrafficFromClient'

/** A plugin whose allocator has this body; its hook checks that the input ends in `!`. */
async function allocating(body: string) {
  const text = describing(
    manifestOf({ hooks: [{ name: HOOK }] }),
    `(func (export "postern_alloc") (param $len i32) (result i32) ${body})
     (func (export "on_traffic_from_client") (param $ptr i32) (param $len i32) (result i32)
       (if (result i32) (i32.eqz (local.get $len)) (then (i32.const 0)) (else
         (select (i32.const 0) (i32.const 4) (i32.eq (i32.const 33) (i32.load8_u (i32.sub
           (i32.add (local.get $ptr) (local.get $len)) (i32.const 1))))))))`,
  )
  const spec = makeSpec(await fileOf(assemble(text)))
  const plugin = createWasmPlugin(spec, makeScene().surroundings)
  await plugin.start()
  return async (input: Uint8Array): Promise<FromClientVerdict> => {
    const verdict = await plugin.steps.onTrafficFromClient?.decide(makeSession(), input, carried())
    if (verdict === undefined) throw new Error('no step')
    return verdict
  }
}

function input(length: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(97)
  bytes[length - 1] = 33
  return bytes
}

describe('the direct form', () => {
  test('writes the whole input where the allocator says', async () => {
    const call = await allocating('(i32.const 4096)')
    expect((await call(input(100))).kind).toBe('continue')
    expect((await call(input(2 * 65536 - 4096))).kind).toBe('continue')
  })

  test('asks for one byte at least', async () => {
    const call = await allocating(
      '(if (i32.eqz (local.get $len)) (then (unreachable))) (i32.const 8)',
    )
    expect((await call(new Uint8Array(0))).kind).toBe('continue')
  })

  test('follows memory that the allocator grows', async () => {
    const call = await allocating(
      `(i32.shl (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $len) (i32.const 16))))
        (i32.const 16))`,
    )
    for (const length of [10, 100_000, 3_000_000]) {
      expect((await call(input(length))).kind).toBe('continue')
    }
  })

  test('takes 0 for no room: a failure, and the instance lives on', async () => {
    const call = await allocating('(i32.const 0)')
    expect(await call(input(5))).toEqual({
      kind: 'failure',
      cause: 'onTrafficFromClient: postern_alloc has no room for 5 bytes',
    })
  })

  test('does not write outside of the memory', async () => {
    for (const pointer of [2 * 65536 - 4, -1, -2147483648]) {
      const call = await allocating(`(i32.const ${pointer})`)
      const verdict = await call(input(5))
      expect(verdict).toMatchObject({ cause: expect.stringContaining('outside the memory') })
    }
  })
})

test('endless recursion is a failure like any other trap', async () => {
  const text = describing(
    manifestOf({ hooks: [{ name: 'onRun' }] }),
    '(func $f (export "on_run") (result i32) (i32.add (i32.const 1) (call $f)))',
  )
  const plugin = createWasmPlugin(makeSpec(await fileOf(assemble(text))), makeScene().surroundings)
  await plugin.start()
  expect(await plugin.steps.onRun?.decide({})).toMatchObject({ kind: 'failure' })
})

test('_initialize is called once an instance, before everything else', async () => {
  const text = describing(
    manifestOf({ hooks: [{ name: 'onRun' }] }),
    `(global $g (mut i32) (i32.const 0))
     (func (export "_initialize") (global.set $g (i32.add (global.get $g) (i32.const 1))))
     (func (export "on_run") (result i32) (i32.sub (global.get $g) (i32.const 1)))`,
  )
  const plugin = createWasmPlugin(makeSpec(await fileOf(assemble(text))), makeScene().surroundings)
  await plugin.start()
  for (let call = 0; call < 2; call++) {
    expect(await plugin.steps.onRun?.decide({})).toMatchObject({ kind: 'continue' })
  }
})

test('a call leaves nothing of its session and its payload behind', async () => {
  const plugin = createWasmPlugin(makeSpec(modulePath('verdicts')), makeScene().surroundings)
  await plugin.start()
  const step = plugin.steps.onTrafficFromClient
  const first = await step?.decide(makeSession(), query('/*deny*/'), carried())
  expect(first).toMatchObject({ message: 'denied by verdicts' })
  const second = await step?.decide(makeSession(), query('/*deny-bare*/'), carried())
  expect(second).toMatchObject({ message: 'refused by plugin verdicts' })
})
