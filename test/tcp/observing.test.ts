/** What observers are told of a session, in order, and that traffic does not wait for them. */
import { describe, expect, test } from 'bun:test'
import type { ObservingHook } from '../../src/hooks/hook.ts'
import { type Observer, ObserverDesk } from '../../src/hooks/observers.ts'
import type { ObservedEvent, Unit } from '../../src/hooks/step.ts'
import { CONTINUE, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import { concat, extendedQuery, query, terminate } from '../kit/frontend.ts'
import { server as says } from '../protocols/postgres/stage.ts'
import { ANN, type Scene, setScene } from './scene.ts'

const SESSION_HOOKS = [
  'onOpened',
  'onTraffic',
  'onTrafficToServer',
  'onTrafficToClient',
  'onClosing',
  'onClosed',
] as const satisfies readonly ObservingHook[]

interface Told {
  readonly hook: ObservingHook
  readonly event: ObservedEvent
}

type Tell = (told: Told) => boolean | Promise<boolean>

interface DeskOptions {
  readonly hooks?: readonly ObservingHook[]
  readonly deciders?: readonly string[]
  readonly queuedMax?: number
  readonly unit?: Unit
}

/** A desk with one observer, `watch`, of all hooks of a session, and what was not told. */
function deskWith(tell: Tell, options: DeskOptions = {}) {
  const { hooks = SESSION_HOOKS, deciders = [], queuedMax = 100, unit = 'message' } = options
  const account: string[] = []
  const observerOf = (hook: ObservingHook): Observer => ({
    tags: null,
    step: {
      plugin: 'watch',
      priority: 1,
      onFailure: 'open',
      messages: null,
      unit,
      tell: (event) => tell({ hook, event }),
    },
  })
  const byHook = new Map(hooks.map((hook) => [hook, [observerOf(hook)]]))
  const desk = new ObserverDesk(byHook, new Set(deciders), queuedMax, {
    dropped: (_plugin, hook) => account.push(`dropped ${hook}`),
    failed: (_plugin, hook) => account.push(`failed ${hook}`),
  })
  return { desk, account }
}

const SELECT = query('select 1')
const REPLY = concat(says.complete('SELECT 1'), says.ready())

async function converse(scene: Scene): Promise<void> {
  const { wire, server } = await scene.logIn()
  wire.send(SELECT)
  await server.read(SELECT.length)
  server.send(REPLY)
  await wire.readUntil('ReadyForQuery')
  wire.send(terminate())
  wire.halfClose()
  await server.readToEnd()
  server.socket.end()
  await wire.closed()
  wire.destroy()
  while (scene.service.account.sessionsOpen > 0) await new Promise(setImmediate)
}

describe('an observer is told', () => {
  for (const slowly of [false, true]) {
    test(`what happened, in order${slowly ? ', though it takes its time' : ''}`, async () => {
      const told: Told[] = []
      const { desk, account } = deskWith((one) => {
        told.push(one)
        return slowly ? Bun.sleep(0).then(() => true) : true
      })
      await using scene = await setScene({ observers: desk })
      await converse(scene)
      while (told.at(-1)?.hook !== 'onClosed') await new Promise(setImmediate)
      expect(told.map(({ hook }) => hook).sort()).toEqual(
        [
          ...['onOpened', 'onTraffic', 'onClosing', 'onClosed'],
          ...Array(3).fill('onTrafficToServer'),
          ...Array(5).fill('onTrafficToClient'),
        ].sort(),
      )
      expect(told.slice(0, 3).map(({ hook }) => hook)).toEqual([
        'onOpened',
        'onTraffic',
        'onTrafficToServer',
      ])
      expect(told.slice(-2).map(({ hook }) => hook)).toEqual(['onClosing', 'onClosed'])
      const ids = new Set(told.map(({ event }) => event.session?.id))
      expect(ids.size).toBe(1)
      const sent = told.filter(({ hook }) => hook === 'onTrafficToServer')
      expect(sent.map(({ event }) => event.bytes)).toEqual([ANN, SELECT, terminate()])
      expect(account).toEqual([])
    })
  }

  test('of replies together with the request that they answer', async () => {
    const told: ObservedEvent[] = []
    const { desk } = deskWith(
      ({ event }) => {
        told.push(event)
        return true
      },
      { hooks: ['onTrafficToClient'] },
    )
    await using scene = await setScene({ observers: desk, keepsRequest: true })
    await converse(scene)
    expect(told.at(-1)).toMatchObject({ bytes: says.ready(), request: SELECT })
    expect(told.at(0)).toMatchObject({ bytes: says.authentication(0), request: ANN })
  })

  test('why a session ended', async () => {
    const errors: unknown[] = []
    const { desk } = deskWith(
      ({ event }) => {
        errors.push(event.params['error'])
        return true
      },
      { hooks: ['onClosing', 'onClosed'] },
    )
    await using scene = await setScene({ observers: desk, sessionsMax: 0 })
    const wire = await scene.connect()
    wire.send(ANN)
    await wire.expect('ErrorResponse')
    await wire.closed()
    wire.destroy()
    while (errors.length < 2) await new Promise(setImmediate)
    expect(errors).toEqual(Array(2).fill('too many clients already (sessionsMax is 0)'))
  })

  test('what was sent in the end, not what a step refused or replaced', async () => {
    const sent: string[] = []
    const { desk } = deskWith(
      ({ event }) => {
        sent.push(Buffer.from(event.bytes!).toString().slice(5, -1))
        return true
      },
      { hooks: ['onTrafficToServer'] },
    )
    const verdicts: Readonly<Record<string, TrafficVerdict>> = {
      deny: { kind: 'deny', code: '42501', message: 'no' },
      replace: { kind: 'replace', bytes: query('replaced') },
    }
    await using scene = await setScene({
      observers: desk,
      fromClient: [
        {
          messages: ['Query'],
          decide: (bytes) => verdicts[Buffer.from(bytes).toString().slice(5, -1)] ?? CONTINUE,
        },
      ],
    })
    const { wire, server } = await scene.logIn()
    wire.send(query('deny'))
    await wire.readUntil('ReadyForQuery')
    wire.send(query('replace'))
    await server.read(query('replaced').length)
    expect(sent.slice(1)).toEqual(['replaced'])
  })

  test('of messages or batches, as it asks, however steps cut them', async () => {
    for (const unit of ['message', 'batch'] as const) {
      const seen: string[] = []
      const { desk } = deskWith(
        ({ event }) => {
          seen.push(String.fromCharCode(event.bytes![0]!))
          return true
        },
        { hooks: ['onTrafficToServer'], unit },
      )
      await using scene = await setScene({
        observers: desk,
        fromClient: [{ unit: 'batch', decide: () => CONTINUE }],
      })
      const { wire, server } = await scene.logIn()
      const asked = extendedQuery('select 1')
      wire.send(asked)
      await server.read(asked.length)
      expect(seen.slice(1).join('')).toBe(unit === 'message' ? 'PBDES' : 'P')
    }
  })
})

describe('an observer that never answers', () => {
  test('stops no traffic; what does not fit is dropped, but no lifecycle event', async () => {
    const { desk, account } = deskWith(() => new Promise(() => {}), { queuedMax: 2 })
    await using scene = await setScene({ observers: desk })
    const { wire, server } = await scene.logIn()
    for (let round = 0; round < 10; round++) {
      wire.send(SELECT)
      await server.read(SELECT.length)
      server.send(REPLY)
      await wire.readUntil('ReadyForQuery')
    }
    expect(account.filter((one) => one === 'dropped onTrafficToServer').length).toBeGreaterThan(5)
    server.socket.end()
    await wire.readUntil('ErrorResponse')
    await wire.closed()
    wire.destroy()
    while (scene.service.account.sessionsOpen > 0) await new Promise(setImmediate)
    expect(account.every((one) => one.startsWith('dropped onTrafficTo'))).toBe(true)
  })

  test('holds back the traffic of its plugin only where that plugin also decides', async () => {
    const opened = Promise.withResolvers<boolean>()
    const order: string[] = []
    const { desk } = deskWith(
      ({ hook }) => {
        order.push(hook)
        return hook === 'onOpened' ? opened.promise : true
      },
      { deciders: ['watch'], hooks: ['onOpened', 'onTraffic'] },
    )
    await using scene = await setScene({
      observers: desk,
      fromClient: [
        {
          decide: () => {
            order.push('decides')
            return CONTINUE
          },
        },
      ],
    })
    const wire = await scene.connect()
    wire.send(ANN)
    await scene.server.next()
    while (order.length === 0) await new Promise(setImmediate)
    expect(order).toEqual(['onOpened'])
    opened.resolve(true)
    wire.send(SELECT)
    while (order.length < 4) await new Promise(setImmediate)
    expect(order).toEqual(['onOpened', 'onTraffic', 'decides', 'decides'])
  })
})
