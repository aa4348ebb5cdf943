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

test('limits have their defaults one by one, and bounds', () => {
  const limits = (of: object) =>
    settled({ plugins: [entry('a', { limits: of })] }).plugins[0]?.limits
  expect(limits({})).toMatchObject({ callDeadline: 50, cpuShareMax: 50, signalsMax: 64 })
  expect(limits({ callDeadline: '5ms', kvBytesMax: 0 })).toMatchObject({
    callDeadline: 5,
    startDeadline: 500,
    kvBytesMax: 0,
  })
  const refused: readonly (readonly [string, unknown])[] = [
    ['callDeadline', '0.5ms'],
    ['callDeadline', '61s'],
    ['callDeadline', 0],
    ['startDeadline', '2m'],
    ['cpuShareMax', 0],
    ['cpuShareMax', 101],
    ['memoryBytesMax', 65_535],
    ['memoryBytesMax', 4_294_967_297],
    ['tableElementsMax', 0],
    ['moduleBytesMax', 10],
    ['outputBytesMax', -1],
    ['logBytesMax', 1],
    ['logLinesMax', 0],
    ['sessionBytesMax', 'much'],
    ['kvBytesMax', 1.5],
    ['variablesBytesMax', -1],
    ['metricSeriesMax', -1],
    ['signalsMax', null],
  ]
  for (const [key, value] of refused) {
    const file = { plugins: [entry('a', { limits: { [key]: value } })] }
    const issues = pluginsSchema.safeParse(file).error?.issues
    expect(issues?.map((issue) => issue.path.join('.'))).toEqual([`plugins.0.limits.${key}`])
  }
})
