/** Every import of the module `postern`, through a guest that calls it as it is told. */
import { beforeAll, describe, expect, test } from 'bun:test'
import type { SessionFacts } from '../../../src/hooks/step.ts'
import type { FromClientVerdict } from '../../../src/hooks/verdict.ts'
import { DEFAULT_LIMITS } from '../../../src/plugins/limits.ts'
import type { Plugin } from '../../../src/plugins/plugin.ts'
import { CALL_BYTES_MAX } from '../../../src/plugins/wasm/limits.ts'
import { createWasmPlugin } from '../../../src/plugins/wasm/plugin.ts'
import { PluginStores } from '../../../src/plugins/wasm/store.ts'
import {
  carried,
  makeScene,
  makeSession,
  makeSpec,
  modulePath,
  type Scene,
  textOf,
} from '../../fixtures/wasm/kit.ts'

const IMPORTS = [
  'output',
  'verdict',
  'log',
  'config',
  'connection',
  'session_get',
  'session_set',
  'kv_get',
  'kv_set',
  'kv_delete',
  'kv_output',
  'signal',
  'metric',
  'now_ms',
  'random',
  'abort',
  'grow',
  'signals',
  'assert',
] as const
type Import = (typeof IMPORTS)[number]

/** A number as it is, a text or bytes that become two arguments: their place and their length. */
type Argument = number | string | Uint8Array
/** The guest's scratch memory: two arguments, its place and `room`. */
const scratch = (room: number) => ({ room })
type Scratch = ReturnType<typeof scratch>

const HEAD_BYTES = 3
const ARGUMENTS_MAX = 5
const ARGUMENT_BYTES = 5
const SCRIPT_BYTES = HEAD_BYTES + ARGUMENTS_MAX * ARGUMENT_BYTES
const REPLACE = 1
const AS_IS = 0
const FROM_INPUT = 1
const FROM_SCRATCH = 2

function script(
  name: Import,
  given: readonly (Argument | Scratch)[],
  options: { verdict?: number; report?: boolean },
): Uint8Array {
  const numbers: (readonly [number, number])[] = []
  const blobs: Uint8Array[] = []
  let place = SCRIPT_BYTES
  for (const argument of given) {
    if (typeof argument === 'number') numbers.push([AS_IS, argument])
    else if (typeof argument === 'object' && 'room' in argument) {
      numbers.push([FROM_SCRATCH, 0], [AS_IS, argument.room])
    } else {
      const blob = typeof argument === 'string' ? new TextEncoder().encode(argument) : argument
      numbers.push([FROM_INPUT, place], [AS_IS, blob.length])
      blobs.push(blob)
      place += blob.length
    }
  }
  const bytes = new Uint8Array(place)
  const view = new DataView(bytes.buffer)
  bytes[0] = IMPORTS.indexOf(name)
  bytes[1] = options.verdict ?? REPLACE
  bytes[2] = options.report === false ? 0 : 1
  for (const [index, [base, value]] of numbers.entries()) {
    view.setUint8(HEAD_BYTES + index * ARGUMENT_BYTES, base)
    view.setInt32(HEAD_BYTES + index * ARGUMENT_BYTES + 1, value | 0, true)
  }
  let at = SCRIPT_BYTES
  for (const blob of blobs) {
    bytes.set(blob, at)
    at += blob.length
  }
  return bytes
}

class Caller {
  readonly plugin: Plugin
  readonly scene: Scene = makeScene()
  session: SessionFacts = makeSession()

  constructor(
    path: string,
    stores: PluginStores,
    config: object = { name: 'x', list: [1, 2], none: null },
  ) {
    const spec = makeSpec(path, { name: 'caller', config: { ...config } })
    this.plugin = createWasmPlugin(spec, this.scene.surroundings, stores)
  }

  /** The verdict of a call; a promise while the instance is made anew. */
  async verdict(
    name: Import,
    given: readonly (Argument | Scratch)[],
    options: { verdict?: number; report?: boolean } = {},
  ): Promise<FromClientVerdict> {
    const step = this.plugin.steps.onTrafficFromClient
    if (step === undefined) throw new Error('the plugin is not started')
    return await step.decide(this.session, script(name, given, options), carried())
  }

  /** What an import returned, and the scratch memory after it. */
  async call(name: Import, ...given: readonly (Argument | Scratch)[]) {
    const verdict = await this.verdict(name, given)
    if (verdict.kind !== 'replace') throw new Error(JSON.stringify(verdict))
    const { bytes } = verdict
    const result = new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0, true)
    const memory = bytes.subarray(8)
    return { result, memory, text: textOf(memory.subarray(0, Math.max(result, 0))) }
  }

  /** The sentence of a call that traps. */
  async trap(name: Import, ...given: readonly (Argument | Scratch)[]): Promise<string> {
    const verdict = await this.verdict(name, given)
    // A call that succeeds on the new instance, so that no row of failures makes the next one wait.
    await this.call('now_ms')
    return verdict.kind === 'failure' ? verdict.cause : verdict.kind
  }
}

const stores = new PluginStores()
let caller: Caller
beforeAll(async () => {
  caller = new Caller(modulePath('caller'), stores)
  await caller.plugin.start()
})

describe('output', () => {
  test('is the payload, as it was when it was given', async () => {
    const verdict = await caller.verdict('output', ['hello'], { verdict: 2, report: false })
    expect(verdict.kind).toBe('respond')
    if (verdict.kind === 'respond') expect(textOf(verdict.bytes)).toBe('hello')
  })

  test('is bounded', async () => {
    expect(await caller.call('grow', 300)).toMatchObject({ result: expect.any(Number) })
    expect(await caller.trap('output', 0, DEFAULT_LIMITS.outputBytesMax + 1)).toContain(
      `at most ${DEFAULT_LIMITS.outputBytesMax}`,
    )
    expect(await caller.trap('output', -1, 1)).toContain('outside the memory')
  })
})

test('verdict does nothing in the direct form', async () => {
  const verdict = await caller.verdict('verdict', [4], { verdict: 0, report: false })
  expect(verdict.kind).toBe('continue')
})

describe('log', () => {
  test('writes with the plugin, its level and its fields', async () => {
    await caller.call('log', 3, '{"message":"m","a":1}')
    expect(caller.scene.lines.at(-1)).toMatchObject({
      level: 40,
      plugin: 'caller',
      msg: 'm',
      fields: { a: 1 },
    })
    await caller.call('log', 0, 'plain')
    expect(caller.scene.lines.at(-1)).toMatchObject({ level: 10, msg: 'plain' })
  })

  test('traps outside of the memory', async () => {
    expect(await caller.trap('log', 1, 0x7fff_ffff, 1)).toContain('log was given')
  })
})

describe('config', () => {
  test('gives texts as they are, the rest as JSON, and all of it', async () => {
    expect((await caller.call('config', 'name', scratch(100))).text).toBe('x')
    expect((await caller.call('config', 'list', scratch(100))).text).toBe('[1,2]')
    expect((await caller.call('config', 'none', scratch(100))).text).toBe('null')
    expect((await caller.call('config', 'depth', scratch(100))).text).toBe('7')
    const all = await caller.call('config', '', scratch(100))
    expect(JSON.parse(all.text)).toEqual({ name: 'x', list: [1, 2], none: null, depth: 7 })
  })

  test('answers -1 for what is not there, and writes only what fits', async () => {
    expect((await caller.call('config', 'nothing', scratch(100))).result).toBe(-1)
    expect((await caller.call('config', 'constructor', scratch(100))).result).toBe(-1)
    const short = await caller.call('config', 'list', scratch(4))
    expect(short.result).toBe(5)
    expect([...short.memory.subarray(0, 5)]).toEqual([0, 0, 0, 0, 0])
  })

  test('may be of a megabyte, and of every type of JSON', async () => {
    const config = { long: 'é'.repeat(500_000), empty: '', half: 0.5, no: false, map: { a: [{}] } }
    const own = new Caller(modulePath('caller'), stores, config)
    await own.plugin.start()
    expect((await own.call('config', 'long', scratch(4096))).result).toBe(1_000_000)
    expect((await own.call('config', '', scratch(0))).result).toBeGreaterThan(1_000_000)
    expect((await own.call('config', 'empty', scratch(9))).result).toBe(0)
    expect((await own.call('config', 'half', scratch(9))).text).toBe('0.5')
    expect((await own.call('config', 'no', scratch(9))).text).toBe('false')
    expect((await own.call('config', 'map', scratch(99))).text).toBe('{"a":[{}]}')
  })

  test('checks both places, also where nothing is written', async () => {
    expect(await caller.trap('config', 'nothing', -8, 16)).toContain('config was given')
    expect(await caller.trap('config', 'nothing', 0, -1)).toContain('config was given')
    expect(await caller.trap('config', -8, 16, scratch(1))).toContain('config was given')
    await caller.call('grow', 1)
    expect(await caller.trap('config', 0, CALL_BYTES_MAX + 1, scratch(1))).toContain('at most')
  })
})

describe('connection', () => {
  test('is the session as JSON', async () => {
    const { text } = await caller.call('connection', scratch(4096))
    expect(JSON.parse(text)).toEqual({
      id: 'session-1',
      client: { local: '127.0.0.1:15432', remote: '127.0.0.1:50000' },
      server: { local: '127.0.0.1:50001', remote: '127.0.0.1:5432' },
      group: 'default',
      block: 'writes',
      protocol: 'postgres',
      tls: null,
      user: 'alice',
      database: 'shop',
      applicationName: 'psql',
    })
  })

  test('tells of TLS', async () => {
    const tls = { version: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', subject: 'CN=alice' }
    caller.session = makeSession({ tls })
    const { text } = await caller.call('connection', scratch(4096))
    expect(JSON.parse(text)).toMatchObject({ tls })
  })

  test('traps outside of the memory', async () => {
    expect(await caller.trap('connection', -1, 8)).toContain('connection was given')
  })

  test('and the session are not there outside of one', async () => {
    const verdict = await caller.plugin.steps.onRun?.decide({ address: ':1' })
    expect(verdict).toEqual({ kind: 'merge', changes: { sum: -3 } })
  })
})

describe('session_get and session_set', () => {
  test('keep copies with the session, under the name of the plugin', async () => {
    caller.session = makeSession()
    expect((await caller.call('session_set', 'k', 'value')).result).toBe(0)
    expect(textOf(caller.session.memory.get('caller')?.get('k'))).toBe('value')
    expect((await caller.call('session_get', 'k', scratch(9))).text).toBe('value')
    caller.session = makeSession()
    expect((await caller.call('session_get', 'k', scratch(9))).result).toBe(-1)
  })

  test('read what another plugin keeps', async () => {
    caller.session = makeSession()
    caller.session.memory.set('other', new Map([['k', new Uint8Array([0x61])]]))
    expect((await caller.call('session_get', 'other/k', scratch(9))).text).toBe('a')
    expect((await caller.call('session_set', 'other/k', 'b')).result).toBe(0)
    expect(textOf(caller.session.memory.get('other')?.get('k'))).toBe('a')
  })

  test('answer -1 where the budget is spent, and trap outside of the memory', async () => {
    caller.session = makeSession()
    expect(
      (await caller.call('session_set', 'k', new Uint8Array(DEFAULT_LIMITS.sessionBytesMax)))
        .result,
    ).toBe(-1)
    expect(await caller.trap('session_set', 'k', -1, 1)).toContain('session_set was given')
    expect(await caller.trap('session_get', 'k', -1, 1)).toContain('session_get was given')
  })
})

describe('the store', () => {
  test('keeps, replaces, outputs and deletes', async () => {
    expect((await caller.call('kv_get', 'k', scratch(9))).result).toBe(-1)
    expect((await caller.call('kv_set', 'k', 'value', 0)).result).toBe(0)
    expect((await caller.call('kv_get', 'k', scratch(9))).text).toBe('value')
    const verdict = await caller.verdict('kv_output', ['k'], { verdict: 2, report: false })
    expect(verdict.kind).toBe('respond')
    if (verdict.kind === 'respond') {
      expect(textOf(verdict.bytes)).toBe('value')
      // What the gateway does with its verdict does not reach the store.
      verdict.bytes.fill(0)
    }
    expect((await caller.call('kv_get', 'k', scratch(9))).text).toBe('value')
    expect((await caller.call('kv_delete', 'k')).result).toBe(0)
    expect((await caller.call('kv_delete', 'k')).result).toBe(-1)
    expect((await caller.call('kv_output', 'k')).result).toBe(-1)
  })

  test('takes the time of a value as an unsigned number', async () => {
    await caller.call('kv_set', 'long', 'x', -1)
    expect((await caller.call('kv_get', 'long', scratch(9))).result).toBe(1)
  })

  test('survives a trap, and a reload that hands in the same stores', async () => {
    await caller.call('kv_set', 'kept', 'x', 0)
    expect(await caller.trap('abort')).toContain('trapped')
    expect((await caller.call('kv_get', 'kept', scratch(9))).text).toBe('x')
    const reloaded = new Caller(modulePath('caller'), stores)
    await reloaded.plugin.start()
    expect((await reloaded.call('kv_get', 'kept', scratch(9))).text).toBe('x')
    const other = new Caller(modulePath('caller'), new PluginStores())
    await other.plugin.start()
    expect((await other.call('kv_get', 'kept', scratch(9))).result).toBe(-1)
  })

  test('is bounded, and checks its pointers', async () => {
    const half = new Uint8Array(DEFAULT_LIMITS.kvBytesMax / 2)
    expect((await caller.call('kv_set', 'one', half, 0)).result).toBe(0)
    expect((await caller.call('kv_set', 'two', half, 0)).result).toBe(-1)
    expect((await caller.call('kv_delete', 'one')).result).toBe(0)
    expect(await caller.trap('kv_set', 'k', -1, 1, 0)).toContain('kv_set was given')
    expect(await caller.trap('kv_get', 'k', -1, 1)).toContain('kv_get was given')
    expect(await caller.trap('kv_delete', -1, 1)).toContain('kv_delete was given')
    expect(await caller.trap('kv_output', -1, 1)).toContain('kv_output was given')
  })
})

describe('signal', () => {
  test('is noted with its metadata', async () => {
    expect((await caller.call('signal', 'odd', '{"score":2}')).result).toBe(0)
    expect(caller.scene.lines.at(-1)).toMatchObject({ signal: 'odd', fields: { score: 2 } })
    expect((await caller.call('signal', 'bare', '')).result).toBe(0)
  })

  test('answers -1 without a name, with metadata that is none, and beyond the limit', async () => {
    expect((await caller.call('signal', '', '{}')).result).toBe(-1)
    expect((await caller.call('signal', 'odd', '[1]')).result).toBe(-1)
    expect((await caller.call('signal', 'odd', '{')).result).toBe(-1)
    const before = caller.scene.lines.length
    await caller.call('signals', DEFAULT_LIMITS.signalsMax + 10, 'many')
    expect(caller.scene.lines.length - before).toBe(DEFAULT_LIMITS.signalsMax)
  })

  test('traps outside of the memory', async () => {
    expect(await caller.trap('signal', -1, 1, '{}')).toContain('signal was given')
    expect(await caller.trap('signal', 'n', -1, 1)).toContain('signal was given')
  })
})

describe('metric', () => {
  test('was declared by the manifest, and is recorded with its labels in order', async () => {
    const { declared, recorded } = caller.scene
    expect(declared[0]?.plugin).toBe('caller')
    expect(declared[0]?.specs.map((spec) => spec.name)).toEqual(['calls_total', 'level'])
    await caller.call('metric', 0, 2, 'one\ntwo')
    expect(recorded.at(-1)).toEqual({ id: 0, value: 2, labels: ['one', 'two'] })
    await caller.call('metric', 1, -3, '')
    expect(recorded.at(-1)).toEqual({ id: 1, value: -3, labels: [] })
    await caller.call('metric', 0, 1, '\n')
    expect(recorded.at(-1)).toEqual({ id: 0, value: 1, labels: ['', ''] })
  })

  test('traps outside of the memory', async () => {
    expect(await caller.trap('metric', 0, 1, -1, 1)).toContain('metric was given')
  })
})

describe('now_ms and random', () => {
  test('tell the time', async () => {
    const before = Date.now()
    const { result } = await caller.call('now_ms')
    expect(result).toBeGreaterThanOrEqual(before)
    expect(result).toBeLessThanOrEqual(Date.now())
  })

  test('fill with bytes that differ', async () => {
    const one = (await caller.call('random', scratch(32))).memory.slice(0, 32)
    const two = (await caller.call('random', scratch(32))).memory.slice(0, 33)
    expect(one).not.toEqual(two.slice(0, 32))
    expect(two[32]).toBe(0)
  })

  test('are bounded', async () => {
    await caller.call('grow', 1)
    expect(await caller.trap('random', 0, CALL_BYTES_MAX + 1)).toContain('at most')
    expect(await caller.trap('random', -1, 1)).toContain('random was given')
  })
})

test('abort is a trap that carries its message, and its place where there is one', async () => {
  expect(await caller.trap('abort')).toEndWith('trapped (abort): abort: the guest gives up')
  const cause = await caller.trap('assert')
  expect(cause).toMatch(/trapped \(abort\): abort: surely not at .*caller\.ts:\d+:\d+$/)
})
