import { expect, test } from 'bun:test'
import { Fields } from '../../src/admin/fields.ts'

const FIELDS = new Fields(
  { text: 'a', number: 1, no: null, yes: true, inner: { number: 2 }, list: [{ text: 'b' }, 'c'] },
  'answer',
)

test('keys are read with the type that they must have', () => {
  expect(FIELDS.text('text')).toBe('a')
  expect(FIELDS.number('number')).toBe(1)
  expect(FIELDS.numberOrNull('no')).toBeNull()
  expect(FIELDS.numberOrNull('number')).toBe(1)
  expect(FIELDS.flagOrNull('yes')).toBeTrue()
  expect(FIELDS.flagOrNull('no')).toBeNull()
  expect(FIELDS.fields('inner').number('number')).toBe(2)
  expect(FIELDS.texts('list')).toEqual(['[object Object]', 'c'])
  expect([FIELDS.has('no'), FIELDS.has('none')]).toEqual([true, false])
})

test('what is of another type is named by its place', () => {
  expect(() => FIELDS.text('number')).toThrow('answer.number is not text')
  expect(() => FIELDS.number('none')).toThrow('answer.none is not number')
  expect(() => FIELDS.flagOrNull('text')).toThrow('answer.text is not true, false or null')
  expect(() => FIELDS.fields('text')).toThrow('answer.text is no object')
  expect(() => FIELDS.fields('inner').text('number')).toThrow('answer.inner.number is not text')
  expect(() => FIELDS.list('list')).toThrow('answer.list[1] is no object')
  expect(() => FIELDS.list('inner')).toThrow('answer.inner is not a list')
  expect(() => new Fields([], 'answer')).toThrow('answer is no object')
})
