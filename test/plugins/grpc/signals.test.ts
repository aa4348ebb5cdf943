/** Signals of results, and the policies that rule on them. */
import { describe, expect, test } from 'bun:test'
import { BUILT_IN_POLICIES } from '../../../src/config/policies.ts'
import {
  LOGS_MAX,
  logsOf,
  ruledBy,
  rulingOf,
  signalsOf,
  unknownOf,
} from '../../../src/plugins/grpc/signals.ts'
import type { Struct } from '../../../src/plugins/grpc/struct.ts'

const TERMINATE = { name: 'terminate', metadata: { terminate: true } }
const UNMEANT = { name: 'terminate', metadata: {} }
const ROUTE = { name: 'route', metadata: { block: 'replica' } }
const LOG = { name: 'log', metadata: { log: true, message: 'seen' } }
const UNKNOWN = { name: 'applaud', metadata: {} }

const PASSED = { isTerminated: false, route: null }
const TERMINATED = { isTerminated: true, route: null }
const ROUTED = { isTerminated: false, route: { kind: 'route', block: 'replica' } } as const

const ruled = (...signals: readonly Struct[]) => ({
  by: (changes: Partial<typeof BUILT_IN_POLICIES> = {}) =>
    rulingOf({ __signals__: [...signals] }, { ...BUILT_IN_POLICIES, ...changes }),
})

describe('a ruling', () => {
  test('follows the signals by the built-in policies', () => {
    expect(ruled(TERMINATE).by()).toEqual(TERMINATED)
    expect(ruled(UNMEANT).by()).toEqual(PASSED)
    expect(ruled(ROUTE).by()).toEqual(ROUTED)
    expect(ruled(LOG).by()).toEqual(PASSED)
    expect(ruled().by()).toEqual(PASSED)
  })

  test('looks at no route beside a terminate, whether that holds or not', () => {
    expect(ruled(ROUTE, TERMINATE).by()).toEqual(TERMINATED)
    expect(ruled(ROUTE, UNMEANT).by()).toEqual(PASSED)
    expect(ruled(ROUTE, TERMINATE).by({ terminate: 'never' })).toEqual(PASSED)
  })

  test('ends with a policy that always holds, whatever the signal says', () => {
    expect(ruled(UNMEANT).by({ terminate: 'always' })).toEqual(TERMINATED)
    expect(ruled(UNMEANT, LOG, UNKNOWN).by({ terminate: 'always' })).toEqual(TERMINATED)
  })

  test('takes no route where routes are switched off', () => {
    expect(ruled(ROUTE).by({ route: 'never' })).toEqual(PASSED)
  })

  test('is by the standard signal where there is none that is known', () => {
    const standard = 'terminate'
    for (const none of [ruled(), ruled(UNKNOWN)]) {
      expect(none.by({ standard })).toEqual(TERMINATED)
      expect(none.by({ standard, terminate: 'never' })).toEqual(PASSED)
    }
    expect(rulingOf({}, { ...BUILT_IN_POLICIES, standard })).toEqual(TERMINATED)
    for (const known of [LOG, { name: 'passthrough', metadata: null }, UNMEANT]) {
      expect(ruled(known).by({ standard })).toEqual(PASSED)
    }
    expect(ruled(ROUTE).by({ standard })).toEqual(ROUTED)
    expect(ruledBy([], { ...BUILT_IN_POLICIES, standard })).toEqual(PASSED)
  })
})

test('signals that nobody knows are named', () => {
  const signals = signalsOf({ __signals__: [LOG, UNKNOWN, ROUTE, TERMINATE, { name: '' }, 'x'] })
  expect(unknownOf(signals)).toEqual(['applaud'])
})

describe('log signals', () => {
  const log = (metadata: Struct, policies = BUILT_IN_POLICIES): unknown =>
    logsOf(signalsOf({ __signals__: [{ name: 'log', metadata }] }), policies)

  test('carry level, message and further fields', () => {
    const metadata = { log: true, level: 'warn', message: 'seen', count: 1 }
    expect(log(metadata)).toEqual([{ level: 'warn', message: 'seen', fields: { count: 1 } }])
  })

  test('without the policy holding or with the level disabled are nothing', () => {
    expect(log({ log: 'true', message: 'seen' })).toEqual([])
    expect(log({ log: true, level: 'disabled', message: 'seen' })).toEqual([])
  })

  test('show bytes as text, however deep', () => {
    const raw = Buffer.from('raw')
    expect(log({ log: true, key: raw, inner: { list: [raw, 1] } })).toEqual([
      { level: 'info', message: '', fields: { key: 'raw', inner: { list: ['raw', 1] } } },
    ])
  })

  test('are all written where their policy always holds, and none where it never does', () => {
    const policies = (rule: 'always' | 'never') => ({ ...BUILT_IN_POLICIES, log: rule })
    expect(log({ message: 'seen' }, policies('always'))).toHaveLength(1)
    expect(log({ log: true, message: 'seen' }, policies('never'))).toEqual([])
  })

  test('of levels above ours are errors, of unknown ones information', () => {
    expect(log({ log: true, level: 'panic' })).toEqual([
      { level: 'error', message: '', fields: null },
    ])
    expect(log({ log: true, level: 'loud' })).toEqual([
      { level: 'info', message: '', fields: null },
    ])
  })

  test('beyond the limit are not written, but a terminate behind them holds', () => {
    const signal = { name: 'log', metadata: { log: true, message: 'again' } }
    const result = { __signals__: [...Array.from({ length: 1000 }, () => signal), TERMINATE] }
    expect(logsOf(signalsOf(result), BUILT_IN_POLICIES)).toHaveLength(LOGS_MAX)
    expect(rulingOf(result, BUILT_IN_POLICIES)).toEqual(TERMINATED)
  })
})
