/** What two processes of an upgrade say to each other, which may be of different versions. */
import { expect, test } from 'bun:test'
import { parseToPredecessor, parseToSuccessor } from '../../src/upgrade/messages.ts'

const tcp = { network: 'tcp', host: '', port: 5432 } as const

test('known messages pass, and keys of a later version are left out', () => {
  const begin = { kind: 'begin', channel: 1, pid: 7, version: '1', upgrades: 0 } as const
  const sockets = [{ asked: tcp, bound: { ...tcp, host: '127.0.0.1' } }]
  expect(parseToSuccessor({ ...begin, sockets, later: true })).toEqual({ ...begin, sockets })
  expect(parseToSuccessor({ kind: 'go' })).toEqual({ kind: 'go' })
  const cancel = { kind: 'cancel', id: 1, group: 'default', request: 'AAAA' } as const
  expect(parseToPredecessor(cancel)).toEqual(cancel)
})

test.each([
  ['nothing', null],
  ['one of another kind', { kind: 'unheard of' }],
  ['one without what it must hold', { kind: 'ready' }],
  ['an address of no kind', { kind: 'begin', sockets: [{ asked: { network: 'udp' } }] }],
  ['a request that is too long', { kind: 'cancel', id: 1, group: 'a', request: 'A'.repeat(3000) }],
])('%s is refused', (_, message) => {
  expect(() => parseToSuccessor(message)).toThrow()
  expect(() => parseToPredecessor(message)).toThrow()
})
