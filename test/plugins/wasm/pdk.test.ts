/** The PDK form: what Extism's imports give, and where they end. */
import { describe, expect, test } from 'bun:test'
import type { FromClientVerdict } from '../../../src/hooks/verdict.ts'
import type { PluginSpec } from '../../../src/plugins/plugin.ts'
import { PDK_BLOCKS_MAX, PDK_BYTES_MAX } from '../../../src/plugins/wasm/limits.ts'
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
  textOf,
} from '../../fixtures/wasm/kit.ts'

const IMPORTS = `
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "free" (func $free (param i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "load_u8" (func $load (param i64) (result i32)))
  (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
  (import "extism:host/env" "store_u64" (func $store64 (param i64 i64)))
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "output_set" (func $set (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error (param i64)))
  (import "extism:host/env" "config_get" (func $config (param i64) (result i64)))
  (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  (import "extism:host/env" "log_warn" (func $warn (param i64)))
  (import "extism:host/env" "http_request" (func $http (param i64 i64) (result i64)))
  (import "postern" "verdict" (func $verdict (param i32)))`
/** A key of one letter, in a block of its own. */
const KEY = `(func $key (result i64) (local $k i64)
  (local.set $k (call $alloc (i64.const 1)))
  (call $store (local.get $k) (i32.const 107)) (local.get $k))`
const HOOK = 'onTrafficFromClient'

/** A started plugin whose one hook has this body; each call gives the input a text. */
async function start(body: string, fields: Partial<PluginSpec> = {}) {
  const text = describing(
    manifestOf({ hooks: [{ name: HOOK }] }),
    `${KEY} (func (export "on_traffic_from_client") (result i32)
      (local $a i64) (local $b i64) (local $i i32) ${body})`,
  )
  const whole = text.replace('(module', `(module ${IMPORTS}`)
  const scene = makeScene()
  const spec = makeSpec(await fileOf(assemble(whole)), fields)
  const plugin = createWasmPlugin(spec, scene.surroundings)
  await plugin.start()
  const step = plugin.steps.onTrafficFromClient
  if (step === undefined) throw new Error('no step')
  const call = async (input = 'abc'): Promise<FromClientVerdict> =>
    await step.decide(makeSession(), new TextEncoder().encode(input), carried())
  return { plugin, scene, call }
}

const REPLACE = '(call $verdict (i32.const 1)) (i32.const 0)'

function replaced(verdict: FromClientVerdict): string {
  return verdict.kind === 'replace' ? textOf(verdict.bytes) : JSON.stringify(verdict)
}

describe('input and output', () => {
  test('are blocks of Extism’s memory; the output has the length that was set', async () => {
    const { call } = await start(
      `(call $set (call $input_offset) (i64.sub (call $input_length) (i64.const 1))) ${REPLACE}`,
    )
    expect(replaced(await call('hello'))).toBe('hell')
    expect(replaced(await call('x'))).toBe('')
  })

  test('are copies: a guest that writes into its input changes nothing of ours', async () => {
    const { plugin } = await start(
      `(call $store (call $input_offset) (i32.const 88)) (call $set (call $input_offset)
       (i64.const 3)) ${REPLACE}`,
    )
    // A view into a larger buffer, as the data path hands it out.
    const bytes = new TextEncoder().encode('__abc__').subarray(2, 5)
    const verdict = await plugin.steps.onTrafficFromClient?.decide(makeSession(), bytes, carried())
    expect(verdict?.kind === 'replace' && textOf(verdict.bytes)).toBe('Xbc')
    expect(textOf(new Uint8Array(bytes.buffer))).toBe('__abc__')
  })

  test('do not outlive the call', async () => {
    const { call } = await start(
      `(if (i64.eqz (call $length (i64.const 0x1000000000000)))
         (then (call $verdict (i32.const 4))))
       (drop (call $alloc (i64.const 16))) (i32.const 0)`,
    )
    // The block of the first call is gone in the second: it finds none at its address.
    expect((await call()).kind).toBe('close')
    expect((await call()).kind).toBe('close')
  })

  test('trap for an address of no block and for more than the block has', async () => {
    const none = await start(`(call $set (i64.const -1) (i64.const 1)) ${REPLACE}`)
    expect(await none.call()).toMatchObject({ cause: expect.stringContaining('no block') })
    const long = await start(`(call $set (call $input_offset) (i64.const 4)) ${REPLACE}`)
    expect(await long.call()).toMatchObject({ cause: expect.stringContaining('at most 3') })
    const huge = await start(
      `(call $set (call $input_offset) (i64.const 0x7fff000000000000)) ${REPLACE}`,
    )
    expect((await huge.call()).kind).toBe('failure')
  })
})

describe('memory', () => {
  test('is bounded in bytes a call', async () => {
    const { call } = await start(`(drop (call $alloc (i64.const ${PDK_BYTES_MAX}))) (i32.const 0)`)
    expect(await call()).toMatchObject({ cause: expect.stringContaining('one call') })
    const negative = await start('(drop (call $alloc (i64.const -1))) (i32.const 0)')
    expect((await negative.call()).kind).toBe('failure')
  })

  test('is bounded in blocks a call, and freed after it', async () => {
    const loop = (times: number) => `(local.set $i (i32.const ${times}))
      (loop $l (drop (call $alloc (i64.const 8)))
        (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1))))) (i32.const 0)`
    const few = await start(loop(PDK_BLOCKS_MAX))
    for (let round = 0; round < 3; round++) expect((await few.call()).kind).toBe('continue')
    const many = await start(loop(PDK_BLOCKS_MAX + 1))
    expect((await many.call()).kind).toBe('failure')
  })

  test('stands wrong addresses', async () => {
    const { call } = await start(
      `(call $free (i64.const -1)) (call $store (i64.const -1) (i32.const 1))
       (drop (call $load (i64.const -1))) (drop (call $length (i64.const -1))) (i32.const 0)`,
    )
    expect((await call()).kind).toBe('continue')
  })
})

describe('errors', () => {
  test('are failures with the guest’s text, and the instance lives on', async () => {
    const { call, plugin } = await start('(call $error (call $key)) (i32.const 0)')
    const failure = { kind: 'failure', cause: 'onTrafficFromClient: k' } as const
    expect(await call()).toEqual(failure)
    expect(plugin.status().state).toBe('ready')
    expect(await call()).toEqual(failure)
  })

  test('are those of their call alone', async () => {
    const { call } = await start(
      `(if (i64.eq (call $input_length) (i64.const 1)) (then (call $error (call $key))))
       (i32.const 0)`,
    )
    expect((await call('x')).kind).toBe('failure')
    expect((await call('xy')).kind).toBe('continue')
  })

  test('are return values other than 0, whatever the verdict', async () => {
    const { call } = await start('(call $verdict (i32.const 3)) (i32.const 9)')
    expect(await call()).toMatchObject({ cause: expect.stringContaining('returned 9') })
  })

  test('are verdicts that do not exist', async () => {
    const { call } = await start('(call $verdict (i32.const 17)) (i32.const 0)')
    expect(await call()).toMatchObject({ cause: expect.stringContaining('no verdict') })
  })

  test('are requests over HTTP', async () => {
    const { call } = await start('(drop (call $http (i64.const 0) (i64.const 0))) (i32.const 0)')
    expect(await call()).toMatchObject({ cause: expect.stringContaining('HTTP is not granted') })
  })
})

describe('configuration', () => {
  const body = `(local.set $a (call $config (call $key)))
    (call $set (local.get $a) (call $length (local.get $a))) ${REPLACE}`

  test('gives a value by its key', async () => {
    const { call } = await start(body, { config: { k: { x: 1 } } })
    expect(replaced(await call())).toBe('{"x":1}')
    const empty = await start(body, { config: { k: '' } })
    expect(replaced(await empty.call())).toBe('')
  })

  test('gives address 0 where there is none', async () => {
    const { call } = await start('(i32.wrap_i64 (call $config (call $key)))')
    expect((await call()).kind).toBe('continue')
  })
})

describe('variables', () => {
  const readOrWrite = `(local.set $a (call $var_get (call $key)))
    (if (i64.ne (local.get $a) (i64.const 0))
      (then (call $set (local.get $a) (call $length (local.get $a)))
        (call $var_set (call $key) (i64.const 0)) (call $verdict (i32.const 1)))
      (else (call $var_set (call $key) (call $input_offset))))
    (i32.const 0)`

  test('are kept between calls, and deleted with address 0', async () => {
    const { call } = await start(readOrWrite)
    expect((await call('first')).kind).toBe('continue')
    expect(replaced(await call('other'))).toBe('first')
    expect((await call('third')).kind).toBe('continue')
  })

  test('are bounded', async () => {
    const { call } = await start(
      '(call $var_set (call $key) (call $alloc (i64.const 1100000))) (i32.const 0)',
    )
    expect(await call()).toMatchObject({ cause: expect.stringContaining('budget of variables') })
  })
})

test('log lines carry the plugin and the level of their import', async () => {
  const { call, scene } = await start('(call $warn (call $input_offset)) (i32.const 0)')
  await call('{"message":"m","n":1}')
  expect(scene.lines.at(-1)).toMatchObject({
    level: 40,
    plugin: 'sample',
    msg: 'm',
    fields: { n: 1 },
  })
})
