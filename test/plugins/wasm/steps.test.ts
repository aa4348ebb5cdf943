/** The steps that a manifest becomes, and what observers are told. */
import { describe, expect, test } from 'bun:test'
import type { ObservedEvent } from '../../../src/hooks/step.ts'
import type { PluginSpec } from '../../../src/plugins/plugin.ts'
import { createWasmPlugin } from '../../../src/plugins/wasm/plugin.ts'
import { makeScene, makeSession, makeSpec, modulePath, query } from '../../fixtures/wasm/kit.ts'

async function start(name: string, fields: Partial<PluginSpec> = {}) {
  const scene = makeScene()
  const plugin = createWasmPlugin(makeSpec(modulePath(name), fields), scene.surroundings)
  await plugin.start()
  return { plugin, scene }
}

function eventOf(fields: Partial<ObservedEvent>): ObservedEvent {
  return { session: null, bytes: null, request: null, params: {}, ...fields }
}

describe('steps', () => {
  test('are there for the hooks of the manifest and no others', async () => {
    const { plugin } = await start('audit', { priority: 1003, onFailure: 'closed' })
    expect(Object.keys(plugin.steps)).toEqual([
      'observers',
      'onTrafficFromClient',
      'onTrafficFromServer',
    ])
    expect(Object.keys(plugin.steps.observers).sort()).toEqual([
      'onClosed',
      'onOpened',
      'onTrafficToServer',
    ])
    expect(plugin.steps.onTrafficFromClient).toMatchObject({
      plugin: 'audit',
      priority: 1003,
      onFailure: 'closed',
      unit: 'batch',
      messages: expect.arrayContaining(['StartupMessage', 'Query', 'Parse']),
      needsRequest: false,
      seesEdges: false,
    })
  })

  test('of observers carry unit and messages', async () => {
    const { plugin } = await start('verdicts')
    expect(Object.keys(plugin.steps.observers).sort()).toEqual([
      'onBooted',
      'onClosed',
      'onOpened',
      'onTrafficToClient',
      'onTrafficToServer',
    ])
    expect(plugin.steps.observers.onTrafficToServer?.messages).toEqual(['Query'])
    expect(plugin.steps.observers.onTrafficToClient).toMatchObject({
      unit: 'reply',
      messages: null,
    })
  })
})

for (const form of ['verdicts', 'verdicts-pdk']) {
  describe(`observers of ${form}`, () => {
    test('are told bytes of traffic, and JSON of all else', async () => {
      const { plugin, scene } = await start(form)
      const { observers } = plugin.steps
      const session = makeSession()
      const told = (): unknown => scene.lines.at(-1)?.['fields']
      expect(observers.onTrafficToServer?.tell(eventOf({ session, bytes: query('x') }))).toBe(true)
      expect(told()).toEqual({ told: 'Q\0\0\0\x06x\0' })
      const request = query('asked')
      const answer = new TextEncoder().encode('answered')
      observers.onTrafficToClient?.tell(eventOf({ session, bytes: answer, request }))
      expect(told()).toEqual({ told: 'answered' })
      observers.onOpened?.tell(eventOf({ session }))
      const client = { local: '127.0.0.1:15432', remote: '127.0.0.1:50000' }
      expect(told()).toEqual({ told: JSON.stringify({ client }) })
      observers.onClosed?.tell(eventOf({ session, params: { error: 'gone' } }))
      expect(told()).toEqual({ told: JSON.stringify({ client, error: 'gone' }) })
      observers.onBooted?.tell(eventOf({ params: { status: '0', size: 2n ** 60n } }))
      expect(told()).toEqual({ told: '{"status":"0","size":"1152921504606846976"}' })
      expect(plugin.status()).toMatchObject({ calls: 5, failures: 0 })
    })

    test('have no verdict: one that they give is a counted failure', async () => {
      const { plugin } = await start(form, { config: { observer: 'deny' } })
      const { onOpened } = plugin.steps.observers
      expect(onOpened?.tell(eventOf({ session: makeSession() }))).toBe(false)
      expect(plugin.status()).toMatchObject({
        failures: 1,
        lastError: 'onOpened: returned verdict 3, but an observer has none',
      })
    })
  })
}

test('an observer that is told while an instance is made anew is told after it', async () => {
  const { plugin, scene } = await start('verdicts')
  const session = makeSession()
  const carried = { fields: null, about: null }
  await plugin.steps.onTrafficFromClient?.decide(session, query('/*trap*/'), carried)
  const told = plugin.steps.observers.onOpened?.tell(eventOf({ session }))
  expect(told).toBeInstanceOf(Promise)
  expect(await told).toBe(true)
  expect(scene.lines.at(-1)?.msg).toBe('opened')
})
