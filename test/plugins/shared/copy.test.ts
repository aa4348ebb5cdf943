/** Who has written last, in whatever order it comes to be known. */
import { describe, expect, test } from 'bun:test'
import { type Change, SharedCopy } from '../../../src/plugins/shared/copy.ts'
import { PluginStore } from '../../../src/plugins/wasm/store.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const change = (version: number, key: string, text: string | null): Change => ({
  version,
  key,
  ttlMs: 0,
  value: text === null ? null : bytes(text),
})

function stage(queuedMax: number | 'not read yet' = 10) {
  const counts = { sent: 0, received: 0, unqueued: 0, refused: 0 }
  const store = new PluginStore({ bytesMax: 1000, keysMax: 100 })
  let woken = 0
  const wake = (): void => void woken++
  const isRead = queuedMax !== 'not read yet'
  const copy = new SharedCopy('p', store, { queuedMax: isRead ? queuedMax : 10, counts, wake })
  if (isRead) {
    copy.beginReading(100, 1)
    copy.endReading(true)
  }
  const text = (key: string): string | undefined => {
    const value = store.get(key)
    return value === undefined ? undefined : new TextDecoder().decode(value)
  }
  return { counts, store, copy, text, woken: () => woken }
}

describe('a change of our own', () => {
  test('is sent once, as it is when its turn comes', () => {
    const { copy, store, woken } = stage()
    store.set('k', bytes('1'), 0)
    store.set('k', bytes('2'), 0)
    expect(woken()).toBeGreaterThan(0)
    expect(copy.next()?.kept?.value).toEqual(bytes('2'))
    expect(copy.next()).toBeNull()
    expect(copy.queued).toBe(1)
  })

  test('waits while the one before it of the same key is on its way', () => {
    const { copy, store } = stage()
    store.set('k', bytes('1'), 0)
    const first = copy.next()!
    store.delete('k')
    expect(copy.next()).toBeNull()
    copy.sent(first, 101)
    expect(copy.next()).toEqual({ key: 'k', kept: null })
  })

  test('comes again where it was not taken', () => {
    const { copy, store } = stage()
    store.set('k', bytes('1'), 0)
    copy.unsent(copy.next()!)
    expect(copy.next()?.key).toBe('k')
  })

  test('is not undone by what others wrote before it', () => {
    const { copy, store, text } = stage()
    store.set('k', bytes('own'), 0)
    copy.hear(change(101, 'k', 'other'), false)
    expect(text('k')).toBe('own')
    const sent = copy.next()!
    copy.hear(change(102, 'k', 'other'), false)
    copy.sent(sent, 103)
    expect(text('k')).toBe('own')
    copy.hear(change(102, 'k', 'late'), false)
    expect(text('k')).toBe('own')
  })

  test('gives way to what others wrote after it, also when that is known before', () => {
    const { copy, store, text } = stage()
    store.set('k', bytes('own'), 0)
    const sent = copy.next()!
    copy.hear(change(102, 'k', 'other'), false)
    expect(text('k')).toBe('own')
    copy.sent(sent, 101)
    expect(text('k')).toBe('other')
  })

  test('that deletes is not undone by a message that is late', () => {
    const { copy, store, text } = stage()
    copy.hear(change(101, 'k', '1'), false)
    store.delete('k')
    copy.sent(copy.next()!, 103)
    copy.hear(change(102, 'k', '2'), false)
    expect(text('k')).toBeUndefined()
    copy.hear(change(104, 'k', '3'), false)
    expect(text('k')).toBe('3')
  })
})

describe('reading all', () => {
  test('is needed where a version is missing at two comparisons, and not before', () => {
    const { copy } = stage()
    expect(copy.compare(100, 1)).toBe(false)
    copy.hear(change(102, 'k', '1'), false)
    expect(copy.compare(102, 1)).toBe(false)
    expect(copy.compare(102, 1)).toBe(true)
  })

  test('is not needed where versions only come in another order', () => {
    const { copy } = stage()
    copy.hear(change(102, 'a', '1'), false)
    copy.hear(change(101, 'b', '1'), false)
    expect(copy.compare(102, 1)).toBe(false)
    expect(copy.compare(102, 1)).toBe(false)
  })

  test('takes away what the others do not have, but nothing that is newer or not sent', () => {
    const { copy, store, text } = stage()
    copy.hear(change(101, 'old', '1'), false)
    copy.beginReading(101, 1)
    copy.hear(change(102, 'new', '1'), false)
    store.set('own', bytes('1'), 0)
    copy.read(change(50, 'read', '1'))
    copy.endReading(true)
    expect(text('old')).toBeUndefined()
    for (const key of ['new', 'own', 'read']) expect(text(key)).toBe('1')
  })

  test('for the first time sends what was kept here before, unless it is there too', () => {
    const { copy, store, text } = stage('not read yet')
    store.take('here', bytes('1'), 0, 0)
    store.take('both', bytes('1'), 0, 0)
    copy.beginReading(100, 1)
    copy.endReading(false)
    copy.beginReading(100, 1)
    copy.read(change(50, 'both', '2'))
    copy.endReading(true)
    expect(text('both')).toBe('2')
    expect(copy.next()?.key).toBe('here')
    expect(copy.next()).toBeNull()
  })

  test('does not bring back what was deleted meanwhile', () => {
    const { copy, text } = stage()
    copy.beginReading(101, 1)
    copy.hear(change(102, 'k', null), false)
    copy.read(change(101, 'k', '1'))
    copy.endReading(true)
    expect(text('k')).toBeUndefined()
  })

  test('that was broken off takes nothing away, and is needed again', () => {
    const { copy, text } = stage()
    copy.hear(change(101, 'k', '1'), false)
    copy.beginReading(101, 1)
    copy.endReading(false)
    expect(text('k')).toBe('1')
    expect(copy.compare(101, 1)).toBe(true)
  })

  test('of a store that has lost its data gives it all that is here', () => {
    const { copy, text } = stage()
    copy.hear(change(101, 'k', '1'), false)
    expect(copy.compare(5000, 5000)).toBe(true)
    copy.beginReading(5000, 5000)
    copy.endReading(true)
    expect(text('k')).toBe('1')
    expect(copy.next()?.key).toBe('k')
  })
})

test('what is over the budget of the plugin is refused and counted, and no old value stays', () => {
  const { copy, counts, text } = stage()
  copy.hear(change(101, 'k', 'small'), false)
  copy.hear(change(102, 'k', 'x'.repeat(2000)), false)
  expect(text('k')).toBeUndefined()
  expect(counts.refused).toBe(1)
})

test('a full queue is counted, and what did not fit is settled by reading', () => {
  const { copy, store, counts, text } = stage(2)
  for (const key of ['a', 'b', 'c']) store.set(key, bytes('1'), 0)
  expect(counts.unqueued).toBe(1)
  expect(copy.compare(100, 1)).toBe(true)
  copy.beginReading(100, 1)
  copy.endReading(true)
  expect(text('c')).toBeUndefined()
  expect(text('a')).toBe('1')
})

test('a copy that was left changes nothing any more', () => {
  const { copy, store } = stage()
  copy.leave()
  store.set('k', bytes('1'), 0)
  expect(copy.next()).toBeNull()
})
