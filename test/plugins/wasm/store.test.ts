/** What is kept for plugins, until when, and where it ends. */
import { describe, expect, test } from 'bun:test'
import { SESSION_KEYS_MAX } from '../../../src/plugins/wasm/limits.ts'
import {
  PluginStore,
  PluginStores,
  type SessionMemory,
  sessionGet,
  sessionSet,
} from '../../../src/plugins/wasm/store.ts'

const bytes = (length: number) => new Uint8Array(length)
const BUDGET = { bytesMax: 1000, keysMax: 100 }
const SESSION_BYTES_MAX = 4096

describe('a shared store', () => {
  test('tells of what the plugin sets and deletes, and of nothing else', () => {
    let now = 1000
    const store = new PluginStore({ bytesMax: 20, keysMax: 10 }, () => now)
    const told: string[] = []
    store.changed = (key) => void told.push(key)
    store.set('a', bytes(1), 50)
    store.set('large', bytes(100), 0)
    store.delete('b')
    store.take('c', bytes(1), 0, 7)
    store.drop('c')
    now = 2000
    store.get('a')
    expect(told).toEqual(['a', 'b'])
  })

  test('knows what is left of the time of a value, and its version', () => {
    let now = 1000
    const store = new PluginStore(BUDGET, () => now)
    store.take('a', bytes(1), 50, 7)
    store.take('b', bytes(1), 0, 8)
    now = 1020
    expect(store.look('a')).toMatchObject({ ttlMs: 30, version: 7 })
    expect(store.look('b')).toMatchObject({ ttlMs: 0, version: 8 })
    store.stamp('b', 9)
    store.stamp('none', 9)
    expect(store.look('b')?.version).toBe(9)
    now = 1050
    expect(store.look('a')).toBeUndefined()
  })

  test('is settled with whoever shares, plugin by plugin', () => {
    const stores = new PluginStores()
    const settled: string[] = []
    stores.sharing = {
      settle: (plugin, _store, isShared) => void settled.push(`${plugin} ${isShared}`),
    }
    stores.of('one', 100, true)
    stores.of('two', 100)
    expect(settled).toEqual(['one true', 'two false'])
  })
})

describe('a plugin store', () => {
  test('keeps a value until it is replaced or deleted', () => {
    const store = new PluginStore(BUDGET)
    expect(store.get('a')).toBeUndefined()
    expect(store.set('a', bytes(1), 0)).toBe(true)
    expect(store.set('a', bytes(2), 0)).toBe(true)
    expect(store.get('a')).toHaveLength(2)
    expect(store.delete('a')).toBe(true)
    expect(store.delete('a')).toBe(false)
    expect(store.get('a')).toBeUndefined()
  })

  test('forgets a value when its time is over', () => {
    let now = 1000
    const store = new PluginStore(BUDGET, () => now)
    store.set('a', bytes(1), 50)
    now = 1049
    expect(store.get('a')).toHaveLength(1)
    now = 1050
    expect(store.get('a')).toBeUndefined()
    store.set('a', bytes(1), 50)
    now = 2000
    expect(store.delete('a')).toBe(false)
  })

  test('refuses what goes over its bytes or keys, and keeps what it has', () => {
    const store = new PluginStore({ bytesMax: 20, keysMax: 2 })
    expect(store.set('a', bytes(18), 0)).toBe(true)
    expect(store.set('b', bytes(1), 0)).toBe(false)
    expect(store.set('a', bytes(19), 0)).toBe(false)
    expect(store.get('a')).toHaveLength(18)
    expect(store.set('a', bytes(2), 0)).toBe(true)
    expect(store.set('b', bytes(2), 0)).toBe(true)
    expect(store.set('c', bytes(0), 0)).toBe(false)
    store.delete('b')
    expect(store.set('c', bytes(0), 0)).toBe(true)
  })

  test('makes room of what has expired, searching once a second at most', () => {
    let now = 0
    const store = new PluginStore({ bytesMax: 1000, keysMax: 1 }, () => now)
    store.set('a', bytes(1), 10)
    expect(store.set('b', bytes(1), 0)).toBe(false)
    now = 20
    expect(store.set('b', bytes(1), 0)).toBe(false)
    now = 1000
    expect(store.set('b', bytes(1), 0)).toBe(true)
    expect(store.get('a')).toBeUndefined()
  })

  test('is one for each name', () => {
    const stores = new PluginStores()
    stores.of('one', 100).set('a', bytes(1), 0)
    expect(stores.of('one', 100).get('a')).toHaveLength(1)
    expect(stores.of('two', 100).get('a')).toBeUndefined()
  })

  test('takes the budget of a reload, and keeps what it has', () => {
    const stores = new PluginStores()
    expect(stores.of('one', 100).set('a', bytes(90), 0)).toBe(true)
    const less = stores.of('one', 50)
    expect(less.get('a')).toHaveLength(90)
    expect(less.set('b', bytes(1), 0)).toBe(false)
    expect(less.set('a', bytes(40), 0)).toBe(true)
    expect(stores.of('one', 200).set('b', bytes(90), 0)).toBe(true)
  })
})

describe('the memory of a session', () => {
  test('is written under the own name and read from any', () => {
    const memory: SessionMemory = new Map()
    expect(sessionSet(memory, 'one', 'k', bytes(3), SESSION_BYTES_MAX)).toBe(true)
    expect(sessionGet(memory, 'one', 'k')).toHaveLength(3)
    expect(sessionGet(memory, 'two', 'k')).toBeUndefined()
    expect(sessionGet(memory, 'two', 'one/k')).toHaveLength(3)
    expect(sessionGet(memory, 'two', 'three/k')).toBeUndefined()
  })

  test('reads an own key with a slash before that of another', () => {
    const memory: SessionMemory = new Map()
    sessionSet(memory, 'one', 'two/k', bytes(1), SESSION_BYTES_MAX)
    sessionSet(memory, 'two', 'k', bytes(2), SESSION_BYTES_MAX)
    expect(sessionGet(memory, 'one', 'two/k')).toHaveLength(1)
    expect(sessionGet(memory, 'three', 'two/k')).toHaveLength(2)
  })

  test('has a budget for each plugin', () => {
    const memory: SessionMemory = new Map()
    expect(sessionSet(memory, 'one', 'k', bytes(SESSION_BYTES_MAX), SESSION_BYTES_MAX)).toBe(false)
    expect(memory.size).toBe(0)
    expect(sessionSet(memory, 'one', 'k', bytes(SESSION_BYTES_MAX - 2), SESSION_BYTES_MAX)).toBe(
      true,
    )
    expect(sessionSet(memory, 'one', 'l', bytes(0), SESSION_BYTES_MAX)).toBe(false)
    expect(sessionSet(memory, 'one', 'k', bytes(0), SESSION_BYTES_MAX)).toBe(true)
    for (let key = 1; key < SESSION_KEYS_MAX; key++) {
      expect(sessionSet(memory, 'one', `k${key}`, bytes(0), SESSION_BYTES_MAX)).toBe(true)
    }
    expect(sessionSet(memory, 'one', 'more', bytes(0), SESSION_BYTES_MAX)).toBe(false)
    expect(sessionSet(memory, 'two', 'k', bytes(1), SESSION_BYTES_MAX)).toBe(true)
  })
})

test('stores of plugins go by the clock that they are given, and list what is kept now', () => {
  let now = 0
  const store = new PluginStores(() => now).of('sample', 1000)
  store.set('short', bytes(1), 10)
  store.set('long', bytes(2), 0)
  expect([...store.entries()].map(([key]) => key)).toEqual(['short', 'long'])
  now = 10
  expect([...store.entries()]).toEqual([['long', bytes(2)]])
})
