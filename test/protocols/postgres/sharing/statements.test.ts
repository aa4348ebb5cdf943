import { expect, test } from 'bun:test'
import { StatementBook } from '../../../../src/protocols/postgres/sharing/statements.ts'

const parseOf = (bytes: number) => (name: Uint8Array) => new Uint8Array(bytes).fill(name[0]!)

function add(book: StatementBook, key: string, bytes = 10) {
  return book.add(key, null, parseOf(bytes))
}

test('a text has one name for all clients, as long as one has it and after', () => {
  const book = new StatementBook({ bytesMax: 1000 })
  expect(book.share('a')).toBeNull()
  const statement = add(book, 'a')!
  expect(book.share('a')).toBe(statement)
  book.leave(statement)
  book.leave(statement)
  expect(book.share('a')).toBe(statement)
  expect(Buffer.from(statement.name).toString()).toStartWith('postern_')
})

test('texts beyond the limit take the room of those that nobody has, or are not taken', () => {
  const book = new StatementBook({ bytesMax: 100 })
  const [one, two] = [add(book, 'one', 50)!, add(book, 'two', 50)!]
  expect(add(book, 'three', 50)).toBeNull()
  book.leave(one)
  expect(add(book, 'three', 50)).not.toBeNull()
  expect(book.share('one')).toBeNull()
  expect(book.share('two')).toBe(two)
  expect(book.bytes).toBe(100)
})

test('those that nobody has are forgotten beyond a thousand, the oldest first', () => {
  const book = new StatementBook({ bytesMax: 1_000_000 })
  for (let index = 0; index < 1500; index++) book.leave(add(book, String(index))!)
  expect([book.size, book.bytes]).toEqual([1000, 10_000])
  expect(book.share('499')).toBeNull()
  expect(book.share('500')).not.toBeNull()
})

test('one that is retired is another for the next client, and counts until it is left', () => {
  const book = new StatementBook({ bytesMax: 1000 })
  const stale = add(book, 'a')!
  book.retire(stale)
  expect(book.share('a')).toBeNull()
  const fresh = add(book, 'a')!
  expect(Buffer.from(fresh.name)).not.toEqual(Buffer.from(stale.name))
  expect(book.bytes).toBe(20)
  book.retire(stale)
  book.leave(stale)
  expect(book.bytes).toBe(10)
  expect(book.share('a')).toBe(fresh)
})

test('a statement goes back to its own book, whichever it is given to', () => {
  const [before, after] = [
    new StatementBook({ bytesMax: 1000 }),
    new StatementBook({ bytesMax: 1000 }),
  ]
  const statement = add(before, 'a')!
  after.retire(statement)
  after.leave(statement)
  expect([before.bytes, after.bytes]).toEqual([0, 0])
})
