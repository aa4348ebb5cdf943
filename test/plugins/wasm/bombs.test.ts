/** Guests that make the host work without end: each dies at its deadline or at a limit. */
import { afterAll, describe, expect, test } from 'bun:test'
import pino from 'pino'
import { createMeter } from '../../../src/metrics/meter.ts'
import { DEFAULT_LIMITS, type LimitName } from '../../../src/plugins/limits.ts'
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
  query,
} from '../../fixtures/wasm/kit.ts'

const i32 = (...values: readonly number[]) =>
  values.map((value) => `(i32.const ${value})`).join(' ')
const TURN = '(i32.store (i32.const 0) (local.get $n))'

/** An import, its type, what a turn of the loop does with it, and what is hit if not the time. */
type Bomb = readonly [
  name: string,
  imported: string,
  type: string,
  turn: string,
  hit?: LimitName | undefined,
]
const POSTERN = '"postern"'
const EXTISM = '"extism:host/env"'
const WASI = '"wasi_snapshot_preview1"'
const FOUR = '(param i32 i32 i32 i32) (result i32)'
const KEY_VALUE = '(param i32 i32 i32 i32 i32) (result i32)'

const bombs: readonly Bomb[] = [
  ['nothing', `${POSTERN} "now_ms"`, '(result f64)', ''],
  ['now_ms', `${POSTERN} "now_ms"`, '(result f64)', '(drop (call $f))'],
  ['random', `${POSTERN} "random"`, '(param i32 i32)', `(call $f ${i32(0, 65536)})`],
  [
    'log',
    `${POSTERN} "log"`,
    '(param i32 i32 i32)',
    `(call $f ${i32(3, 0, 65536)})`,
    'logBytesMax',
  ],
  [
    'log of the whole memory',
    `${POSTERN} "log"`,
    '(param i32 i32 i32)',
    `(call $f ${i32(3, 0, 33554432)})`,
    'logBytesMax',
  ],
  [
    'kv_set of many keys',
    `${POSTERN} "kv_set"`,
    KEY_VALUE,
    `${TURN} (drop (call $f ${i32(0, 4, 0, 65536, 0)}))`,
    'kvBytesMax',
  ],
  [
    'kv_set of a large value',
    `${POSTERN} "kv_set"`,
    KEY_VALUE,
    `(drop (call $f ${i32(0, 4, 0, 15_000_000, 0)}))`,
  ],
  ['kv_get', `${POSTERN} "kv_get"`, FOUR, `(drop (call $f ${i32(0, 65536, 0, 65536)}))`],
  [
    'session_set',
    `${POSTERN} "session_set"`,
    FOUR,
    `(drop (call $f ${i32(0, 4, 0, 65536)}))`,
    'sessionBytesMax',
  ],
  ['config', `${POSTERN} "config"`, FOUR, `(drop (call $f ${i32(0, 0, 0, 33554432)}))`],
  [
    'connection',
    `${POSTERN} "connection"`,
    '(param i32 i32) (result i32)',
    `(drop (call $f ${i32(0, 65536)}))`,
  ],
  [
    'signal',
    `${POSTERN} "signal"`,
    FOUR,
    `(drop (call $f ${i32(1024, 8, 40000, 0)}))`,
    'signalsMax',
  ],
  [
    'metric of many series',
    `${POSTERN} "metric"`,
    '(param i32 f64 i32 i32)',
    `${TURN} (call $f (i32.const 0) (f64.const 1) ${i32(0, 4)})`,
    'metricSeriesMax',
  ],
  [
    'metric of many labels',
    `${POSTERN} "metric"`,
    '(param i32 f64 i32 i32)',
    `(call $f (i32.const 0) (f64.const 1) ${i32(200_000, 65536)})`,
  ],
  ['output', `${POSTERN} "verdict"`, '(param i32)', `(call $output ${i32(0, 16777216)})`],
  [
    'fd_write of many pieces',
    `${WASI} "fd_write"`,
    FOUR,
    `(drop (call $f ${i32(1, 300_000, 1024, 8)}))`,
  ],
  [
    'fd_write of eight million pieces',
    `${WASI} "fd_write"`,
    FOUR,
    `(drop (call $f ${i32(1, 0, 8_000_000, 8)}))`,
    'hostCallBytesMax',
  ],
  [
    'random_get',
    `${WASI} "random_get"`,
    '(param i32 i32) (result i32)',
    `(drop (call $f ${i32(0, 65536)}))`,
  ],
  [
    'alloc',
    `${EXTISM} "alloc"`,
    '(param i64) (result i64)',
    '(drop (call $f (i64.const 60000000)))',
    'pdkMemory',
  ],
  [
    'length',
    `${EXTISM} "length"`,
    '(param i64) (result i64)',
    '(drop (call $f (i64.const 4294967296)))',
  ],
  ['memory.fill', `${POSTERN} "now_ms"`, '(result f64)', `(memory.fill ${i32(0, 0, 33554432)})`],
  [
    'memory.grow',
    `${POSTERN} "now_ms"`,
    '(result f64)',
    `(drop (memory.grow (i32.const 1))) (call $output ${i32(0, 1)})`,
    'memoryBytesMax',
  ],
]

/** How far the pieces of `fd_write` lie, and what they point to: line feeds. */
const PIECES = `(loop $i
  (i32.store (i32.add (i32.const 300000) (i32.mul (local.get $n) (i32.const 8)))
    (i32.const 200000))
  (i32.store (i32.add (i32.const 300004) (i32.mul (local.get $n) (i32.const 8))) (i32.const 63))
  (local.set $n (i32.add (local.get $n) (i32.const 1)))
  (br_if $i (i32.lt_u (local.get $n) (i32.const 1024))))`

const meter = createMeter()
const stops: (() => Promise<void>)[] = []
afterAll(async () => {
  for (const stop of stops) await stop()
})

async function explode([name, imported, type, turn]: Bomb) {
  const text = describing(
    manifestOf({
      name: name.replaceAll(/[^a-z]/g, '-'),
      hooks: [{ name: 'onTrafficFromClient' }],
      metrics: [{ name: `bomb_${stops.length}_total`, type: 'counter', labels: ['a'] }],
    }),
    `(func (export "postern_alloc") (param i32) (result i32) (i32.const 40000000))
     (func (export "on_traffic_from_client") (param i32 i32) (result i32) (local $n i32)
       (memory.fill (i32.const 200000) (i32.const 10) (i32.const 65536)) ${PIECES}
       (loop $l ${turn} (local.set $n (i32.add (local.get $n) (i32.const 1))) (br $l))
       (i32.const 0))`,
  )
    .replace('(module', `(module (import ${imported} (func $f ${type}))`)
    .replace('(memory (export "memory") 2)', '(memory (export "memory") 1000)')
  const { surroundings } = makeScene()
  const log = pino({ level: 'info' }, { write: () => undefined })
  // The deadline is what is tested here, and how it is found: not how fast this machine is.
  const budgets = { kvBytesMax: 1024 * 1024, cpuShareMax: 100 }
  const limits = { ...DEFAULT_LIMITS, ...budgets, callDeadlineMs: 60 }
  const spec = makeSpec(await fileOf(assemble(text)), { limits, config: { k: 'x'.repeat(1e6) } })
  const plugin = createWasmPlugin(spec, { ...surroundings, log, meter })
  stops.push(() => plugin.stop())
  await plugin.start()
  const verdict = await plugin.steps.onTrafficFromClient?.decide(
    makeSession(),
    query('x'),
    carried(),
  )
  return { plugin, verdict }
}

describe('a guest that goes on for ever with', () => {
  for (const bomb of bombs) {
    const [name, , , , hit] = bomb
    test(`${name} is ended, and counted`, async () => {
      const { plugin, verdict } = await explode(bomb)
      expect(verdict).toMatchObject({
        kind: 'failure',
        cause: expect.stringMatching(/trapped \((deadline|limit)\)/),
      })
      const { hits, traps, consumption } = plugin.sandbox!
      expect(traps.of('deadline') + traps.of('limit')).toBe(1)
      expect(hits.of('callDeadline')).toBe(traps.of('deadline'))
      expect(consumption.deadlineHits).toBe(traps.of('deadline'))
      if (hit !== undefined) expect(hits.of(hit)).toBeGreaterThan(0)
    })
  }
})

describe('a start without end', () => {
  const loop = '(loop $l (br $l))'
  const starts: readonly (readonly [string, string])[] = [
    ['the start section', `(func $s ${loop}) (start $s)`],
    ['_initialize', `(func (export "_initialize") ${loop})`],
  ]
  for (const [what, field] of starts) {
    test(`in ${what} is ended, and refused by name`, async () => {
      const { surroundings } = makeScene()
      const limits = { ...DEFAULT_LIMITS, startDeadlineMs: 40 }
      const text = describing(manifestOf(), field)
      const plugin = createWasmPlugin(
        makeSpec(await fileOf(assemble(text)), { limits }),
        surroundings,
      )
      await expect(plugin.start()).rejects.toThrow('at most 40')
      expect(plugin.sandbox?.hits.of('startDeadline')).toBe(1)
      expect(plugin.sandbox?.traps.of('deadline')).toBe(1)
      await plugin.stop()
    })
  }

  test('in describe is ended in what the start before it left', async () => {
    const { surroundings } = makeScene()
    const limits = { ...DEFAULT_LIMITS, startDeadlineMs: 40 }
    const text = `(module (memory (export "memory") 1)
      (func (export "describe") (result i32) ${loop} (i32.const 0)))`
    const plugin = createWasmPlugin(
      makeSpec(await fileOf(assemble(text)), { limits }),
      surroundings,
    )
    await expect(plugin.start()).rejects.toThrow('describe failed: it ran for')
    expect(plugin.sandbox?.hits.of('startDeadline')).toBe(1)
    await plugin.stop()
  })

  test('in postern_alloc is a failure of the call', async () => {
    const text = describing(
      manifestOf({ hooks: [{ name: 'onTrafficFromClient' }] }),
      `(func (export "postern_alloc") (param i32) (result i32) ${loop} (i32.const 8))
       (func (export "on_traffic_from_client") (param i32 i32) (result i32) (i32.const 0))`,
    )
    const spec = makeSpec(await fileOf(assemble(text)))
    const plugin = createWasmPlugin(spec, makeScene().surroundings)
    await plugin.start()
    const step = plugin.steps.onTrafficFromClient
    expect(await step?.decide(makeSession(), query('x'), carried())).toMatchObject({
      cause: expect.stringContaining('trapped (deadline)'),
    })
    await plugin.stop()
  })
})
