import { describe, expect, test } from 'bun:test'
import { CONTINUE, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import { bytesOf } from '../hooks/rig.ts'
import { bench, type Decide, patient, settle } from './pump-bench.ts'

describe('bytes', () => {
  test('wait for the start, a startup packet without a pause, and more with one', () => {
    const { pump, ends, feed } = bench(null)
    feed('early')
    expect([ends.reading, ends.written]).toEqual([true, ''])
    pump.feed(new Uint8Array(20_000))
    expect(ends.reading).toBe(false)
    ends.room = 50_000
    pump.start()
    expect(ends.reading).toBe(true)
    expect(ends.written).toHaveLength(20_005)
    expect(ends.written).toStartWith('early')
  })

  test('pause their source while the outlet is full', () => {
    const { pump, ends, outlet, feed } = bench(null)
    pump.start()
    ends.room = 3
    feed('abcdef')
    expect([ends.reading, ends.written]).toEqual([false, 'abc'])
    ends.room = 100
    expect(outlet.drained()).toBe(true)
    pump.drained()
    expect([ends.reading, ends.written]).toEqual([true, 'abcdef'])
  })

  test('are counted where they are written', () => {
    const { pump, account, feed } = bench(null)
    pump.start()
    feed('abc')
    expect(account).toMatchObject({ bytesToServer: 3, bytesToClient: 0 })
  })

  test('are remembered as the request where a step asks for it', () => {
    const { pump, told, feed } = bench(null, { keepsRequest: true })
    pump.start()
    feed('abc')
    expect(told).toEqual(['remember abc'])
  })
})

describe('a step that takes its time', () => {
  test('pauses the source, and what came already waits in order', async () => {
    const { decide, seen, waiting } = patient()
    const { pump, ends, feed } = bench(decide)
    pump.start()
    feed('a')
    feed('b')
    feed('c')
    expect([seen, ends.reading, ends.written]).toEqual([['a'], false, ''])
    expect(pump.busy).toBe(true)
    waiting.shift()!({ kind: 'replace', bytes: bytesOf('A') })
    await settle()
    expect([seen, ends.reading, ends.written]).toEqual([['a', 'b'], false, 'A'])
    waiting.shift()!(CONTINUE)
    await settle()
    waiting.shift()!(CONTINUE)
    await settle()
    expect([seen, ends.reading, ends.written]).toEqual([['a', 'b', 'c'], true, 'Abc'])
    expect(pump.busy).toBe(false)
  })

  test('does not let the source go on while the outlet is full as well', async () => {
    const { decide, waiting } = patient()
    const { pump, ends, outlet, feed } = bench(decide)
    pump.start()
    ends.room = 0
    feed('a')
    waiting.shift()!(CONTINUE)
    await settle()
    expect(ends.reading).toBe(false)
    ends.room = 10
    outlet.drained()
    pump.drained()
    expect(ends.reading).toBe(true)
  })

  test('that rejects or throws is told, and the pump survives it', async () => {
    const rejecting = bench(() => Promise.reject(new Error('it broke')))
    rejecting.pump.start()
    rejecting.feed('a')
    await settle()
    expect(rejecting.told).toEqual(['Error: it broke'])
    const throwing = bench(() => {
      throw new Error('it broke')
    })
    throwing.pump.start()
    throwing.feed('a')
    expect(throwing.told).toEqual(['Error: it broke'])
  })
})

describe('the end of the source', () => {
  test('is told once, behind all that was sent', async () => {
    const { decide, waiting } = patient()
    const { pump, ends, feed } = bench(decide)
    pump.start()
    feed('a')
    feed('b')
    const order: string[] = []
    pump.end(() => order.push(`ended behind ${ends.written}`))
    waiting.shift()!(CONTINUE)
    await settle()
    expect(order).toEqual([])
    waiting.shift()!(CONTINUE)
    await settle()
    pump.wake()
    expect(order).toEqual(['ended behind ab'])
  })

  test('before the start waits for it', () => {
    const { pump, ends, feed } = bench(null)
    feed('a')
    const order: string[] = []
    pump.end(() => order.push(`ended behind ${ends.written}`))
    expect(order).toEqual([])
    pump.start()
    expect(order).toEqual(['ended behind a'])
  })

  test('is shown to steps that see edges, whose answer changes nothing', () => {
    const seen: string[] = []
    const edges: Decide = (text) => {
      seen.push(`edge "${text}"`)
      return { kind: 'close' }
    }
    const { pump, told, feed } = bench(null, { edges })
    pump.start()
    feed('a')
    pump.end(() => seen.push('ended'))
    expect(seen).toEqual(['edge ""', 'ended'])
    expect(told).toEqual([])
  })
})

describe('the outcome of a chain', () => {
  const outcomes: readonly [TrafficVerdict, readonly string[], string][] = [
    [CONTINUE, [], 'a'],
    [{ kind: 'replace', bytes: bytesOf('b') }, [], 'b'],
    [{ kind: 'respond', bytes: bytesOf('r') }, [], ''],
    [
      { kind: 'deny', code: '42501', message: 'no' },
      ['denied onTrafficFromClient', 'refuse 42501'],
      '',
    ],
    [{ kind: 'route', block: 'reads' }, ['route reads'], 'a'],
    [{ kind: 'close', bytes: bytesOf('bye') }, ['close bye'], ''],
    [{ kind: 'failure', cause: 'it fell' }, ['guard onTrafficFromClient: it fell'], 'a'],
  ]
  for (const [verdict, expected, written] of outcomes) {
    test(`${verdict.kind} goes where it belongs`, () => {
      const { pump, ends, told, feed } = bench(() => verdict)
      pump.start()
      feed('a')
      expect([told, ends.written]).toEqual([[...expected], written])
    })
  }
})

describe('once stopped', () => {
  test('a pump moves nothing more, and lets its source tell that it has closed', async () => {
    const { decide, waiting } = patient()
    const { pump, ends, feed } = bench(decide)
    pump.start()
    feed('a')
    feed('b')
    expect(ends.reading).toBe(false)
    pump.stop()
    expect(ends.reading).toBe(true)
    feed('c')
    waiting.shift()!(CONTINUE)
    await settle()
    expect([ends.written, ends.reading]).toEqual(['', true])
  })
})
