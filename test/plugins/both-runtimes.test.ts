/** What holds for plugins of every runtime, tried on real ones: life, requirements, status. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync } from 'node:fs'
import type { FromClientVerdict } from '../../src/hooks/verdict.ts'
import { createGrpcPlugin, STABLE_MS } from '../../src/plugins/grpc/plugin.ts'
import { backoffMs, FAILURES_IN_A_ROW_MAX } from '../../src/plugins/life.ts'
import type { Plugin, PluginSpec, PluginState } from '../../src/plugins/plugin.ts'
import { PluginRegistry } from '../../src/plugins/registry.ts'
import { createWasmPlugin } from '../../src/plugins/wasm/plugin.ts'
import { buildTypescriptPlugin } from '../fixtures/grpc/build.ts'
import {
  carriedOf,
  Folder,
  KeptLog,
  query,
  sessionOf,
  specOf,
  surroundingsOf,
} from '../fixtures/grpc/surroundings.ts'
import {
  assemble,
  describing,
  fileOf,
  makeScene,
  makeSpec,
  manifestOf,
  modulePath,
} from '../fixtures/wasm/kit.ts'
import { TurnedClock } from './turned-clock.ts'

// Processes are started, on machines that have other things to do.
setDefaultTimeout(60_000)

const folder = new Folder()
const made: Plugin[] = []
const registries: PluginRegistry[] = []
let clock = new TurnedClock()
let log = new KeptLog()
let scripted = ''

beforeAll(async () => {
  scripted = await buildTypescriptPlugin()
}, 120_000)
afterEach(async () => {
  await Promise.all(registries.splice(0).map((registry) => registry.stop()))
  await Promise.all(made.splice(0).map((plugin) => plugin.stop()))
  const { waiting } = clock
  clock = new TurnedClock()
  log = new KeptLog()
  expect(waiting).toBe(0)
})
afterAll(() => folder.remove())

interface RuntimeCase {
  /** An entry for a plugin that decides; it is lost by a statement with the mark. */
  readonly spec: (fields?: Partial<PluginSpec>) => PluginSpec
  readonly mark: string
  /** An entry for a plugin that requires another. */
  readonly needy: (name: string, version: string) => Promise<PluginSpec>
  /** Has what it decides about succeed for so long that a loss behind it begins a new row. */
  readonly settle: (plugin: Plugin) => Promise<void>
}

const RUNTIMES: Readonly<Record<string, RuntimeCase>> = {
  wasm: {
    spec: (fields) => makeSpec(modulePath('verdicts'), { name: 'tried', ...fields }),
    mark: 'trap',
    needy: async (name, version) => {
      const manifest = manifestOf({ requires: [{ name, version }] })
      return makeSpec(await fileOf(assemble(describing(manifest))), { name: 'needy' })
    },
    settle: async (plugin) => {
      expect(await decide(plugin, 'select 1')).toEqual({ kind: 'continue' })
    },
  },
  grpc: {
    spec: (fields) => specOf(scripted, { name: 'tried', env: ['HOOKS=14,16'], ...fields }),
    mark: 'crash',
    needy: async (name, version) =>
      specOf(scripted, { name: 'needy', env: ['HOOKS=16', `REQUIRES=${name}=${version}`] }),
    settle: async () => clock.turn(STABLE_MS),
  },
}

function make(spec: PluginSpec): Plugin {
  const { surroundings } = makeScene()
  const plugin =
    spec.runtime === 'wasm'
      ? createWasmPlugin(spec, { ...surroundings, log: log.logger, clock })
      : createGrpcPlugin(spec, { ...surroundingsOf(log, folder), clock })
  made.push(plugin)
  return plugin
}

async function started(spec: PluginSpec): Promise<Plugin> {
  const plugin = make(spec)
  await plugin.start()
  return plugin
}

function registryWith(compatibility: 'strict' | 'loose' = 'strict'): PluginRegistry {
  const options = { log: log.logger, compatibility, pingPeriodMs: 5000, clock }
  const registry = new PluginRegistry(options)
  registries.push(registry)
  return registry
}

function decide(plugin: Plugin, sql: string) {
  const step = plugin.steps.onTrafficFromClient
  if (step === undefined) throw new Error('no step')
  return step.decide(sessionOf(), query(sql), carriedOf())
}

/** Settles when the plugin is in this state. */
function reaches(plugin: Plugin, state: PluginState): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  plugin.onStateChange = (next) => {
    if (next === state) resolve()
  }
  if (plugin.status().state === state) resolve()
  return promise
}

/** Has a plugin lost; settles when it is in the state that follows. */
async function lose(plugin: Plugin, mark: string, follows: PluginState): Promise<void> {
  const following = reaches(plugin, follows)
  expect(await decide(plugin, `select 1 /*${mark}*/`)).toMatchObject({ kind: 'failure' })
  await following
}

/** Loses a plugin until the breaker opens. */
async function breaks(plugin: Plugin, mark: string): Promise<void> {
  await lose(plugin, mark, 'restarting')
  await reaches(plugin, 'ready')
  for (let failures = 2; failures < FAILURES_IN_A_ROW_MAX; failures++) {
    await lose(plugin, mark, 'failing')
    clock.turn(backoffMs(failures))
    await reaches(plugin, 'ready')
  }
  await lose(plugin, mark, 'broken')
}

/** A failure that came at once, without a promise. */
function failsAtOnce(plugin: Plugin, cause: string): void {
  const verdict: FromClientVerdict | Promise<FromClientVerdict> = decide(plugin, 'select 1')
  expect(verdict).toMatchObject({ kind: 'failure', cause: expect.stringContaining(cause) })
}

for (const [runtime, { spec, mark, needy, settle }] of Object.entries(RUNTIMES)) {
  describe(`${runtime}: a plugin`, () => {
    test('that started is ready, and its status says so', async () => {
      const plugin = await started(spec({ priority: 1007 }))
      expect(plugin.status()).toMatchObject({
        name: 'tried',
        runtime,
        state: 'ready',
        priority: 1007,
        restarts: 0,
        nextTryInMs: null,
        readySince: clock.wall(),
        lastError: '',
        lastLines: [],
      })
      expect(await decide(plugin, 'select 1')).toEqual({ kind: 'continue' })
    })

    test('that does not start is broken, says why, has no steps, and is not retried', async () => {
      const plugin = make(spec({ localPath: '/nowhere/plugin' }))
      await expect(plugin.start()).rejects.toThrow('/nowhere/plugin')
      expect(plugin.status()).toMatchObject({ state: 'broken', nextTryInMs: null, restarts: 0 })
      expect(plugin.status().lastError).toContain('/nowhere/plugin')
      expect(plugin.steps).toEqual({ observers: {} })
    })

    test('that is lost is renewed at once, with its steps and its priority', async () => {
      const plugin = await started(spec({ priority: 1007 }))
      const { steps } = plugin
      await lose(plugin, mark, 'restarting')
      await reaches(plugin, 'ready')
      expect(await decide(plugin, 'select 1')).toEqual({ kind: 'continue' })
      expect(plugin.steps).toBe(steps)
      expect(steps.onTrafficFromClient?.priority).toBe(1007)
      expect(plugin.status()).toMatchObject({ state: 'ready', priority: 1007, restarts: 1 })
      expect(plugin.status().lastError).not.toBe('')
    })

    test('that is lost again waits, failing at once, and is back', async () => {
      const plugin = await started(spec())
      await lose(plugin, mark, 'restarting')
      await reaches(plugin, 'ready')
      await lose(plugin, mark, 'failing')
      expect(plugin.status()).toMatchObject({ state: 'failing', nextTryInMs: 100, restarts: 1 })
      failsAtOnce(plugin, 'it is restarted at 2026-01-01T00:00:00.100Z')
      clock.turn(100)
      await reaches(plugin, 'ready')
      expect(await decide(plugin, 'select 1')).toEqual({ kind: 'continue' })
    })

    test('that is lost too often is broken for a while, and healed by success', async () => {
      const plugin = await started(spec())
      await breaks(plugin, mark)
      expect(plugin.status()).toMatchObject({ state: 'broken', nextTryInMs: 800, restarts: 4 })
      failsAtOnce(plugin, 'the plugin is not called until 2026-01-01T00:00:01.500Z')
      clock.turn(800)
      await reaches(plugin, 'ready')
      await settle(plugin)
      await lose(plugin, mark, 'restarting')
      await reaches(plugin, 'ready')
      expect(await decide(plugin, 'select 1')).toEqual({ kind: 'continue' })
    })

    test('can be stopped in every state, and nothing of it is left', async () => {
      const bring: Readonly<Record<PluginState, (plugin: Plugin) => Promise<void>>> = {
        stopped: async () => undefined,
        starting: async (plugin) => void plugin.start().catch(() => undefined),
        ready: (plugin) => plugin.start(),
        restarting: async (plugin) => {
          await plugin.start()
          await lose(plugin, mark, 'restarting')
        },
        failing: async (plugin) => {
          await plugin.start()
          await lose(plugin, mark, 'restarting')
          await reaches(plugin, 'ready')
          await lose(plugin, mark, 'failing')
        },
        broken: async (plugin) => {
          await plugin.start()
          await breaks(plugin, mark)
        },
      }
      for (const [state, brought] of Object.entries(bring)) {
        const plugin = make(spec())
        await brought(plugin)
        const { pid } = plugin.status()
        await Promise.all([plugin.stop(), plugin.stop()])
        await plugin.stop()
        const { state: after, pid: left } = plugin.status()
        const timers = clock.waiting
        expect({ state, after, left, timers }).toEqual({
          state,
          after: 'stopped',
          left: null,
          timers: 0,
        })
        expect(pid !== null && existsSync(`/proc/${pid}`)).toBe(false)
      }
    })

    test('whose requirement is met starts; else it is refused, or only warned of', async () => {
      for (const [version, compatibility, states] of [
        ['0.0.1', 'strict', ['ready', 'ready']],
        ['99.0.0', 'strict', ['ready', 'broken']],
        ['99.0.0', 'loose', ['ready', 'ready']],
      ] as const) {
        const registry = registryWith(compatibility)
        const specs = [spec({ name: 'base' }), await needy('base', version)]
        await registry.start(specs, async (each) => make(each))
        const statuses = registry.statuses()
        expect(statuses.map(({ state }) => state)).toEqual([...states])
        const problem = 'plugin "needy" requires "base" 99.0.0 or newer, but it is'
        expect(log.records.some(({ msg }) => msg.startsWith(problem))).toBe(version === '99.0.0')
        if (states[1] === 'broken') {
          expect(statuses[1]?.lastError).toStartWith(problem)
          expect(registry.plugins[1]?.steps).toEqual({ observers: {} })
          expect(statuses[1]?.pid).toBeNull()
        }
        await registry.stop()
        log = new KeptLog()
      }
    })

    test('that is required and does not start refuses the start of all', async () => {
      const registry = registryWith()
      const specs = [spec(), spec({ name: 'other', localPath: '/nowhere', required: true })]
      const starting = registry.start(specs, async (each) => make(each))
      await expect(starting).rejects.toThrow('plugin "other": it is required')
      expect(registry.statuses()[0]?.state).toBe('stopped')
    })

    test('of a name that is taken refuses the start, whatever runtime has it', async () => {
      for (const other of Object.values(RUNTIMES)) {
        const registry = registryWith()
        const specs = [spec({ name: 'twin' }), other.spec({ name: 'twin' })]
        const starting = registry.start(specs, async (each) => make(each))
        await expect(starting).rejects.toThrow('two plugins are named "twin"')
        expect(registry.statuses()[0]?.state).toBe('stopped')
      }
    })
  })
}
