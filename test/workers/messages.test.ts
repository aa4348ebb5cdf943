/** Messages of the channel: what is not one of them is refused. */
import { expect, test } from 'bun:test'
import { parseFromWorker, parseToWorker } from '../../src/workers/messages.ts'

const request = new Uint8Array(16)

test('known messages pass as they are', () => {
  for (const message of [
    { kind: 'commit', generation: 2 },
    { kind: 'cancel', id: 1, group: 'a', request },
    { kind: 'plugin', id: 3, reach: 'the plugin is failing' },
    { kind: 'turn' },
  ] as const) {
    expect(parseToWorker(message)).toEqual(message)
  }
  const refused = { kind: 'refused', generation: 2, problem: 'why' } as const
  expect(parseFromWorker(refused)).toEqual(refused)
})

test.each([
  ['nothing', null],
  ['one without a kind', {}],
  ['one of another kind', { kind: 'unheard of' }],
  ['one without what it must hold', { kind: 'commit' }],
  ['one with a wrong number', { kind: 'commit', generation: -1 }],
  ['one with text for bytes', { kind: 'cancel', id: 1, group: 'a', request: 'text' }],
  ['a longer one', { kind: 'cancel', id: 1, group: 'a', request: new Uint8Array(2000) }],
])('%s is refused', (_, message) => {
  expect(() => parseToWorker(message)).toThrow()
  expect(() => parseFromWorker(message)).toThrow()
})
