import { expect, test } from 'bun:test'
import { Names } from '../../../../src/protocols/postgres/sharing/names.ts'
import { StatementBook } from '../../../../src/protocols/postgres/sharing/statements.ts'

function bookWith(key: string) {
  const book = new StatementBook({ bytesMax: 1000 })
  return { book, statement: book.add(key, null, () => new Uint8Array(10))! }
}

test('a name means a statement until it is dropped', () => {
  const { book, statement } = bookWith('a')
  const names = new Names()
  expect([names.size, names.find('s')]).toEqual([0, undefined])
  const first = names.put('s', statement)
  expect([names.size, names.find('s')?.statement]).toEqual([1, statement])
  names.drop({ ...first }, book)
  expect(names.find('s')).toBe(first)
  names.drop(first, book)
  names.drop(first, book)
  expect(names.size).toBe(0)
  names.put('t', statement)
  names.dropAll(book)
  expect(names.find('t')).toBeUndefined()
})

test('a Close that is taken back leaves what the name meant before, and no other', () => {
  const { book, statement } = bookWith('a')
  const names = new Names()
  names.put('s', statement)
  const takeBack = names.close('s', book)
  expect(names.find('s')).toBeUndefined()
  const since = names.put('s', book.share('a')!)
  takeBack()
  // The Parse behind it is taken back too, and is of the same text.
  names.drop(since, book)
  expect(names.find('s')?.statement).toBe(statement)
  names.close('none', book)()
  expect(names.size).toBe(1)

  names.unnamed = 'kept'
  names.closeUnnamed()()
  expect(names.unnamed).toBe('kept')
})

test('the unnamed statement is copied, unless it is very long', () => {
  const names = new Names()
  expect(names.unnamed).toBe('none')
  const bytes = new TextEncoder().encode('..first..')
  names.keepUnnamed(bytes, 2, 7)
  bytes.fill(0)
  expect(names.unnamed).toBe('kept')
  expect(Buffer.from(names.unnamedParse).toString()).toBe('first')
  names.keepUnnamed(new Uint8Array(3), 0, 3)
  expect(names.unnamedParse).toEqual(new Uint8Array(3))
  names.keepUnnamed(new Uint8Array(32_000), 0, 32_000)
  expect([names.unnamed, names.unnamedParse.length]).toEqual(['kept', 32_000])
  names.keepUnnamed(new Uint8Array(40_000), 0, 40_000)
  expect(names.unnamed).toBe('here')
})
