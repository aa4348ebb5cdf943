import { describe, expect, test } from 'bun:test'
import { HOOKS, hookNamed, hookNumbered, methodName, snakeCase } from '../../src/hooks/hook.ts'

describe('the table of hooks', () => {
  test('has the 22 hooks of the plugin contract, numbered in order', () => {
    expect(HOOKS.map(({ number }): number => number)).toEqual(
      Array.from({ length: 22 }, (_, at) => at + 1),
    )
    expect(new Set(HOOKS.map(({ name }) => name)).size).toBe(22)
  })

  test('has five that decide and one that never fires; the others observe', () => {
    const ofKind = (kind: string) =>
      HOOKS.filter((hook) => hook.kind === kind).map(({ name }) => name)
    expect(ofKind('decides')).toEqual([
      'onConfigLoaded',
      'onRun',
      'onOpening',
      'onTrafficFromClient',
      'onTrafficFromServer',
    ])
    expect(ofKind('reserved')).toEqual(['onHook'])
    expect(ofKind('observes')).toHaveLength(16)
  })
})

test('a hook is found by name and number, and nothing else is', () => {
  for (const hook of HOOKS) {
    expect(hookNamed(hook.name)).toBe(hook)
    expect(hookNumbered(hook.number)).toBe(hook)
  }
  expect([hookNamed('onNothing'), hookNamed('toString'), hookNamed('')]).toEqual(
    Array.from({ length: 3 }, () => undefined),
  )
  expect([hookNumbered(0), hookNumbered(23), hookNumbered(1.5)]).toEqual(
    Array.from({ length: 3 }, () => undefined),
  )
})

test('a hook is spelt as each kind of plugin spells it', () => {
  expect(snakeCase('onTrafficFromClient')).toBe('on_traffic_from_client')
  expect(methodName('onTrafficFromClient')).toBe('OnTrafficFromClient')
  expect([snakeCase('onRun'), methodName('onRun')]).toEqual(['on_run', 'OnRun'])
})
