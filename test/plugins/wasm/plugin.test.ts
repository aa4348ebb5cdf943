/** The life of a WASM plugin: start, hooks in both forms, traps, stop, and what it reports. */
import { describe, expect, test } from 'bun:test'
import type { FromClientVerdict } from '../../../src/hooks/verdict.ts'
import { CONTINUE } from '../../../src/hooks/verdict.ts'
import type { Plugin, PluginSpec } from '../../../src/plugins/plugin.ts'
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
  message,
  modulePath,
  query,
  textOf,
} from '../../fixtures/wasm/kit.ts'

async function start(name: string, fields: Partial<PluginSpec> = {}) {
  const scene = makeScene()
  const plugin = createWasmPlugin(makeSpec(modulePath(name), fields), scene.surroundings)
  await plugin.start()
  return { plugin, scene }
}

function fromClient(plugin: Plugin, bytes: Uint8Array) {
  const step = plugin.steps.onTrafficFromClient
  if (step === undefined) throw new Error('no step')
  return step.decide(makeSession(), bytes, carried())
}

function fromServer(plugin: Plugin, bytes: Uint8Array) {
  const step = plugin.steps.onTrafficFromServer
  if (step === undefined) throw new Error('no step')
  return step.decide(makeSession(), bytes, carried())
}

const asked = (plugin: Plugin, marker: string) => fromClient(plugin, query(`SELECT 1 ${marker}`))

for (const form of ['verdicts', 'verdicts-pdk']) {
  describe(`${form}: a hook`, () => {
    test('continues at once, with the shared verdict', async () => {
      const { plugin } = await start(form)
      expect(asked(plugin, '')).toBe(CONTINUE)
      expect(fromClient(plugin, new Uint8Array(0))).toBe(CONTINUE)
      expect(fromServer(plugin, message('D', 'row'))).toBe(CONTINUE)
    })

    test('gives every verdict of a client’s message', async () => {
      const { plugin } = await start(form)
      expect(asked(plugin, '/*deny*/')).toEqual({
        kind: 'deny',
        code: '42501',
        message: 'denied by verdicts',
        detail: 'a marker said so',
        hint: 'leave it out',
      })
      const general = { kind: 'deny', code: '42501', message: `refused by plugin ${form}` } as const
      expect(asked(plugin, '/*deny-bare*/')).toEqual(general)
      expect(asked(plugin, '/*deny-broken*/')).toMatchObject(general)
      expect(asked(plugin, '/*replace*/')).toEqual({
        kind: 'replace',
        bytes: query("SELECT 'replaced'"),
      })
      const answer = await asked(plugin, '/*respond*/')
      expect(answer.kind === 'respond' && textOf(answer.bytes)).toContain('RESPONDED')
      expect(asked(plugin, '/*close*/')).toEqual({ kind: 'close' })
      const words = await asked(plugin, '/*close-words*/')
      expect(words.kind === 'close' && textOf(words.bytes)).toContain('closed by verdicts')
      expect(asked(plugin, '/*route*/')).toEqual({ kind: 'route', block: 'replica' })
    })

    test('gives the verdicts that a server’s message may have, and no other', async () => {
      const { plugin } = await start(form)
      const masked = await fromServer(plugin, message('D', 'a secret, secret'))
      expect(masked).toEqual({ kind: 'replace', bytes: message('D', 'a ******, ******') })
      expect(fromServer(plugin, message('D', '/*deny*/'))).toMatchObject({ kind: 'deny' })
      expect(fromServer(plugin, message('D', '/*close*/'))).toEqual({ kind: 'close' })
      expect(fromServer(plugin, message('D', '/*respond*/'))).toEqual({
        kind: 'failure',
        cause: 'onTrafficFromServer: returned respond, which this hook may not answer',
      })
    })

    test('fails for verdicts that are none and payloads that are missing', async () => {
      const { plugin } = await start(form)
      const causes: string[] = []
      for (const marker of ['/*seven*/', '/*no-output*/', '/*route-nowhere*/']) {
        const verdict: FromClientVerdict = await asked(plugin, marker)
        causes.push(verdict.kind === 'failure' ? verdict.cause : verdict.kind)
      }
      expect(causes).toEqual([
        'onTrafficFromClient: returned 7, which is no verdict',
        'onTrafficFromClient: returned replace, but no output',
        'onTrafficFromClient: returned route, but no output that names the block',
      ])
      expect(plugin.status()).toMatchObject({ state: 'ready', calls: 3, failures: 3 })
      expect(plugin.status().lastError).toBe(causes[2] ?? '')
    })

    test('that traps fails, and the next call waits for a new instance', async () => {
      const { plugin } = await start(form)
      const trapped = await asked(plugin, '/*trap*/')
      expect(trapped).toMatchObject({ kind: 'failure', cause: expect.stringContaining('trapped') })
      const next = asked(plugin, '/*deny*/')
      expect(next).toBeInstanceOf(Promise)
      expect(await next).toMatchObject({ kind: 'deny' })
      expect(asked(plugin, '/*deny*/')).not.toBeInstanceOf(Promise)
      expect(plugin.status()).toMatchObject({ state: 'ready', calls: 3, failures: 1 })
    })

    test('decides about openings and settings', async () => {
      for (const [opening, kind] of [
        ['deny', 'deny'],
        ['close', 'close'],
        ['route', 'route'],
        ['replace', 'failure'],
        ['', 'continue'],
      ] as const) {
        const { plugin } = await start(form, { config: { opening } })
        expect(plugin.steps.onOpening?.decide(makeSession())).toMatchObject({ kind })
      }
      const { plugin } = await start(form, { config: { merge: { address: '0.0.0.0:1' } } })
      const merge = { kind: 'merge', changes: { address: '0.0.0.0:1' } } as const
      expect(plugin.steps.onRun?.decide({ address: ':5432' })).toEqual(merge)
      expect(plugin.steps.onConfigLoaded?.decide({ 'a.b': 1 })).toEqual(merge)
      const quiet = await start(form)
      expect(quiet.plugin.steps.onRun?.decide({})).toBe(CONTINUE)
    })
  })
}

describe('a plugin', () => {
  test('has no name, no manifest and no steps before its start, and reads nothing', () => {
    const plugin = createWasmPlugin(makeSpec('/nowhere.wasm'), makeScene().surroundings)
    expect(plugin.name).toBe('')
    expect(plugin.manifest).toBeNull()
    expect(plugin.steps).toEqual({ observers: {} })
    expect(plugin.status()).toMatchObject({
      state: 'stopped',
      checksum: '',
      version: '',
      pid: null,
    })
  })

  test('takes its name from the entry, else from the manifest', async () => {
    const named = await start('raw', { name: 'mine' })
    expect(named.plugin.name).toBe('mine')
    expect(named.plugin.manifest?.name).toBe('mine')
    expect(named.plugin.steps.onTrafficFromClient?.plugin).toBe('mine')
    const { plugin } = await start('raw')
    expect(plugin.name).toBe('raw')
    expect(plugin.manifest).toMatchObject({
      version: '1.0.0',
      hooks: ['onTrafficFromClient', 'onTrafficFromServer'],
      metricsSocket: null,
    })
    expect(plugin.status()).toMatchObject({ name: 'raw', state: 'ready', runtime: 'wasm' })
    expect(plugin.status().checksum).toMatch(/^[0-9a-f]{64}$/)
  })

  test('acts on chunks of a raw protocol', async () => {
    const { plugin } = await start('raw')
    const chunk = (text: string) => new TextEncoder().encode(text)
    expect(fromClient(plugin, chunk('upper x\xff'))).toMatchObject({ kind: 'replace' })
    const answer = await fromClient(plugin, chunk('respond'))
    expect(answer.kind === 'respond' && textOf(answer.bytes)).toBe('pong\n')
    const last = await fromClient(plugin, chunk('close'))
    expect(last.kind === 'close' && textOf(last.bytes)).toBe('bye\n')
    expect(fromClient(plugin, chunk('deny'))).toMatchObject({ kind: 'deny' })
    const masked = await fromServer(plugin, chunk('the secret'))
    expect(masked.kind === 'replace' && textOf(masked.bytes)).toBe('the ******')
  })

  test('does not start with a configuration that its manifest forbids', async () => {
    const spec = makeSpec(modulePath('audit'), { config: { level: 'loud' } })
    const plugin = createWasmPlugin(spec, makeScene().surroundings)
    await expect(plugin.start()).rejects.toThrow('config.level must be one of')
  })

  test('that fails at its start says why, and may be started again', async () => {
    const text = describing('{"abi":1', '')
    const plugin = createWasmPlugin(
      makeSpec(await fileOf(assemble(text)), { name: 'p' }),
      makeScene().surroundings,
    )
    for (let round = 0; round < 2; round++) {
      await expect(plugin.start()).rejects.toThrow('manifest: describe must output JSON')
      await plugin.start().catch(() => undefined)
      expect(plugin.status()).toMatchObject({
        state: 'broken',
        lastError: expect.stringContaining('describe must output JSON'),
      })
    }
  })

  test('whose module traps while it starts is refused, naming the place', async () => {
    for (const [fields, what] of [
      ['(func $s (unreachable)) (start $s)', 'making an instance failed'],
      ['(func (export "_initialize") (unreachable))', 'making an instance failed'],
    ] as const) {
      const path = await fileOf(assemble(describing(manifestOf(), fields)))
      const plugin = createWasmPlugin(makeSpec(path, { name: 'p' }), makeScene().surroundings)
      await expect(plugin.start()).rejects.toThrow(`p (${path}): ${what}`)
    }
    const text = describing(manifestOf()).replace('(i32.const 0))', '(unreachable))')
    const path = await fileOf(assemble(text))
    const plugin = createWasmPlugin(makeSpec(path), makeScene().surroundings)
    await expect(plugin.start()).rejects.toThrow(`${path}: describe failed`)
  })

  test('has its metrics declared at the start and withdrawn at the stop', async () => {
    const { plugin, scene } = await start('audit')
    expect(scene.declared).toMatchObject([{ plugin: 'audit' }])
    expect(scene.declared[0]?.specs[0]).toMatchObject({
      name: 'statements_total',
      labels: ['kind'],
    })
    await plugin.stop()
    await plugin.stop()
    expect(scene.withdrawn).toEqual(['audit'])
  })

  test('that was stopped fails its calls, and keeps its steps when started again', async () => {
    const { plugin } = await start('verdicts')
    const { steps } = plugin
    await plugin.stop()
    expect(plugin.status().state).toBe('stopped')
    expect(asked(plugin, '')).toMatchObject({ cause: expect.stringContaining('was stopped') })
    await plugin.start()
    expect(plugin.steps).toBe(steps)
    expect(asked(plugin, '')).toBe(CONTINUE)
  })

  test('that is stopped during its start does not come up', async () => {
    const spec = makeSpec(modulePath('verdicts'))
    const plugin = createWasmPlugin(spec, makeScene().surroundings)
    const starting = plugin.start()
    await plugin.stop()
    await expect(starting).rejects.toThrow('its start was broken off by a stop')
    await starting.catch(() => undefined)
    expect(plugin.status().state).toBe('stopped')
  })

  test('starts once, however often it is asked', async () => {
    const scene = makeScene()
    const plugin = createWasmPlugin(makeSpec(modulePath('audit')), scene.surroundings)
    await Promise.all([plugin.start(), plugin.start()])
    await plugin.start()
    expect(scene.declared).toHaveLength(1)
  })
})
