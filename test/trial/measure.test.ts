/** Measurements: of what, and that a failing hook is told; never how long it took. */
import { expect, test } from 'bun:test'
import { DEFAULT_LIMITS } from '../../src/plugins/limits.ts'
import { measurePlugin } from '../../src/trial/measure.ts'
import { trialSpec } from '../../src/trial/subject.ts'
import { assemble, describing, fileOf, manifestOf, modulePath } from '../fixtures/wasm/kit.ts'

const limits = { ...DEFAULT_LIMITS, callDeadlineMs: 10_000, startDeadlineMs: 10_000 }

function specOf(module: string) {
  return trialSpec({
    module,
    config: {},
    onFailure: 'open',
    limits: { ...limits, cpuShareMax: 100 },
  })
}

test('every hook is measured on three sizes, or on its parameters', async () => {
  const rows = await measurePlugin({ spec: specOf(modulePath('words-assembly')), file: null })
  expect(rows.map(({ hook, input, bytes }) => `${hook} ${input} ${bytes}`)).toEqual([
    'onClosed parameters 0',
    'onTrafficFromClient Query 100',
    'onTrafficFromClient Query 1024',
    'onTrafficFromClient Query 1048576',
  ])
  for (const { micros, memoryBytes, calls, failure } of rows) {
    expect(micros).toBeGreaterThan(0)
    expect(memoryBytes).toBeGreaterThan(0)
    expect(calls).toBeGreaterThan(0)
    expect(failure).toBe('')
  }
  expect(rows.at(-1)?.fuel).toBeGreaterThan(1_000_000)
}, 20_000)

test('a hook that fails is told, and the others are measured all the same', async () => {
  const path = await fileOf(
    assemble(
      describing(
        manifestOf({ hooks: [{ name: 'onTrafficFromClient' }, { name: 'onTick' }] }),
        `(func (export "postern_alloc") (param i32) (result i32) (i32.const 65536))
         (func (export "on_traffic_from_client") (param i32 i32) (result i32) unreachable)
         (func (export "on_tick") (param i32 i32) (result i32) (i32.const 0))`,
      ),
    ),
  )
  const rows = await measurePlugin({ spec: specOf(path), file: null })
  expect(rows.map(({ hook, failure }) => [hook, failure === ''])).toContainEqual(['onTick', true])
  const failed = rows.filter(({ hook }) => hook === 'onTrafficFromClient')
  expect(failed[0]?.failure).toContain('trapped')
  expect(failed.every(({ failure }) => failure !== '')).toBe(true)
}, 20_000)
