import { expect, test } from 'bun:test'
import { Holdings } from '../../src/base/holdings.ts'

function thing(name: string, stopped: string[]) {
  return {
    name,
    stop: async () => {
      await Promise.resolve()
      stopped.push(name)
    },
  }
}

test('what several hold is stopped when the last of them lets go, and told of then', async () => {
  const stopped: string[] = []
  const ended: string[] = []
  const holdings = new Holdings<ReturnType<typeof thing>>(({ name }) => ended.push(name))
  const [shared, own] = [thing('shared', stopped), thing('own', stopped)]
  holdings.hold(shared)
  holdings.hold(shared)
  holdings.hold(own)
  expect(holdings.held).toEqual([own, shared])
  await holdings.release(shared)
  expect(stopped).toEqual([])
  await holdings.release(own)
  const last = holdings.release(shared)
  // While it stops it still counts.
  expect(holdings.held).toEqual([shared])
  await last
  expect([stopped, ended]).toEqual([
    ['own', 'shared'],
    ['own', 'shared'],
  ])
  expect(holdings.held).toEqual([])
})

test('what does not stop is told, and held no more', async () => {
  const holdings = new Holdings()
  const broken = { stop: () => Promise.reject(new Error('stuck')) }
  holdings.hold(broken)
  await expect(holdings.release(broken)).rejects.toThrow('stuck')
  expect(holdings.held).toEqual([])
})
