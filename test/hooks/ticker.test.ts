import { expect, test } from 'bun:test'
import { ObserverDesk } from '../../src/hooks/observers.ts'
import { startTicker } from '../../src/hooks/ticker.ts'

test('observers are told at once, then at every interval, and no more after the end', async () => {
  const told: unknown[] = []
  const third = Promise.withResolvers<void>()
  const step = {
    plugin: 'watch',
    priority: 1000,
    onFailure: 'open' as const,
    messages: null,
    unit: 'batch' as const,
    tell: ({ params }: { readonly params: Readonly<Record<string, unknown>> }) => {
      told.push(params)
      if (told.length === 3) third.resolve()
      return true
    },
  }
  const account = { dropped: () => {}, failed: () => {} }
  const observers = new Map([['onTick', [{ step, tags: null }]]] as const)
  const desk = new ObserverDesk(observers, new Set(), 1000, account)
  let clients = 6
  const stop = startTicker({ intervalMs: 1, desk, connections: () => ++clients })
  expect(told).toEqual([{ connections: 7 }])
  await third.promise
  stop()
  const count = told.length
  expect(told.slice(0, 3)).toEqual([{ connections: 7 }, { connections: 8 }, { connections: 9 }])
  const later = Promise.withResolvers<void>()
  setTimeout(later.resolve, 5)
  await later.promise
  expect(told.length).toBe(count)
})
