/** Calls are counted, and a plugin that lets one time out is asked whether it still lives. */
import { describe, expect, test } from 'bun:test'
import { GatewayError } from '../../../src/base/errors.ts'
import { CallCounts } from '../../../src/metrics/calls.ts'
import { Caller } from '../../../src/plugins/grpc/caller.ts'
import { LastLines } from '../../../src/plugins/grpc/last-lines.ts'
import type { Running } from '../../../src/plugins/grpc/running.ts'
import type { Struct } from '../../../src/plugins/grpc/struct.ts'
import { KeptLog } from '../../fixtures/grpc/surroundings.ts'

const TIMEOUT = new GatewayError('PLUGIN_TIMEOUT', 'OnTick was not answered in 5 ms')

/** A process whose calls and pings the test settles. */
class Fake implements Running {
  readonly pid = 1
  readonly checksum = ''
  readonly description = {}
  readonly ended = null
  readonly lastLines = new LastLines()
  readonly told: [string, Struct, number][] = []
  pings = 0
  failedWith: GatewayError | null = null
  answer: () => Promise<Struct> = () => Promise.resolve({})
  pong: () => Promise<boolean> = () => Promise.resolve(true)

  call(method: string, params: Struct, timeoutMs: number): Promise<Struct> {
    this.told.push([method, params, timeoutMs])
    return this.answer()
  }

  ping(): Promise<boolean> {
    this.pings++
    return this.pong()
  }

  fail(error: GatewayError): void {
    this.failedWith = error
  }

  silent(): Promise<void> {
    return Promise.resolve()
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  kill(): Promise<void> {
    return Promise.resolve()
  }
}

function caller() {
  const log = new KeptLog()
  const unresponsive = Promise.withResolvers<[Running, GatewayError]>()
  const counts = new CallCounts()
  const made = new Caller({
    name: 'tried',
    counts,
    spec: { priority: 1001, onFailure: 'open', timeoutMs: 5 },
    log: log.logger,
    absence: () => 'the plugin is away',
    unresponsive: (running, error) => unresponsive.resolve([running, error]),
  })
  const running = new Fake()
  return { made, counts, running, log, unresponsive: unresponsive.promise }
}

describe('a call', () => {
  test('goes to the process in use, with the time of the entry', async () => {
    const { made, counts, running } = caller()
    made.use(running)
    expect(await made.call('onTick', { connections: 1 })).toEqual({ kind: 'result', result: {} })
    expect(running.told).toEqual([['OnTick', { connections: 1 }, 5]])
    expect(counts).toMatchObject({ calls: 1, failures: 0 })
    expect(made.lastError).toBe('')
  })

  test('is a failure at once where no process is in use, for the reason given', () => {
    const { made, counts, running } = caller()
    const cause = 'OnTick: the plugin is away'
    expect(made.call('onTick', {})).toEqual({ kind: 'failure', cause })
    made.use(running)
    expect(made.lastError).toBe('')
    made.rest()
    expect(made.call('onTick', {})).toEqual({ kind: 'failure', cause })
    expect(running.told).toEqual([])
    expect(counts).toMatchObject({ calls: 0, failures: 2, spentMs: 0 })
    expect(made.lastError).toBe(cause)
  })

  test('that fails is a value, counted and remembered', async () => {
    const { made, counts, running } = caller()
    made.use(running)
    running.answer = () => Promise.reject(new GatewayError('PLUGIN_CALL', 'OnTick failed: no'))
    expect(await made.call('onTick', {})).toEqual({ kind: 'failure', cause: 'OnTick failed: no' })
    made.failed('onTick', 'it reports: unwell')
    expect(counts).toMatchObject({ calls: 1, failures: 2 })
    expect(made.lastError).toBe('OnTick: it reports: unwell')
    expect(running.pings).toBe(0)
  })

  test('whose result has a log signal is logged in the name of the plugin', async () => {
    const { made, running, log } = caller()
    made.use(running)
    const metadata = { log: true, level: 'warn', message: 'seen', plugin: 'other' }
    running.answer = () => Promise.resolve({ __signals__: [{ name: 'log', metadata }] })
    await made.call('onTick', {})
    expect(log.records).toEqual([
      { level: 40, plugin: 'tried', fields: { plugin: 'other' }, msg: 'seen' },
    ])
  })
})

describe('a call that times out', () => {
  test('has the plugin pinged once; one that answers is only slow', async () => {
    const { made, running } = caller()
    made.use(running)
    const pong = Promise.withResolvers<boolean>()
    running.pong = () => pong.promise
    running.answer = () => Promise.reject(TIMEOUT)
    const calls = await Promise.all([made.call('onTick', {}), made.call('onTick', {})])
    expect(calls.map((outcome) => outcome.kind)).toEqual(['failure', 'failure'])
    expect(running.pings).toBe(1)
    pong.resolve(true)
    await pong.promise
    running.answer = () => Promise.resolve({})
    expect(await made.call('onTick', {})).toMatchObject({ kind: 'result' })
    expect(running.failedWith).toBeNull()
  })

  test('of a plugin that answers no ping fails all its calls and says so', async () => {
    const { made, running, unresponsive } = caller()
    made.use(running)
    running.pong = () => Promise.resolve(false)
    running.answer = () => Promise.reject(TIMEOUT)
    await made.call('onTick', {})
    const [lost, error] = await unresponsive
    expect(lost).toBe(running)
    expect(error.message).toBe('it answers neither calls nor pings (1000 ms)')
    expect(running.failedWith).toBe(error)
  })
})

describe('signals of a result', () => {
  const log = { name: 'log', metadata: { log: true, level: 'warn', message: 'seen' } }

  test('are logged where they ask for that, at every hook', async () => {
    const { made, log: kept } = caller()
    const running = new Fake()
    running.answer = () => Promise.resolve({ __signals__: [log] })
    made.use(running)
    await made.call('onClosed', {})
    await made.call('onTrafficFromClient', {})
    expect(kept.messages(40)).toEqual(['seen', 'seen'])
  })

  test('that nobody knows are one error a second, which names them', async () => {
    const { made, log: kept } = caller()
    const running = new Fake()
    const unknown = [{ name: 'applaud' }, log, { name: 'sing', metadata: null }]
    running.answer = () => Promise.resolve({ __signals__: unknown })
    made.use(running)
    for (let times = 0; times < 3; times++) await made.call('onTick', {})
    const [told, ...more] = kept.messages(50)
    expect(told).toBe('OnTick: signals without an action are dropped: "applaud", "sing"')
    expect(more).toEqual([])
  })
})
