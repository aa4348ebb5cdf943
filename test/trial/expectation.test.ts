/** What stands under `expect`, and what may not. */
import { expect, test } from 'bun:test'
import { Flaw } from '../../src/trial/bytes.ts'
import { expectationOf, NOTHING_EXPECTED } from '../../src/trial/expectation.ts'

test('a verdict alone is compared alone', () => {
  const verdicts = [{ kind: 'continue' as const, body: null }]
  expect(expectationOf('continue', 'client')).toEqual({ ...NOTHING_EXPECTED, verdicts })
  expect(expectationOf('not asked', 'client').verdicts).toEqual([])
})

test('what is in a verdict is compared with it', () => {
  const { verdicts } = expectationOf(
    { verdict: ['close', { deny: { code: '42501' } }, { respond: ['NoData'] }] },
    'client',
  )
  expect(verdicts).toEqual([
    { kind: 'close', body: null },
    { kind: 'deny', body: { code: '42501' } },
    { kind: 'respond', body: ['NoData'] },
  ])
})

test('a replacement is made of messages of the side that is replaced', () => {
  expect(expectationOf({ verdict: { replace: { DataRow: ['a'] } } }, 'server').verdicts).toEqual([
    { kind: 'replace', body: [{ DataRow: ['a'] }] },
  ])
  expect(() => expectationOf({ verdict: { replace: { DataRow: ['a'] } } }, 'client')).toThrow(Flaw)
})

test('bytes are compared as the messages that they are', () => {
  const { toServer } = expectationOf({ toServer: [{ hex: '5300000004' }] }, 'client')
  expect(toServer).toEqual(['Sync'])
})

test('none is an empty list, and of maps that nothing changed', () => {
  const { log, signals, kv, metrics, toClient } = expectationOf(
    { log: 'none', signals: 'none', kv: 'none', metrics: 'none', toClient: 'none' },
    'client',
  )
  expect({ log, signals, kv, metrics, toClient }).toEqual({
    log: [],
    signals: [],
    kv: 'none',
    metrics: 'none',
    toClient: [],
  })
})

test.each([
  [{ verdcit: 'continue' }, 'has no key "verdcit" (did you mean "verdict"?)'],
  ['contineu', 'must be not asked, or one of continue'],
  [{ verdict: { continue: 'x' } }, 'must be empty'],
  [{ verdict: { deny: { cod: '42501' } } }, 'has no key "cod" (did you mean "code"?)'],
  [{ verdict: { deny: { code: '8006' } } }, 'must be a SQLSTATE'],
  [{ log: [{ lvl: 'warn' }] }, 'has no key "lvl"'],
  [{ toServer: ['DataRow'] }, 'must be a message of a client'],
  [{ metrics: 'one' }, 'must be none, or a map'],
  [['continue'], 'must be a verdict, or a map'],
])('%j is refused: %s', (written, sentence) => {
  expect(() => expectationOf(written, 'client')).toThrow(sentence)
})
