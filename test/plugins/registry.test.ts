import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { GatewayError } from '../../src/base/errors.ts'
import type { Plugin, PluginSpec } from '../../src/plugins/plugin.ts'
import { PluginRegistry, runtimeOf } from '../../src/plugins/registry.ts'
import { makeSpec } from '../fixtures/wasm/kit.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-registry-'))
afterAll(() => rmSync(folder, { recursive: true }))

function spec(name: string | null, changes: Partial<PluginSpec> = {}): PluginSpec {
  return makeSpec(`/plugins/${name}.wasm`, { name, ...changes })
}

/** Plugins that do nothing but tell what happens to them; some fail. */
function workshop(failing: readonly string[] = []) {
  const happened: string[] = []
  const make = async (made: PluginSpec): Promise<Plugin> => {
    const name = made.name ?? 'from-manifest'
    const failed = failing.includes(name)
    return {
      name,
      spec: made,
      manifest: null,
      steps: { observers: {} },
      status: () => ({
        name,
        runtime: made.runtime,
        state: failed ? 'broken' : 'ready',
        priority: made.priority,
        path: made.localPath,
        checksum: '',
        version: '1.0.0',
        hooks: [],
        onFailure: made.onFailure,
        required: made.required,
        calls: 0,
        failures: 0,
        callMicros: 0,
        lastError: '',
        pid: null,
      }),
      start: async () => {
        happened.push(`start ${name}`)
        if (failed) throw new GatewayError('PLUGIN_FILE', `plugin "${name}": no such file`)
      },
      stop: async () => {
        happened.push(`stop ${name}`)
      },
    }
  }
  return { happened, make }
}

/** A log whose lines are kept. */
function keptLog() {
  const lines: string[] = []
  return { lines, log: pino({ level: 'info' }, { write: (line: string) => lines.push(line) }) }
}

describe('plugins', () => {
  test('start in the order of the file and stop in reverse', async () => {
    const { happened, make } = workshop()
    const registry = new PluginRegistry(keptLog().log)
    await registry.start([spec('a'), spec('b'), spec('c')], make)
    await registry.stop()
    expect(happened).toEqual(['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a'])
  })

  test('that fail and are not required are logged with the cause, and the rest start', async () => {
    const { happened, make } = workshop(['bad'])
    const { lines, log } = keptLog()
    const registry = new PluginRegistry(log)
    await registry.start([spec('bad'), spec('good')], make)
    expect(happened).toEqual(['start bad', 'start good'])
    expect(lines.filter((line) => line.includes('no such file'))).toHaveLength(1)
    expect(registry.statuses().map(({ state }) => state)).toEqual(['broken', 'ready'])
  })

  test('that fail and are required refuse the start, and those before are stopped', async () => {
    const { happened, make } = workshop(['bad'])
    const registry = new PluginRegistry(keptLog().log)
    const started = registry.start([spec('good'), spec('bad', { required: true })], make)
    expect(started).rejects.toThrow('plugin "bad": it is required')
    await started.catch(() => {})
    expect(happened).toEqual(['start good', 'start bad', 'stop bad', 'stop good'])
  })

  test('of one name refuse the start, and all are stopped', async () => {
    const { happened, make } = workshop()
    const registry = new PluginRegistry(keptLog().log)
    const started = registry.start([spec(null), spec('b'), spec(null)], make)
    await expect(started).rejects.toThrow('two plugins are named "from-manifest"')
    expect(happened.slice(0, 3)).toEqual(['start from-manifest', 'start b', 'start from-manifest'])
    expect(happened.filter((each) => each.startsWith('stop')).length).toBeGreaterThanOrEqual(3)
  })
})

describe('a trial of all plugins', () => {
  test('goes on behind one that fails, and names every failure', async () => {
    const { happened, make } = workshop(['bad', 'worse'])
    const registry = new PluginRegistry(keptLog().log)
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
