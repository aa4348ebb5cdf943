import { expect, test } from 'bun:test'
import { SharedCopy } from '../../../src/plugins/shared/copy.ts'
import { Reading, type Send } from '../../../src/plugins/shared/reading.ts'
import { PluginStore } from '../../../src/plugins/wasm/store.ts'

function stage(send: Send) {
  const counts = { sent: 0, received: 0, unqueued: 0, refused: 0 }
  const store = new PluginStore({ bytesMax: 1000, keysMax: 100 })
  const copy = new SharedCopy('p', store, { queuedMax: 10, counts, wake: () => {} })
  return { store, copy, read: () => new Reading(copy, 'x', send).run(100, 1) }
}

test('keys are found by steps, and read as far as one answer goes', async () => {
  const asked: string[] = []
  const { store, read } = stage(async (name, args) => {
    asked.push(`${name} ${name === 'SCAN' ? args[0] : args.slice(2, -2)}`)
    if (name !== 'SCAN') return ['7 Mg==', -1]
    return args[0] === '0' ? ['5', ['x:{p}:k:a', 'x:{p}:k:b']] : ['0', ['x:{p}:k:c']]
  })
  expect(await read()).toBe(0)
  expect([...store.entries()].map(([key]) => key)).toEqual(['a', 'b', 'c'])
  expect(asked.slice(0, 3)).toEqual(['SCAN 0', 'EVAL x:{p}:k:a,x:{p}:k:b', 'EVAL x:{p}:k:b'])
})

test('what cannot be used is counted, and what has gone is not', async () => {
  const keys = ['a', 'b', 'c', 'd'].map((key) => `x:{p}:k:${key}`)
  const { store, read } = stage(async (name) =>
    name === 'SCAN' ? ['0', keys] : ['nonsense', -1, 100_000, -1, '', -2, '7 Mg==', 50],
  )
  expect(await read()).toBe(2)
  expect([...store.entries()].map(([key]) => key)).toEqual(['d'])
})

test('a connection that is lost on the way takes nothing away', async () => {
  const { store, copy, read } = stage(async () => {
    throw new Error('lost')
  })
  store.take('a', new Uint8Array(1), 0, 1)
  expect(read()).rejects.toThrow('lost')
  await Bun.sleep(0)
  expect(store.get('a')).toBeDefined()
  expect(copy.compare(100, 1)).toBe(true)
})

test('answers without sense end the reading', async () => {
  expect(await stage(async () => 7).read()).toBe(0)
  expect(await stage(async (name) => (name === 'SCAN' ? ['0', ['k']] : 7)).read()).toBe(1)
})
