/** The limits of a plugin: their defaults, and the counting of hits. */
import { expect, test } from 'bun:test'
import { pluginsSchema, settledPlugins } from '../../src/config/plugin-schema.ts'
import { DEFAULT_LIMITS, LIMIT_NAMES, noLimitHits } from '../../src/plugins/limits.ts'
import { specOf } from '../../src/plugins/spec.ts'

test('the defaults are those of the schema', () => {
  const plugins = [{ name: 'a', localPath: './a.wasm', runtime: 'wasm' }]
  const file = settledPlugins(pluginsSchema.parse({ plugins }))
  expect(specOf(file.plugins[0]!, file).limits).toEqual(DEFAULT_LIMITS)
})

test('every limit of an entry is counted by its key', () => {
  const file = settledPlugins(pluginsSchema.parse({ plugins: [{ name: 'a', localPath: './a' }] }))
  const names: readonly string[] = LIMIT_NAMES
  for (const key of Object.keys(file.plugins[0]!.limits)) expect(names).toContain(key)
})

test('hits are counted by limit, and those never hit are zero', () => {
  const hits = noLimitHits()
  hits.add('signalsMax')
  hits.add('signalsMax')
  hits.add('callDeadline')
  expect(hits.of('signalsMax')).toBe(2)
  const counts = new Map(hits.entries())
  expect([...counts.keys()]).toEqual([...LIMIT_NAMES])
  expect([...counts.values()].reduce((sum, count) => sum + count, 0)).toBe(3)
})
