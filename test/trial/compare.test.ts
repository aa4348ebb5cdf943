/** Differences: what counts as one, and how it is shown. */
import { describe, expect, test } from 'bun:test'
import type { Readable } from '../../src/trial/bytes.ts'
import { differenceOf, diffLines, flow } from '../../src/trial/compare.ts'

function diff(expected: Readable, found: Readable): readonly string[] {
  const difference = differenceOf('what', expected, found)
  return difference === null ? [] : diffLines(difference)
}

describe('as expected is', () => {
  const same: readonly (readonly [Readable, Readable])[] = [
    ['a', 'a'],
    [[], []],
    [{ code: '42501' }, { code: '42501', message: 'no' }],
    [[{ deny: {} }], [{ deny: { code: '42501' } }]],
    [['id'], [{ name: 'id', type: 'text' }]],
    [[{ Parse: 'select 1' }], [{ Parse: { name: '', query: 'select 1' } }]],
    [[{ ErrorResponse: 'no' }], [{ ErrorResponse: { code: '42501', message: 'no' } }]],
    [{ message: { matches: '^took [0-9]+ ms$' } }, { message: 'took 17 ms' }],
    [{ matches: 'b' }, 'abc'],
  ]
  test.each(same)('%j for %j', (expected, found) => expect(diff(expected, found)).toEqual([]))
})

describe('a difference', () => {
  test('is shown line by line, with what is the same around it', () => {
    const expected = ['ParseComplete', { DataRow: ['a'] }, { ReadyForQuery: 'I' }]
    const found = ['ParseComplete', { DataRow: ['b'] }, { ReadyForQuery: 'I' }]
    expect(diff(expected, found)).toEqual([
      '  ParseComplete',
      '- DataRow: [a]',
      '+ DataRow: [b]',
      '  ReadyForQuery: I',
    ])
  })

  test('shows of a map what was asked for', () => {
    const found = { code: '42501', message: 'no', hint: 'ask' }
    expect(diff({ code: '42000', message: 'no' }, found)).toEqual([
      '- code: 42000',
      '+ code: 42501',
      '  message: no',
    ])
  })

  test('of nothing says so', () => {
    expect(diff([], ['Sync'])).toEqual(['- none', '+ Sync'])
    expect(diff(['Sync'], [])).toEqual(['- Sync', '+ none'])
  })

  test('is also a missing key, another kind, a pattern that does not fit or is none', () => {
    expect(diff({ a: '1', b: '2' }, { a: '1' })).toEqual(['  a: 1', '- b: 2'])
    expect(diff(['continue'], [{ deny: { code: '42501' } }])).toEqual([
      '- continue',
      '+ deny: { code: 42501 }',
    ])
    expect(diff({ matches: '^a$' }, 'b')).toEqual(['- matches: "^a$"', '+ b'])
    expect(diff({ matches: '(' }, '(')).not.toEqual([])
  })

  test('of very many lines is not compared line with line', () => {
    const many = Array.from({ length: 600 }, (_, at) => `line${at}`)
    expect(diff(many, ['other'])).toHaveLength(601)
  })
})

test('a value on one line has quotes where YAML needs them', () => {
  expect(flow(['select 1', '', 'a: b', null, { a: ['x'] }])).toBe(
    '[select 1, "", "a: b", null, { a: [x] }]',
  )
})
