import { describe, expect, test } from 'bun:test'
import { joinServiceManager, statusLine, watchdogMs } from '../../src/admin/service-manager.ts'
import { HAS_PYTHON, listenForNotices, type NotifyListener } from '../kit/notify-listener.ts'
import { STATUS } from './reports.ts'

const NAME = `@postern-manager-${process.pid}`

async function join(env: Record<string, string> = {}, listener = NAME) {
  const failures: string[] = []
  const joined = await joinServiceManager({
    env: { NOTIFY_SOCKET: listener, ...env },
    report: () => STATUS,
    failed: (sentence) => failures.push(sentence),
  })
  return { joined, failures }
}

const told = (listener: NotifyListener, words: string): readonly string[] =>
  listener.heard().filter((line) => line.startsWith(words))

describe.skipIf(!HAS_PYTHON)('a service manager (needs Python)', () => {
  test('hears of the start, of reloads and of the stop', async () => {
    await using listener = await listenForNotices(NAME)
    const { joined } = await join()
    await listener.hears('STATUS=ready: 3 sessions on 127.0.0.1:15432')
    expect(told(listener, 'READY')).toEqual([])
    expect(told(listener, 'EXTEND_TIMEOUT_USEC=60000000')).toHaveLength(1)
    joined?.ready()
    joined?.reloading()
    joined?.ready()
    joined?.stopping(10_000)
    await listener.hears('STOPPING=1')
    joined?.leave()
    const states = listener.heard().filter((line) => /^(READY|RELOADING|STOPPING)/.test(line))
    expect(states).toEqual(['READY=1', 'RELOADING=1', 'READY=1', 'STOPPING=1'])
    expect(told(listener, 'MONOTONIC_USEC=')[0]).toMatch(/=\d+$/)
    expect(told(listener, 'EXTEND_TIMEOUT_USEC=').at(-1)).toEndWith('=40000000')
    // What has not changed is not said again, and nobody asked for signs of life.
    expect(told(listener, 'STATUS')).toHaveLength(1)
    expect(told(listener, 'WATCHDOG')).toEqual([])
  })

  test('hears which process is the service now, and nothing more of this one', async () => {
    await using listener = await listenForNotices(NAME)
    const { joined } = await join({ WATCHDOG_USEC: '6000' })
    joined?.ready()
    await joined?.handOver(4712)
    await listener.hears('MAINPID=4712')
    joined?.stopping(10_000)
    await Bun.sleep(20)
    expect(told(listener, 'STOPPING')).toEqual([])
    expect(listener.heard().at(-1)).toBe('MAINPID=4712')
  })

  test('that was away hears our state as soon as it is back', async () => {
    const { joined } = await join({ WATCHDOG_USEC: '6000' })
    joined?.ready()
    await using listener = await listenForNotices(NAME)
    await listener.hears('READY=1')
    joined?.leave()
  })

  test('with a watchdog hears signs of life while the loop turns, and none after', async () => {
    await using listener = await listenForNotices(NAME)
    const { joined } = await join({ WATCHDOG_USEC: '6000', WATCHDOG_PID: String(process.pid) })
    joined?.ready()
    const beats = (): number => told(listener, 'WATCHDOG=1').length
    while (beats() < 5) await Bun.sleep(1)
    joined?.leave()
    // What was sent before is on its way still.
    await Bun.sleep(20)
    const before = beats()
    await Bun.sleep(20)
    expect(beats()).toBe(before)
  })
})

test('where none asks, none is told; one of an unknown kind is warned of', async () => {
  const { joined, failures } = await join({}, '')
  expect(joined).toBeNull()
  expect(failures).toEqual([])
  const unknown = await join({}, 'vsock:2:1')
  expect(unknown.joined).toBeNull()
  expect(unknown.failures).toHaveLength(1)
  expect(unknown.failures[0]).toStartWith('NOTIFY_SOCKET=vsock:2:1: neither a path nor')
})

test('a watchdog is ours where its time is one and no other process is meant', () => {
  expect(watchdogMs({ WATCHDOG_USEC: '30000000' })).toBe(30_000)
  expect(watchdogMs({ WATCHDOG_USEC: '1000', WATCHDOG_PID: String(process.pid) })).toBe(1)
  expect(watchdogMs({ WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' })).toBeNull()
  expect(watchdogMs({ WATCHDOG_USEC: '0' })).toBeNull()
  expect(watchdogMs({ WATCHDOG_USEC: 'soon' })).toBeNull()
  expect(watchdogMs({})).toBeNull()
})

test('the line for people says what matters first', () => {
  expect(statusLine(STATUS)).toBe('ready: 3 sessions on 127.0.0.1:15432; 1 of 2 plugins ready')
  const sessions = { ...STATUS.sessions, open: 1 }
  const bare = { ...STATUS, sessions, listeners: [], plugins: { total: 0, ready: 0 } }
  expect(statusLine({ ...bare, state: 'starting' })).toBe('starting: 1 session')
})
