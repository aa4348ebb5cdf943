/** Values as they were written, each with its place. */
import { expect, test } from 'bun:test'
import { Draft } from '../../src/config/draft.ts'

const place = (line: number) => ({ file: 'f', line, column: 1 })
const standing = (line: number) => ({ key: place(line), value: place(line + 100), shown: '"x"' })

test('a value is put with the maps above it, but never through another value', () => {
  const draft = new Draft('f', { a: 'text', n: null })
  expect(draft.put(['b', 'c'], '1')).toBe(true)
  expect(draft.put(['n', 'c'], '2')).toBe(true)
  expect(draft.put(['a', 'c'], '3')).toBe(false)
  expect(draft.put([], '4')).toBe(false)
  expect(draft.root).toEqual({ a: 'text', b: { c: '1' }, n: { c: '2' } })
  draft.drop(['b', 'c'])
  draft.drop(['nowhere', 'c'])
  expect(draft.root).toEqual({ a: 'text', b: {}, n: { c: '2' } })
})

test('what every object inherits is not there', () => {
  const draft = new Draft('f')
  expect(draft.at(['constructor'])).toBeUndefined()
  expect(draft.at(['toString', 'name'])).toBeUndefined()
  expect(draft.names('constructor')).toEqual([])
})

test('a path without a place stands where the section above it begins', () => {
  const draft = new Draft('f')
  draft.stand(['a'], standing(1))
  draft.stand(['a', 'b'], standing(2))
  expect(draft.standing(['a', 'b'])).toMatchObject(standing(2))
  expect(draft.standing(['a', 'missing', 'deep'])).toMatchObject({ value: place(1), shown: null })
  expect(draft.standing(['nowhere']).value).toEqual({ file: 'f', line: 0, column: 0 })
})

test('what is laid over a path stands somewhere else, with all below it', () => {
  const draft = new Draft('f')
  draft.stand(['list'], standing(1))
  draft.stand(['list', '0'], standing(2))
  draft.stand(['listing'], standing(3))
  draft.restand(['list'], standing(9))
  expect(draft.standing(['list', '0']).value).toEqual(place(9))
  expect(draft.standing(['listing'])).toMatchObject(standing(3))
})
