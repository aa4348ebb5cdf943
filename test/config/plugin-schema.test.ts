/** What an entry takes from its file and its position. */
import { expect, test } from 'bun:test'
import { pluginsSchema, settledPlugins } from '../../src/config/plugin-schema.ts'

const entry = (name: string, more: object = {}) => ({ name, localPath: `./${name}`, ...more })

function settled(file: object) {
  return settledPlugins(pluginsSchema.parse(file))
}

test('priorities follow the order of the file, and disabled entries count', () => {
  const { plugins } = settled({
    plugins: [entry('a'), entry('b', { enabled: false }), entry('c')],
  })
  expect(plugins.map(({ name, priority }) => [name, priority])).toEqual([
    ['a', 1000],
    ['b', 1001],
    ['c', 1002],
  ])
})

test('failing closed implies that the plugin is required', () => {
  const required = (more: object) => settled({ plugins: [entry('a', more)] }).plugins[0]?.required
  expect(required({})).toBe(false)
  expect(required({ required: true })).toBe(true)
  expect(required({ onFailure: 'closed' })).toBe(true)
  expect(required({ onFailure: 'closed', required: true })).toBe(true)
  expect(required({ onFailure: 'open', required: false })).toBe(false)
  const both = { plugins: [entry('a', { onFailure: 'closed', required: false })] }
  expect(pluginsSchema.safeParse(both).success).toBe(false)
})

test('timeouts are those of the entry, else those of the file', () => {
  const { plugins } = settled({
    timeout: '2s',
    startTimeout: '3s',
    plugins: [entry('a'), entry('b', { timeout: '50ms', startTimeout: '1s' })],
  })
  expect(plugins.map(({ timeout, startTimeout }) => [timeout, startTimeout])).toEqual([
    [2000, 3000],
    [50, 1000],
  ])
})

test('a path may only be missing where the plugin is not started', () => {
  const without = (more: object) => ({ plugins: [{ name: 'a', ...more }] })
  expect(pluginsSchema.safeParse(without({})).success).toBe(false)
  expect(pluginsSchema.safeParse(without({ localPath: '' })).success).toBe(false)
  expect(pluginsSchema.safeParse(without({ enabled: false })).success).toBe(true)
})
