import { describe, expect, test } from 'bun:test'
import { HOOKS, type ObservingHook } from '../../src/hooks/hook.ts'
import { type Observer, ObserverDesk, type ObserverLine } from '../../src/hooks/observers.ts'
import type { ObservedEvent, ObservingStep } from '../../src/hooks/step.ts'
import { bytesOf, SESSION, textOf } from './rig.ts'

type Tell = (event: ObservedEvent) => boolean | Promise<boolean>

interface Watcher {
  readonly observer: Observer
  /** Events that it was told of and has not finished with: each is finished by its function. */
  readonly pending: (() => void)[]
  readonly told: string[]
}

function nameOf(event: ObservedEvent): string {
  return event.bytes === null ? JSON.stringify(event.params) : textOf(event.bytes)
}

function observerOf(plugin: string, tell: Tell): Observer {
  const step = {
    plugin,
    priority: 1,
    onFailure: 'open',
    messages: null,
    unit: 'message',
    tell,
  } as const
  return { step, tags: null }
}

/** An observer that takes its time until `pending` says otherwise. */
function slow(plugin: string): Watcher {
  const pending: (() => void)[] = []
  const told: string[] = []
  const observer = observerOf(plugin, (event) => {
    told.push(nameOf(event))
    return new Promise((resolve) => pending.push(() => resolve(true)))
  })
  return { observer, pending, told }
}

interface Bench {
  readonly desk: ObserverDesk
  readonly line: ObserverLine
  readonly account: string[]
}

function bench(
  byHook: Partial<Record<ObservingHook, readonly Observer[]>>,
  { deciders = [] as readonly string[], queuedMax = 100 } = {},
): Bench {
  const account: string[] = []
  const hooks = new Map<ObservingHook, readonly Observer[]>()
  for (const row of HOOKS) {
    if (row.kind === 'observes') hooks.set(row.name, byHook[row.name] ?? [])
  }
  const desk = new ObserverDesk(hooks, new Set(deciders), queuedMax, {
    dropped: (plugin, hook) => account.push(`dropped ${plugin} ${hook}`),
    failed: (plugin, hook) => account.push(`failed ${plugin} ${hook}`),
  })
  const line = desk.line(SESSION)
  if (line === null) throw new Error('no step observes sessions')
  return { desk, line, account }
}

/** Lets promises that can go on do so. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

describe('a session', () => {
  test('has no line where no step observes sessions', () => {
    const watcher = slow('audit')
    const hooks = new Map([['onBooted' as const, [watcher.observer]]])
    const desk = new ObserverDesk(hooks, new Set(), 1, { dropped: () => {}, failed: () => {} })
    expect(desk.line(SESSION)).toBeNull()
  })

  test('tells each plugin in order, one event at a time, and none waits for another', async () => {
    const first = slow('first')
    const second = slow('second')
    const both = [first.observer, second.observer]
    const { line } = bench({ onOpened: both, onTraffic: both, onClosing: both })
    line.tell('onOpened', { at: 1 })
    line.tell('onTraffic', { at: 2 })
    line.tell('onClosing', { at: 3 })
    await settle()
    expect([first.told, second.told]).toEqual([['{"at":1}'], ['{"at":1}']])
    for (let turn = 0; turn < 2; turn++) {
      second.pending.shift()!()
      await settle()
    }
    expect(first.told).toHaveLength(1)
    expect(second.told).toEqual(['{"at":1}', '{"at":2}', '{"at":3}'])
  })

  test('ends for a plugin behind what it is being shown otherwise', async () => {
    const watcher = slow('audit')
    const { line } = bench({ onClosing: [watcher.observer], onClosed: [watcher.observer] })
    const { promise: shown, resolve: answer } = Promise.withResolvers<void>()
    line.after('audit', shown)
    line.tell('onClosing', { at: 'end' })
    line.tell('onClosed')
    await settle()
    expect(watcher.told).toEqual([])
    answer()
    await settle()
    expect(watcher.told).toEqual(['{"at":"end"}'])
    watcher.pending[0]!()
    await settle()
    expect(watcher.told).toHaveLength(2)
  })

  test('gives observers of traffic a copy of the bytes and of the request', async () => {
    const seen: (Uint8Array | null)[] = []
    const observer = observerOf('audit', ({ bytes, request }) => {
      seen.push(bytes, request)
      return true
    })
    const { line } = bench({ onTrafficToClient: [observer] })
    const bytes = bytesOf('reply')
    const request = bytesOf('request')
    line.traffic(observer, 'onTrafficToClient', bytes, request)
    line.traffic(observer, 'onTrafficToServer', bytes, null)
    bytes.fill(0)
    request.fill(0)
    expect(seen).toEqual([bytesOf('reply'), bytesOf('request'), bytesOf('reply'), null])
  })

  test('counts an observer that could not be told, at once or later', async () => {
    const atOnce = observerOf('one', () => false)
    const later = observerOf('two', async () => false)
    const { line, account } = bench({ onOpened: [atOnce, later] })
    line.tell('onOpened')
    await settle()
    expect(account).toEqual(['failed one onOpened', 'failed two onOpened'])
  })
})

describe('the queue of a plugin', () => {
  const hooks = ['onTrafficToServer', 'onTrafficToClient'] as const

  test('is bounded for traffic: what does not fit is dropped and counted', async () => {
    const { observer, pending, told } = slow('audit')
    const { line, account } = bench({ onTrafficToServer: [observer] }, { queuedMax: 2 })
    const send = (text: string): void =>
      line.traffic(observer, 'onTrafficToServer', bytesOf(text), null)
    for (const text of ['a', 'b', 'c', 'd', 'e']) send(text)
    expect(account).toEqual(Array.from({ length: 2 }, () => 'dropped audit onTrafficToServer'))
    for (let turn = 0; turn < 3; turn++) {
      pending.shift()!()
      await settle()
    }
    expect(told).toEqual(['a', 'b', 'c'])
    send('f')
    expect(told.at(-1)).toBe('f')
  })

  test('is bounded by bytes too, of events and their requests', () => {
    const { observer } = slow('audit')
    const { line, account } = bench({ onTrafficToClient: [observer] })
    const big = new Uint8Array(2 ** 23)
    for (let count = 0; count < 6; count++) line.traffic(observer, 'onTrafficToClient', big, big)
    expect(account).toEqual(['dropped audit onTrafficToClient'])
    line.traffic(observer, 'onTrafficToClient', bytesOf('small'), null)
    expect(account).toHaveLength(2)
  })

  test('has room again for every event that was told', async () => {
    const { observer, pending } = slow('audit')
    const { line, account } = bench({ onTrafficToClient: [observer] }, { queuedMax: 1 })
    const send = (text: string): void =>
      line.traffic(observer, 'onTrafficToClient', bytesOf(text), null)
    send('a')
    for (let round = 0; round < 20; round++) {
      send('b')
      while (pending.length > 0) {
        pending.shift()!()
        await settle()
      }
      send('a')
    }
    expect(account).toEqual([])
  })

  test('is shared by all sessions, and is not that of another plugin', () => {
    const audit = slow('audit')
    const other = slow('other')
    const byHook = Object.fromEntries(hooks.map((hook) => [hook, [audit.observer, other.observer]]))
    const { desk, line, account } = bench(byHook, { queuedMax: 1 })
    const second = desk.line(SESSION)!
    for (const each of [line, second]) {
      each.traffic(audit.observer, 'onTrafficToServer', bytesOf('a'), null)
      each.traffic(audit.observer, 'onTrafficToServer', bytesOf('b'), null)
    }
    expect(account).toEqual(['dropped audit onTrafficToServer'])
    line.traffic(other.observer, 'onTrafficToClient', bytesOf('a'), null)
    line.traffic(other.observer, 'onTrafficToClient', bytesOf('b'), null)
    expect(account).toHaveLength(1)
  })

  test('never drops what happens to a session', async () => {
    const { observer, pending, told } = slow('audit')
    const { line, account } = bench(
      { onOpened: [observer], onClosed: [observer] },
      { queuedMax: 0 },
    )
    for (let event = 0; event < 10; event++) line.tell('onOpened', { event })
    line.tell('onClosed')
    while (told.length < 11) {
      pending.shift()!()
      await settle()
    }
    expect(account).toEqual([])
  })
})

describe('traffic waits', () => {
  test('for what a deciding plugin was not told yet, and for no other', async () => {
    const decider = slow('guard')
    const watcher = slow('audit')
    const observers = [decider.observer, watcher.observer]
    const { line } = bench({ onOpened: observers, onTraffic: observers }, { deciders: ['guard'] })
    line.tell('onOpened')
    line.tell('onTraffic')
    const settled = line.settled()
    let isSettled = false
    void settled?.then(() => {
      isSettled = true
    })
    decider.pending.shift()!()
    await settle()
    expect(isSettled).toBe(false)
    decider.pending.shift()!()
    await settle()
    expect(isSettled).toBe(true)
    expect(line.settled()).toBeNull()
    expect(watcher.told).toHaveLength(1)
  })

  test('for nothing where all that decide were told at once', () => {
    const { line } = bench({ onOpened: [observerOf('guard', () => true)] }, { deciders: ['guard'] })
    line.tell('onOpened')
    expect(line.settled()).toBeNull()
  })
})

test('a hook of no session is told to all its observers, and resolves when they were', async () => {
  const { observer, pending, told } = slow('slow')
  const failing = observerOf('failing', () => false)
  const { desk, account } = bench({ onBooted: [observer, failing], onOpened: [observer] })
  const telling = desk.tell('onBooted', { at: 1 })
  await settle()
  expect(told).toEqual(['{"at":1}'])
  pending.shift()!()
  await telling
  expect(account).toEqual(['failed failing onBooted'])
  await desk.tell('onTick', {})
})

test('ticks do not pile up before a plugin that never answers', async () => {
  const { observer, pending, told } = slow('audit')
  const hooks = new Map([['onTick' as const, [observer]]])
  const dropped: string[] = []
  const desk = new ObserverDesk(hooks, new Set(), 2, {
    dropped: (plugin, hook) => dropped.push(`${plugin} ${hook}`),
    failed: () => {},
  })
  const ticks = [1, 2, 3].map((at) => desk.tell('onTick', { at }))
  expect([told, dropped]).toEqual([['{"at":1}', '{"at":2}'], ['audit onTick']])
  for (const finish of pending) finish()
  await Promise.all(ticks)
  void desk.tell('onTick', { at: 4 })
  expect(told).toHaveLength(3)
})

test('a desk is quiet when every line has told what it had to', async () => {
  const told: string[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const step: ObservingStep = {
    plugin: 'slow',
    priority: 1000,
    onFailure: 'open',
    messages: null,
    unit: 'message',
    tell: async ({ params }) => {
      await promise
      told.push(String(params['error']))
      return true
    },
  }
  const byHook = new Map([['onClosed' as const, [{ step, tags: null }]]])
  const account = { dropped: () => {}, failed: () => {} }
  const desk = new ObserverDesk(byHook, new Set(), 10, account)
  for (const error of ['first', 'second']) desk.line(SESSION)?.tell('onClosed', { error })
  const quiet = desk.quiet()
  expect(told).toEqual([])
  resolve()
  await quiet
  expect(told).toEqual(['first', 'second'])
  await desk.quiet()
})

test('bytes are copied for a step that keeps them, and only for one', () => {
  const given: Uint8Array[] = []
  const watcher = observerOf('keeps', ({ bytes }) => given.push(bytes ?? bytesOf('')) > 0)
  const borrower = { ...watcher, step: { ...watcher.step, plugin: 'borrows', borrows: true } }
  const { line } = bench({ onTrafficToServer: [watcher, borrower] })
  const bytes = bytesOf('abc')
  line.traffic(watcher, 'onTrafficToServer', bytes, null)
  line.traffic(borrower, 'onTrafficToServer', bytes, null)
  expect(given.map((one) => one === bytes)).toEqual([false, true])
  expect(given.map(textOf)).toEqual(['abc', 'abc'])
})
