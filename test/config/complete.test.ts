/** Groups and blocks that are always there. */
import { expect, test } from 'bun:test'
import { addDefaults, checkGroups, checkPluginNames } from '../../src/config/complete.ts'
import { Draft, type WrittenMap } from '../../src/config/draft.ts'
import { Problems } from '../../src/config/problem.ts'

function completed(root: WrittenMap) {
  const draft = new Draft('f', root)
  const problems = new Problems()
  const notices = [...addDefaults(draft), ...checkGroups(draft, problems)]
  const messages = problems.any() ? problems.error().problems.map(({ message }) => message) : []
  return { root: draft.root, notices, messages }
}

test('nothing at all becomes one group with one block', () => {
  expect(completed({})).toEqual({
    root: {
      loggers: { default: {} },
      metrics: { default: {} },
      servers: { default: {} },
      clients: { default: { writes: {} } },
      pools: { default: { writes: { mode: 'none' } } },
      proxies: { default: { writes: {} } },
    },
    notices: [],
    messages: [],
  })
})

test('blocks of the default group are not joined by one that nobody wrote', () => {
  const { root } = completed({ clients: { default: { a: {} } } })
  expect(root).toMatchObject({ clients: { default: { a: {} } }, pools: { default: { a: {} } } })
  expect(Object.keys(Object(root['clients']))).toEqual(['default'])
})

test('a server without a database is refused, and a database without a server is told', () => {
  expect(completed({ servers: { a: { address: ':1' } } }).messages).toEqual([
    'servers.a has no database: there is no clients.a',
  ])
  expect(completed({ clients: { a: { x: {} } } }).notices).toEqual([
    'clients.a is used by no server: there is no servers.a',
  ])
})

test('two servers cannot share an address, but each may take a free port', () => {
  const two = (address: string) =>
    completed({
      clients: { a: { x: {} }, b: { x: {} } },
      servers: { a: { address }, b: { address } },
    }).messages
  expect(two(':1')).toEqual(['servers.b.address is also that of servers.a'])
  expect(two('127.0.0.1:0')).toEqual([])
})

test('two plugins cannot share a name', () => {
  const problems = new Problems()
  const named = (...names: string[]) => new Draft('f', { plugins: names.map((name) => ({ name })) })
  checkPluginNames(named('a', 'b'), problems)
  expect(problems.any()).toBe(false)
  checkPluginNames(named('a', 'b', 'a'), problems)
  expect(problems.error().message).toContain('plugins[2].name is also that of plugins[0]')
})
