/** What the schema knows of a path. */
import { expect, test } from 'bun:test'
import { pluginsSchema } from '../../src/config/plugin-schema.ts'
import { globalSchema } from '../../src/config/schema.ts'
import { keysOf, spotAt } from '../../src/config/shape.ts'

const global = (path: string) => spotAt(globalSchema, path.split('.'))
const plugins = (path: string) => spotAt(pluginsSchema, path.split('.'))

test('a place is read by its kind', () => {
  expect(global('servers.default').reading).toBe('section')
  expect(global('servers.default.address').reading).toBe('text')
  expect(global('loggers.default.output.0')).toMatchObject({ reading: 'text', item: true })
  expect(plugins('plugins.0.config').reading).toBe('anything')
  expect(plugins('plugins.0.config.a.b').reading).toBe('anything')
  expect(global('servers.default.nope').reading).toBe('unknown')
  expect(global('servers.default.nope.more').reading).toBe('unknown')
  expect(global('constructor').reading).toBe('unknown')
})

test('names are those of groups and blocks', () => {
  expect(global('servers').named).toBe(true)
  expect(global('clients').named).toBe(true)
  expect(global('clients.default').named).toBe(true)
  expect(global('servers.default').named).toBe(false)
  expect(plugins('plugins').named).toBe(false)
  expect(plugins('plugins.0.config').named).toBe(false)
})

test('all below a secret is secret, and nothing else', () => {
  for (const path of ['plugins.0.env', 'plugins.0.env.3', 'plugins.0.config.deep.0']) {
    expect(plugins(path).secret).toBe(true)
  }
  expect(global('clients.default.writes.startupParams.password').secret).toBe(true)
  expect(global('clients.default.writes.startupParams.user').secret).toBe(true)
  expect(global('clients.default.writes.probeParams.password').secret).toBe(true)
  for (const path of ['plugins.0.args', 'plugins.0.name', 'policies.0.metadata']) {
    expect(plugins(path).secret).toBe(false)
  }
  expect(global('clients.default.writes.address').secret).toBe(false)
})

test('only sections know keys', () => {
  expect(keysOf(globalSchema)).toContain('servers')
  expect(keysOf(spotAt(globalSchema, ['servers', 'default']).schema ?? globalSchema)).toContain(
    'address',
  )
  expect(keysOf(spotAt(globalSchema, ['servers']).schema ?? globalSchema)).toEqual([])
})
