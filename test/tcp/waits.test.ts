import { describe, expect, test } from 'bun:test'
import { type Standing, Waits } from '../../src/tcp/waits.ts'
import type { ServerPatience } from '../../src/upstream/upstream.ts'

const NONE = { receiveDeadlineMs: 0, receiveTimeoutMs: 0, sendDeadlineMs: 0 }
const NO_LIMITS = { loginTimeoutMs: 0, idleTimeoutMs: 0 }
const IDLE = { loggedIn: true, underWay: false, awaitsServer: false, keptForServer: 0 }

/** Waits that began at 1000, looked at as often as a test says. */
function begin(server: Partial<ServerPatience>, client = NO_LIMITS) {
  const waits = new Waits(client, 1000)
  waits.connected({ ...NONE, ...server }, 1000)
  return {
    waits,
    at: (now: number, standing: Partial<Standing> = {}) =>
      waits.overdue(now, { ...IDLE, ...standing }),
  }
}

describe('the client', () => {
  test('has so long to log in, counted from its connection', () => {
    const { at } = begin({}, { loginTimeoutMs: 500, idleTimeoutMs: 0 })
    expect(at(1499, { loggedIn: false })).toBeNull()
    expect(at(1500, { loggedIn: true })).toBeNull()
    expect(at(1500, { loggedIn: false })).toMatchObject({
      counted: 'loginTimeouts',
      refusal: { code: '57P05', message: 'no login within 500 ms' },
    })
  })

  test('may be silent for so long while nothing is under way', () => {
    const { waits, at } = begin({}, { loginTimeoutMs: 0, idleTimeoutMs: 500 })
    waits.clientSpoke = 2000
    waits.serverSpoke = 2100
    expect(at(2599)).toBeNull()
    expect(at(9000, { underWay: true })).toBeNull()
    expect(at(2600)).toMatchObject({ counted: 'idleTimeouts', refusal: { code: '57P05' } })
  })
})

describe('the server', () => {
  test('has so long to answer, and any byte of it begins the wait anew', () => {
    const { waits, at } = begin({ receiveTimeoutMs: 500 })
    expect(at(9000)).toBeNull()
    expect(at(9250, { awaitsServer: true })).toBeNull()
    expect(at(9749, { awaitsServer: true })).toBeNull()
    waits.serverSpoke = 9700
    expect(at(10_199, { awaitsServer: true })).toBeNull()
    expect(at(10_200, { awaitsServer: true })).toMatchObject({
      counted: 'receiveTimeouts',
      refusal: { code: '08006', message: 'the database has not answered for 500 ms' },
    })
  })

  test('does not owe two answers for the wait of one', () => {
    const { at } = begin({ receiveTimeoutMs: 500 })
    expect(at(1100, { awaitsServer: true })).toBeNull()
    expect(at(1350)).toBeNull()
    expect(at(1599, { awaitsServer: true })).toBeNull()
    expect(at(2098, { awaitsServer: true })).toBeNull()
    expect(at(2099, { awaitsServer: true })).not.toBeNull()
  })

  test('need not answer what it has not taken; taking it has a limit of its own', () => {
    const stuck = { awaitsServer: true, keptForServer: 100 }
    const { at } = begin({ receiveTimeoutMs: 500, sendDeadlineMs: 1000 })
    expect(at(1000, stuck)).toBeNull()
    expect(at(1999, stuck)).toBeNull()
    expect(at(2000, { ...stuck, keptForServer: 99 })).toBeNull()
    expect(at(2999, { ...stuck, keptForServer: 99 })).toBeNull()
    expect(at(3000, { ...stuck, keptForServer: 99 })).toMatchObject({
      counted: 'sendDeadlines',
      refusal: { code: '08006', message: 'the database has taken no bytes for 1000 ms' },
    })
  })

  test('that takes all in between begins anew', () => {
    const { at } = begin({ sendDeadlineMs: 1000 })
    expect(at(1000, { keptForServer: 5 })).toBeNull()
    expect(at(1900)).toBeNull()
    expect(at(2000, { keptForServer: 5 })).toBeNull()
    expect(at(2999, { keptForServer: 5 })).toBeNull()
  })

  test('has a connection that lives so long, whatever it does, from when it was made', () => {
    const { waits, at } = begin({ receiveDeadlineMs: 5000 })
    expect(at(5999, { underWay: true })).toBeNull()
    waits.connected({ ...NONE, receiveDeadlineMs: 5000 }, 4000)
    expect(at(8999)).toBeNull()
    expect(at(9000, { underWay: true })).toMatchObject({
      counted: 'receiveDeadlines',
      refusal: { code: '57P05' },
    })
  })

  test('has no limits where none are set, or before it is there', () => {
    const standing = { ...IDLE, awaitsServer: true, keptForServer: 9 }
    expect(begin({}).at(1e9, standing)).toBeNull()
    expect(new Waits(NO_LIMITS, 0).overdue(1e9, standing)).toBeNull()
  })
})

test('a session that closes lingers for a while, and nothing else ends it', () => {
  const { waits, at } = begin({ receiveDeadlineMs: 1 }, { loginTimeoutMs: 1, idleTimeoutMs: 1 })
  expect(waits.lingered(1e9)).toBe(false)
  waits.closes(2000)
  expect(at(1e9)).toBeNull()
  expect([waits.lingered(11_999), waits.lingered(12_000)]).toEqual([false, true])
})

test('a session is silent when neither side has said anything for ten seconds', () => {
  const waits = new Waits({ loginTimeoutMs: 0, idleTimeoutMs: 0 }, 1000)
  expect([waits.silent(10_999), waits.silent(11_000)]).toEqual([false, true])
  waits.serverSpoke = 5000
  expect([waits.silent(14_999), waits.silent(15_000)]).toEqual([false, true])
})
