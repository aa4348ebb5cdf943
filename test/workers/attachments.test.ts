/** What a worker knows of plugins that its gateway runs. */
import { expect, test } from 'bun:test'
import { Attachments } from '../../src/workers/attachments.ts'

const ATTACHMENT = {
  pid: 7,
  checksum: 'ab',
  address: { network: 'unix', path: '/run/p.sock' },
  pluginCertificate: '',
  certificate: '',
  key: '',
  description: new Uint8Array(0),
} as const

test('a plugin of which nothing was told is not running', () => {
  expect(new Attachments(() => undefined).source(1).current()).toBe('the plugin is not running')
})

test('whoever watches one is told of its changes, and of no other', () => {
  const attachments = new Attachments(() => undefined)
  const source = attachments.source(1)
  let changes = 0
  const unwatch = source.watch(() => {
    changes += 1
  })
  attachments.told(1, ATTACHMENT)
  attachments.told(2, 'the plugin is failing')
  expect(changes).toBe(1)
  expect(source.current()).toEqual(ATTACHMENT)
  unwatch()
  attachments.told(1, 'the plugin is failing')
  expect(changes).toBe(1)
  expect(source.current()).toBe('the plugin is failing')
})

test('a doubt names the plugin', () => {
  const doubted: number[] = []
  new Attachments((id) => doubted.push(id)).source(5).doubted()
  expect(doubted).toEqual([5])
})
