import { describe, expect, test } from 'bun:test'
import { ERROR_CODES, GatewayError, sentenceOf } from '../../src/base/errors.ts'

test('codes are each one word in capitals, in order, and there are no two of one', () => {
  for (const code of ERROR_CODES) expect(code).toMatch(/^[A-Z]+(_[A-Z]+)*$/)
  expect(new Set(ERROR_CODES).size).toBe(ERROR_CODES.length)
})

test('an error of ours has its code, its sentence and its cause', () => {
  const cause = new Error('EADDRINUSE')
  const error = new GatewayError('LISTEN_FAILED', 'cannot listen', { cause })
  expect(error).toBeInstanceOf(Error)
  expect(error).toMatchObject({ code: 'LISTEN_FAILED', name: 'GatewayError', cause })
})

describe('the sentence of what was thrown', () => {
  test('has the sentences of all causes behind it', () => {
    const root = new Error('no such file')
    const middle = new GatewayError('CONFIG_MISSING', 'cannot read it', { cause: root })
    expect(sentenceOf(new Error('cannot start', { cause: middle }))).toBe(
      'cannot start: cannot read it: no such file',
    )
  })

  test('is whatever it says, where no error was thrown', () => {
    expect([sentenceOf('a text'), sentenceOf(7), sentenceOf(undefined), sentenceOf(null)]).toEqual([
      'a text',
      '7',
      'undefined',
      'null',
    ])
    expect(sentenceOf(new Error('outer', { cause: 'a text' }))).toBe('outer: a text')
    expect(sentenceOf(new Error('outer', { cause: null }))).toBe('outer: null')
  })
})
