import { expect, test } from 'bun:test'
import { changedKeys } from '../../src/config/changes.ts'
import { loadConfig } from '../../src/config/load.ts'

function configOf(text: string) {
  const readFile = (path: string) =>
    path === 'postern.yaml' ? ({ kind: 'text', text } as const) : ({ kind: 'absent' } as const)
  return loadConfig({ env: {}, readFile }).config
}

const changed = (before: string, after: string) => changedKeys(configOf(before), configOf(after))

test('what is the same has no changes, however it is written', () => {
  expect(changed('{}', 'drainTimeout: 30s')).toEqual([])
  expect(
    changed('servers: {default: {sessionsMax: 7}}', 'servers: {default: {sessionsMax: "7"}}'),
  ).toEqual([])
})

test('keys are named by their paths, groups and blocks that come and go as one', () => {
  const other = 'clients: {other: {writes: {}}}\nservers: {default: {}, other: {address: ":1"}}'
  expect(changed('{}', `drainTimeout: 1s\n${other}`)).toEqual([
    'clients.other is new',
    'pools.other is new',
    'proxies.other is new',
    'servers.other is new',
    'drainTimeout',
  ])
  expect(changed(other, '{}')).toContain('servers.other is gone')
})

test('no value is told, for it may be a secret', () => {
  const secret = (password: string) =>
    `clients: {default: {writes: {startupParams: {user: ann, password: ${password}}}}}`
  const sentences = changed(secret('first'), secret('second'))
  expect(sentences).toEqual(['clients.default.writes.startupParams.password'])
})

test('many are counted rather than named', () => {
  const groups = Array.from({ length: 150 }, (_, at) => `g${at}: {address: "127.0.0.1:${at + 1}"}`)
  const clients = Array.from({ length: 150 }, (_, at) => `g${at}: {writes: {}}`)
  const sentences = changed('{}', `servers: {${groups}}\nclients: {${clients}}`)
  expect(sentences).toHaveLength(101)
  expect(sentences.at(-1)).toMatch(/^and \d+ other keys$/)
})
