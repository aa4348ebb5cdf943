/** What the host keeps for a guest stays right where the guest runs the stack out under it. */
import { describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { createLog } from '../../../src/base/log.ts'
import { createMeter } from '../../../src/metrics/meter.ts'
import { DEFAULT_LIMITS } from '../../../src/plugins/limits.ts'
import { makeBelongings } from '../../../src/plugins/wasm/belongings.ts'
import { Host, posternImports } from '../../../src/plugins/wasm/host.ts'
import { GuestMemory } from '../../../src/plugins/wasm/memory.ts'
import { createWasmPlugin } from '../../../src/plugins/wasm/plugin.ts'
import { reserveStack, SMALL_FRAMES } from '../../../src/plugins/wasm/stack.ts'
import { PluginStore, PluginStores } from '../../../src/plugins/wasm/store.ts'
import {
  assemble,
  carried,
  describing,
  fileOf,
  makeScene,
  makeSession,
  makeSpec,
  manifestOf,
  query,
} from '../../fixtures/wasm/kit.ts'

const IMPORTS = `
  (import "postern" "log" (func $log (param i32 i32 i32)))
  (import "postern" "signal" (func $signal (param i32 i32 i32 i32) (result i32)))
  (import "postern" "metric" (func $metric (param i32 f64 i32 i32)))
  (import "postern" "kv_set" (func $kv_set (param i32 i32 i32 i32 i32) (result i32)))
  (import "postern" "session_set" (func $session_set (param i32 i32 i32 i32) (result i32)))`
/** The key is the depth, so that each call changes something else. */
const CALLS = {
  log: '(call $log (i32.const 3) (i32.const 0) (i32.const 4))',
  signal: '(drop (call $signal (i32.const 8) (i32.const 1) (i32.const 0) (i32.const 0)))',
  metric: '(call $metric (i32.const 0) (f64.const 1) (i32.const 0) (i32.const 4))',
  kv_set:
    '(drop (call $kv_set (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 9) (i32.const 0)))',
  session_set: '(drop (call $session_set (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 9)))',
}

/** A guest that calls the host at every 64th turn of an endless recursion, or once. */
async function diver(call: string) {
  const text = describing(
    manifestOf({
      hooks: [{ name: 'onTrafficFromClient' }],
      metrics: [{ name: 'dives_total', type: 'counter', labels: ['depth'] }],
    }),
    `(func (export "postern_alloc") (param i32) (result i32) (i32.const 65536))
     (func $dive (param $depth i32) (result i32)
       (i32.store (i32.const 0) (i32.or (i32.const 0x30303030) (local.get $depth)))
       (if (i32.eqz (i32.and (local.get $depth) (i32.const 63))) (then ${call}))
       (i32.add (i32.const 1) (call $dive (i32.add (local.get $depth) (i32.const 1)))))
     (func (export "on_traffic_from_client") (param $at i32) (param i32) (result i32)
       (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 81))
         (then (drop (call $dive (i32.const 0)))))
       ${call} (i32.const 0))`,
  ).replace('(module', `(module ${IMPORTS}`)
  const written: string[] = []
  const meter = createMeter()
  const log = pino({ level: 'debug' }, { write: (line: string) => void written.push(line) })
  const stores = new PluginStores()
  // The dives themselves take their time, which is not what this is about.
  const limits = { ...DEFAULT_LIMITS, cpuShareMax: 100, callDeadlineMs: 2000 }
  const spec = makeSpec(await fileOf(assemble(text)), { limits })
  const { surroundings } = makeScene()
  const plugin = createWasmPlugin(spec, { ...surroundings, log, meter }, stores)
  await plugin.start()
  const session = makeSession()
  const decide = (bytes: Uint8Array) =>
    plugin.steps.onTrafficFromClient?.decide(session, bytes, carried())
  return {
    plugin,
    written,
    meter,
    session,
    stores,
    dive: () => decide(query('x')),
    stay: () => decide(new Uint8Array([1])),
  }
}

describe('a guest that runs the stack out', () => {
  for (const [name, call] of Object.entries(CALLS)) {
    test(`in ${name} leaves the host as it was, and the next instance works`, async () => {
      const { plugin, written, meter, session, stores, dive, stay } = await diver(call)
      for (let round = 0; round < 8; round++) {
        expect(await dive()).toMatchObject({
          kind: 'failure',
          cause: expect.stringContaining('trapped (stack)'),
        })
        const lines = written.length
        expect(await stay()).toEqual({ kind: 'continue' })
        if (name === 'log' || name === 'signal') expect(written.length).toBeGreaterThan(lines)
      }
      expect(plugin.sandbox?.traps.of('stack')).toBeGreaterThan(0)
      for (const line of written) expect(() => JSON.parse(line)).not.toThrow()
      for (const value of session.memory.get('sample')?.values() ?? []) {
        expect(value).toHaveLength(9)
      }
      expect(stores.of('sample', 1_000_000).isConsistent()).toBe(true)
      const page = await meter.registry.metrics()
      const series = page.match(/^dives_total\{/gm)?.length ?? 0
      expect(page).toContain(`postern_plugin_metric_series{plugin="sample"} ${series}`)
    })
  }
})

/** Calls `act` at the end of the stack, then one frame further from it, `times` times. */
function actFromTheEnd(act: () => void, times: number): void {
  let left = times
  const descend = (): void => {
    try {
      descend()
    } catch {
      // The end, or too near to it for another frame.
    }
    if (left === 0) return
    left--
    try {
      act()
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(RangeError)
    }
  }
  descend()
}

describe('at the end of the stack', () => {
  test('a store and a session are changed wholly or not at all', () => {
    const { surroundings } = makeScene({ level: 'error' })
    const belongings = makeBelongings('p', surroundings.log, DEFAULT_LIMITS)
    const store = new PluginStore({ bytesMax: 1_000_000, keysMax: 1000 })
    belongings.store = store
    const host = new Host(belongings)
    host.adopt(new GuestMemory(new WebAssembly.Memory({ initial: 1 })))
    const session = makeSession()
    host.begin(session)
    const imports = posternImports(host)
    let done = 0
    for (let round = 0; round < 50; round++) {
      actFromTheEnd(() => {
        imports['kv_set']!(null, 0, (done % 7) + 1, 0, (done % 90) + 1, done % 2)
        imports['kv_delete']!(null, 0, (done % 5) + 1)
        imports['session_set']!(null, 0, (done % 3) + 1, 0, 9)
        done++
      }, 200)
      expect(store.isConsistent()).toBe(true)
    }
    expect(done).toBeGreaterThan(0)
    for (const value of session.memory.get('p')?.values() ?? []) expect(value).toHaveLength(9)
  })

  test('a log goes on working', () => {
    const lines: string[] = []
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
    // Whatever the library of the log was doing then, it would not finish.
    let brokenOff = 0
    const print = log.info.bind(log)
    log.info = (fields: object, text?: string) => {
      try {
        print(fields, text)
      } catch (thrown) {
        brokenOff++
        throw thrown
      }
    }
    const { journal } = makeBelongings('p', log, { ...DEFAULT_LIMITS, logLinesMax: 1_000_000 })
    const text = new TextEncoder().encode('{"message":"m","deep":{"a":[1,2,3]}}')
    for (let round = 0; round < 20; round++) {
      journal.begin()
      actFromTheEnd(() => journal.write('info', text), 1000)
    }
    expect(lines.length).toBeGreaterThan(0)
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ msg: 'm' })
    expect(brokenOff).toBe(0)
    const before = lines.length
    journal.begin()
    journal.write('info', text)
    expect(lines).toHaveLength(before + 1)
  })
})

describe('at the end of the stack a log of our own', () => {
  test('goes on working, for lines that are printed as they are', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'stack-'))
    const fileName = join(folder, 'log')
    const log = createLog({ output: ['file'], fileName })
    const { journal } = makeBelongings('p', log, { ...DEFAULT_LIMITS, logLinesMax: 1_000_000 })
    const text = new TextEncoder().encode('{"message":"m","a":1}')
    for (let round = 0; round < 20; round++) {
      journal.begin()
      actFromTheEnd(() => journal.write('info', text), 1000)
      // Each round finds the sink at rest, and so begins a write at the end of the stack.
      await new Promise<void>((resolve) => log.flush(() => resolve()))
      await Bun.sleep(6)
    }
    journal.begin()
    journal.write('info', new TextEncoder().encode('{"message":"last","a":1}'))
    await new Promise<void>((resolve) => log.flush(() => resolve()))
    const lines = readFileSync(fileName, 'utf8').trimEnd().split('\n')
    rmSync(folder, { recursive: true })
    const messages = lines.map((line) => JSON.parse(line)['message'])
    expect(messages.length).toBeGreaterThan(20)
    expect(messages.slice(0, -1).every((message) => message === 'm')).toBe(true)
    expect(messages.at(-1)).toBe('last')
  })
})

test('room for a few calls is there at the top of the stack', () => {
  expect(() => reserveStack(SMALL_FRAMES)).not.toThrow()
})

test('room that is not there is an error of the engine, before anything is done', () => {
  let done = 0
  const descend = (): number => {
    reserveStack(SMALL_FRAMES)
    done++
    return descend() + 1
  }
  expect(descend).toThrow(RangeError)
  expect(done).toBeGreaterThan(0)
})
