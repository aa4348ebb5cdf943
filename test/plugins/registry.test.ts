import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { GatewayError } from '../../src/base/errors.ts'
import { CallCounts } from '../../src/metrics/calls.ts'
import type { Plugin, PluginManifest, PluginSpec } from '../../src/plugins/plugin.ts'
import { PluginRegistry, type RegistryOptions, runtimeOf } from '../../src/plugins/registry.ts'
import { makeSpec } from '../fixtures/wasm/kit.ts'
import { TurnedClock } from './turned-clock.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-registry-'))
afterAll(() => rmSync(folder, { recursive: true }))

function spec(name: string | null, changes: Partial<PluginSpec> = {}): PluginSpec {
  return makeSpec(`/plugins/${name}.wasm`, { name, ...changes })
}

function manifestOf(name: string, requires: PluginManifest['requires']): PluginManifest {
  return {
    name,
    version: '1.2.0',
    description: '',
    authors: [],
    license: '',
    projectUrl: '',
    hooks: [],
    requires,
    metricsSocket: null,
  }
}

/** Plugins that do nothing but tell what happens to them; some fail, and one has requirements. */
function workshop(failing: readonly string[] = [], requires: PluginManifest['requires'] = []) {
  const happened: string[] = []
  const make = async (made: PluginSpec): Promise<Plugin> => {
    const name = made.name ?? 'from-manifest'
    const failed = failing.includes(name)
    const manifest = manifestOf(name, name === 'needy' ? requires : [])
    let state: 'ready' | 'broken' | 'stopped' = 'stopped'
    return {
      name,
      spec: made,
      manifest,
      calls: new CallCounts(),
      steps: { observers: {} },
      status: () => ({
        name,
        runtime: made.runtime,
        state,
        priority: made.priority,
        path: made.localPath,
        checksum: '',
        version: manifest.version,
        hooks: [],
        onFailure: made.onFailure,
        required: made.required,
        calls: 0,
        failures: 0,
        callMicros: 0,
        lastError: '',
        pid: null,
        restarts: 0,
        nextTryInMs: null,
        readySince: null,
        lastLines: [],
      }),
      start: async (admit) => {
        happened.push(`start ${name}`)
        state = 'broken'
        if (failed) throw new GatewayError('PLUGIN_FILE', `plugin "${name}": no such file`)
        admit?.(manifest)
        state = 'ready'
      },
      check: async (timeoutMs) => void happened.push(`check ${name} ${timeoutMs}`),
      stop: async () => {
        happened.push(`stop ${name}`)
      },
    }
  }
  return { happened, make }
}

function registryOf({ log }: Pick<RegistryOptions, 'log'>, more: Partial<RegistryOptions> = {}) {
  const options: RegistryOptions = { log, compatibility: 'strict', pingPeriodMs: 5000, ...more }
  return new PluginRegistry(options)
}

/** A log whose lines are kept. */
function keptLog() {
  const lines: string[] = []
  return { lines, log: pino({ level: 'info' }, { write: (line: string) => lines.push(line) }) }
}

describe('plugins', () => {
  test('start in the order of the file and stop in reverse', async () => {
    const { happened, make } = workshop()
    const registry = registryOf(keptLog())
    await registry.start([spec('a'), spec('b'), spec('c')], make)
    await registry.stop()
    expect(happened).toEqual(['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a'])
  })

  test('that fail and are not required are logged with the cause, and the rest start', async () => {
    const { happened, make } = workshop(['bad'])
    const { lines, log } = keptLog()
    const registry = registryOf({ log })
    await registry.start([spec('bad'), spec('good')], make)
    expect(happened).toEqual(['start bad', 'start good'])
    expect(lines.filter((line) => line.includes('no such file'))).toHaveLength(1)
    expect(registry.statuses().map(({ state }) => state)).toEqual(['broken', 'ready'])
  })

  test('that fail and are required refuse the start, and those before are stopped', async () => {
    const { happened, make } = workshop(['bad'])
    const registry = registryOf(keptLog())
    const started = registry.start([spec('good'), spec('bad', { required: true })], make)
    expect(started).rejects.toThrow('plugin "bad": it is required')
    await started.catch(() => {})
    expect(happened).toEqual(['start good', 'start bad', 'stop bad', 'stop good'])
  })

  test('of one name refuse the start, and all are stopped', async () => {
    const { happened, make } = workshop()
    const registry = registryOf(keptLog())
    const started = registry.start([spec(null), spec('b'), spec(null)], make)
    await expect(started).rejects.toThrow('two plugins are named "from-manifest"')
    const starts = ['start from-manifest', 'start b', 'start from-manifest']
    const stops = ['stop from-manifest', 'stop b', 'stop from-manifest']
    expect(happened).toEqual([...starts, ...stops])
  })
})

describe('a requirement', () => {
  const REQUIRES = [{ name: 'a', version: '1.3.0' }]
  const PROBLEM = 'plugin "needy" requires "a" 1.3.0 or newer, but it is 1.2.0: update "a"'

  test('that is met lets the plugin start', async () => {
    const { make } = workshop([], [{ name: 'a', version: '1.1' }])
    const registry = registryOf(keptLog())
    await registry.start([spec('a'), spec('needy')], make)
    expect(registry.statuses().map(({ state }) => state)).toEqual(['ready', 'ready'])
    await registry.stop()
  })

  test('that is not met refuses the plugin, and the rest start', async () => {
    const { make } = workshop([], REQUIRES)
    const { lines, log } = keptLog()
    const registry = registryOf({ log })
    await registry.start([spec('a'), spec('needy'), spec('b')], make)
    expect(registry.statuses().map(({ state }) => state)).toEqual(['ready', 'broken', 'ready'])
    const told = lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 50)
    expect(told.map(({ plugin, msg }) => [plugin, msg])).toEqual([
      ['needy', `${PROBLEM}, or set compatibilityPolicy: loose (the gateway goes on without it)`],
    ])
    await registry.stop()
  })

  test('that is not met is only warned of where the policy is loose', async () => {
    const { make } = workshop([], REQUIRES)
    const { lines, log } = keptLog()
    const registry = registryOf({ log }, { compatibility: 'loose' })
    await registry.start([spec('a'), spec('needy')], make)
    expect(registry.statuses().map(({ state }) => state)).toEqual(['ready', 'ready'])
    expect(lines.some((line) => JSON.parse(line).msg.startsWith(PROBLEM))).toBe(true)
    await registry.stop()
  })

  test('that is not met by a required plugin refuses the start', async () => {
    const { make } = workshop([], REQUIRES)
    const started = registryOf(keptLog()).start([spec('needy', { required: true })], make)
    await expect(started).rejects.toThrow('plugin "needy": it is required')
  })
})

test('plugins are pinged from the watch on, with a deadline, until the end', async () => {
  const { happened, make } = workshop()
  const clock = new TurnedClock()
  const registry = registryOf(keptLog(), { clock, pingPeriodMs: 400 })
  await registry.start([spec('a'), spec('b')], make)
  // Not before their hooks are bound.
  expect(clock.waiting).toBe(0)
  registry.watch()
  happened.length = 0
  clock.turn(399)
  expect(happened).toEqual([])
  clock.turn(1)
  expect(happened).toEqual(['check a 400', 'check b 400'])
  await registry.stop()
  expect(clock.waiting).toBe(0)
})

describe('a trial of all plugins', () => {
  test('goes on behind one that fails, and names every failure', async () => {
    const { happened, make } = workshop(['bad', 'worse'])
    const registry = registryOf(keptLog())
    const specs = [spec('bad'), spec('good'), spec('worse', { required: true })]
    const failures = await registry.tryAll(specs, make)
    expect(failures.map(({ code }) => code)).toEqual(['PLUGIN_FILE', 'PLUGIN_REQUIRED'])
    expect(happened).toEqual(['start bad', 'start good', 'start worse'])
  })
})

describe('the runtime of a file', () => {
  test('is wasm where it begins as a module, else grpc, also where it cannot be read', () => {
    const module = join(folder, 'module')
    const program = join(folder, 'program')
    writeFileSync(module, Buffer.from('\0asm\x01\0\0\0', 'latin1'))
    writeFileSync(program, '#!')
    expect(runtimeOf(module)).toBe('wasm')
    expect(runtimeOf(program)).toBe('grpc')
    expect(runtimeOf(join(folder, 'nowhere'))).toBe('grpc')
  })
})
