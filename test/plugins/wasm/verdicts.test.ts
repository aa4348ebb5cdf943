/** Every verdict of the ABI in every hook, with and without its payload. */
import { describe, expect, test } from 'bun:test'
import { CONTINUE, type SettingsVerdict } from '../../../src/hooks/verdict.ts'
import { REFUSAL_CHARS_MAX } from '../../../src/plugins/wasm/limits.ts'
import {
  fromClientVerdict,
  fromServerVerdict,
  openingVerdict,
  readDeny,
  settingsVerdict,
} from '../../../src/plugins/wasm/verdicts.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const BYTES = bytes('x')

test('continue is the shared one and allocates nothing', () => {
  expect(fromClientVerdict(0, null, 'p')).toBe(CONTINUE)
  expect(fromServerVerdict(0, null, 'p')).toBe(CONTINUE)
  expect(openingVerdict(0, null, 'p')).toBe(CONTINUE)
  expect(settingsVerdict(0, null)).toBe(CONTINUE)
})

describe('onTrafficFromClient', () => {
  test('may answer everything', () => {
    expect(fromClientVerdict(1, BYTES, 'p')).toEqual({ kind: 'replace', bytes: BYTES })
    expect(fromClientVerdict(2, BYTES, 'p')).toEqual({ kind: 'respond', bytes: BYTES })
    expect(fromClientVerdict(3, null, 'p').kind).toBe('deny')
    expect(fromClientVerdict(4, BYTES, 'p')).toEqual({ kind: 'close', bytes: BYTES })
    expect(fromClientVerdict(4, null, 'p')).toEqual({ kind: 'close' })
    expect(fromClientVerdict(5, bytes('replica'), 'p')).toEqual({ kind: 'route', block: 'replica' })
  })

  test('fails without the payload that a verdict needs', () => {
    for (const returned of [1, 2, 5]) {
      const verdict = fromClientVerdict(returned, null, 'p')
      expect(verdict.kind).toBe('failure')
      if (verdict.kind === 'failure') expect(verdict.cause).toContain('no output')
    }
    expect(fromClientVerdict(5, bytes('x'.repeat(257)), 'p').kind).toBe('failure')
  })

  test('fails for a number that is no verdict', () => {
    for (const returned of [6, -1, 2 ** 31]) {
      const verdict = fromClientVerdict(returned, BYTES, 'p')
      expect(verdict).toEqual({
        kind: 'failure',
        cause: `returned ${returned}, which is no verdict`,
      })
    }
  })
})

test('onTrafficFromServer may not respond and not route', () => {
  expect(fromServerVerdict(1, BYTES, 'p').kind).toBe('replace')
  expect(fromServerVerdict(3, BYTES, 'p').kind).toBe('deny')
  expect(fromServerVerdict(4, BYTES, 'p').kind).toBe('close')
  expect(fromServerVerdict(2, BYTES, 'p')).toEqual({
    kind: 'failure',
    cause: 'returned respond, which this hook may not answer',
  })
  expect(fromServerVerdict(5, BYTES, 'p').kind).toBe('failure')
})

test('onOpening may not replace and not respond', () => {
  expect(openingVerdict(3, null, 'p').kind).toBe('deny')
  expect(openingVerdict(4, null, 'p').kind).toBe('close')
  expect(openingVerdict(5, bytes('b'), 'p')).toEqual({ kind: 'route', block: 'b' })
  expect(openingVerdict(1, BYTES, 'p').kind).toBe('failure')
  expect(openingVerdict(2, BYTES, 'p').kind).toBe('failure')
})

describe('onConfigLoaded and onRun', () => {
  test('merge a JSON object, given with replace or by continuing', () => {
    const merge: SettingsVerdict = { kind: 'merge', changes: { 'a.b': 1 } }
    expect(settingsVerdict(1, bytes('{"a.b":1}'))).toEqual(merge)
    expect(settingsVerdict(0, bytes('{"a.b":1}'))).toEqual(merge)
    expect(settingsVerdict(0, bytes(''))).toBe(CONTINUE)
  })

  test('fail for anything else', () => {
    expect(settingsVerdict(1, null).kind).toBe('failure')
    expect(settingsVerdict(1, bytes('[]')).kind).toBe('failure')
    expect(settingsVerdict(0, bytes('{')).kind).toBe('failure')
    expect(settingsVerdict(3, null).kind).toBe('failure')
  })
})

describe('a refusal', () => {
  test('carries what its payload says', () => {
    const json = '{"code":"28000","message":"m","detail":"d","hint":"h","more":1}'
    expect(readDeny(bytes(json), 'p')).toEqual({
      kind: 'deny',
      code: '28000',
      message: 'm',
      detail: 'd',
      hint: 'h',
    })
  })

  test('without payload, or with one that cannot be read, is still a refusal', () => {
    const general = { kind: 'deny', code: '42501', message: 'refused by plugin p' } as const
    expect(readDeny(null, 'p')).toEqual(general)
    expect(readDeny(bytes('{"code":"4"}'), 'p')).toEqual(general)
    for (const text of ['', '{', '[]']) {
      const detail = 'its reason could not be read'
      expect(readDeny(bytes(text), 'p')).toEqual({ ...general, detail })
    }
    expect(readDeny(bytes('{"code":7,"message":7,"detail":7}'), 'p')).toEqual(general)
  })

  test('holds no zero byte and no endless text', () => {
    const long = 'x'.repeat(REFUSAL_CHARS_MAX + 10)
    const deny = readDeny(bytes(JSON.stringify({ message: `a\0b${long}` })), 'p')
    expect(deny.message.startsWith('abx')).toBe(true)
    expect(deny.message.length).toBe(REFUSAL_CHARS_MAX)
  })
})
